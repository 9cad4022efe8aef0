//! How much is kept.

use toolweir_cache::{Cache, Config};

use crate::support::{MS, Source, key, numbers};

/// A cache of strings that weigh their length.
fn strings(max_entries: u64, max_bytes: u64) -> Cache<u64, String> {
    let config = Config::default().max_entries(max_entries).max_bytes(max_bytes);
    Cache::builder(config).weigher(|_, value: &String| value.len()).build().unwrap()
}

/// Both bounds hold at every moment.
#[test]
fn entries_and_bytes_stay_within_their_bounds() {
    for (max_entries, max_bytes, length) in [
        (100, 64 << 20, 10),
        (100, 64 << 20, 600_000),
        (1_000, 1_000_000, 2_000),
        (1_000, 1_000_000, 400_000),
        (1, 1_000_000, 10),
    ] {
        let cache = strings(max_entries, max_bytes);
        for number in 0..3_000 {
            cache.insert(number, "x".repeat(length));
            if number % 50 == 49 {
                let stats = cache.stats();
                assert!(stats.entries <= max_entries, "{} entries of {length}", stats.entries);
                assert!(stats.bytes <= max_bytes, "{} bytes of {length}", stats.bytes);
            }
        }
        let stats = cache.stats();
        let fits = (max_bytes / (length as u64 + 450)).min(max_entries);
        assert!(stats.entries >= fits, "{} of {fits} entries that fit", stats.entries);
    }
}

#[test]
fn sizes_may_differ() {
    let cache = strings(1_000, 1_000_000);
    let mut turn = 1_u64;
    for number in 0..20_000 {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let length = if turn >> 60 == 0 { 100_000 } else { (turn >> 54) as usize };
        cache.insert(number % 3_000, "x".repeat(length));
    }
    let stats = cache.stats();
    assert!(stats.entries <= 1_000 && stats.bytes <= 1_000_000, "{stats:?}");
    assert!(stats.entries >= 100, "{stats:?}");
}

#[test]
fn what_can_never_fit_is_not_stored() {
    let cache = strings(10, 10_000);
    cache.insert(1, "small".to_owned());
    cache.insert(2, "x".repeat(10_001));
    assert_eq!((cache.get(&1).as_deref(), cache.get(&2)), (Some("small"), None));
}

#[test]
fn a_value_that_can_never_fit_still_replaces_the_old_one() {
    let cache = strings(10, 10_000);
    cache.insert(1, "old".to_owned());
    cache.insert(1, "x".repeat(10_001));
    assert_eq!(cache.get(&1), None, "a cache may forget, but not hold on to what was replaced");
}

#[test]
fn a_million_keys_stay_within_the_bytes() {
    let cache = strings(10_000, 10_000_000);
    // Without optimization a million takes as long as all other tests together.
    let keys = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for number in 0..keys {
        cache.insert(number, "x".repeat(900));
    }
    let stats = cache.stats();
    assert!(stats.bytes <= 10_000_000 && stats.entries <= 10_000, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn groups_that_nothing_belongs_to_are_forgotten() {
    let (cache, source) = (numbers(Config::default().max_entries(10)), Source::default());
    for number in 0..5_000 {
        let name = number.to_string();
        let entry = cache.entry(key(&name)).group(name.as_str());
        entry.fetch(source.ask(number, MS)).await.unwrap();
    }
    let groups = cache.stats().groups;
    assert!(groups <= 1_024, "{groups} groups");
}
