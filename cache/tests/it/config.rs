//! Configuration as it stands in a file.

use std::time::Duration;

use toolweir_cache::{Cache, Config};

fn read(json: &str) -> Result<Config, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn every_key_is_read_and_the_rest_is_default() {
    assert_eq!(read("{}").unwrap(), Config::default());
    assert_eq!(
        read(
            r#"{"maxEntries": 10, "maxBytes": 2000, "ttlMs": 5, "ttlJitterPercent": 10,
                "staleWhileRevalidateMs": 6, "staleIfErrorMs": 7, "negativeTtlMs": 8, "maxWaiters": 9,
                "finishAbandoned": true, "tierTimeoutMs": 11, "tierRestMs": 12}"#
        )
        .unwrap(),
        Config::default()
            .max_entries(10)
            .max_bytes(2000)
            .ttl(Duration::from_millis(5))
            .ttl_jitter_percent(10)
            .stale_while_revalidate(Duration::from_millis(6))
            .stale_if_error(Duration::from_millis(7))
            .negative_ttl(Duration::from_millis(8))
            .max_waiters(9)
            .finish_abandoned(true)
            .tier_timeout(Duration::from_millis(11))
            .tier_rest(Duration::from_millis(12))
    );
    let config = Config::default().ttl(Duration::from_secs(1)).max_entries(7);
    assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn the_sketchs_numbers_are_the_defaults() {
    let config = Config::default();
    assert_eq!((config.max_entries, config.ttl), (1_000, Duration::from_secs(300)));
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (json, field) in [
        (r#"{"maxEntries": 0}"#, "maxEntries"),
        (r#"{"maxBytes": 999}"#, "maxBytes"),
        (r#"{"ttlMs": 0}"#, "ttlMs"),
        (r#"{"ttlMs": 1000000000000}"#, "ttlMs"),
        (r#"{"staleWhileRevalidateMs": 1000000000000}"#, "staleWhileRevalidateMs"),
        (r#"{"staleIfErrorMs": 1000000000000}"#, "staleIfErrorMs"),
        (r#"{"negativeTtlMs": 1000000000000}"#, "negativeTtlMs"),
        (r#"{"ttlJitterPercent": 101}"#, "ttlJitterPercent"),
        (r#"{"maxWaiters": 0}"#, "maxWaiters"),
        (r#"{"tierTimeoutMs": 0}"#, "tierTimeoutMs"),
        (r#"{"tierTimeoutMs": 1000000000000}"#, "tierTimeoutMs"),
        (r#"{"tierRestMs": 1000000000000}"#, "tierRestMs"),
        (r#"{"ttl": 5}"#, "`ttl`"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(field), "{json}: {error}");
    }
    let error = Cache::<u8, u8>::new(Config::default().max_entries(0)).unwrap_err();
    assert_eq!(error.field, "maxEntries");
}
