//! Expiry, on paused time.

use std::time::Duration;

use tokio::time::advance;
use toolweir_cache::{Cache, Config, Fetched};
use toolweir_core::{Freshness, ManualClock, TokioClock};

use crate::support::{MS, Source, key, numbers};

#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_for_less_than_its_time() {
    let cache = numbers(Config::default());
    cache.insert(key("usual"), 1);
    cache.entry(key("short")).ttl(10 * MS).insert(2);
    cache.entry(key("never")).ttl(Duration::ZERO).insert(3);
    let seen = |cache: &Cache<String, u64>| ["usual", "short", "never"].map(|key| cache.get(key));
    assert_eq!(seen(&cache), [Some(1), Some(2), None]);
    advance(9 * MS).await;
    assert_eq!(seen(&cache), [Some(1), Some(2), None]);
    advance(MS).await;
    assert_eq!(seen(&cache), [Some(1), None, None]);
    advance(Duration::from_millis(299_989)).await;
    assert_eq!(seen(&cache), [Some(1), None, None]);
    advance(MS).await;
    assert_eq!(seen(&cache), [None, None, None], "300 s are the default");
}

#[tokio::test(start_paused = true)]
async fn time_to_live_begins_when_the_fetch_ends() {
    let (cache, source) = (numbers(Config::default().ttl(20 * MS)), Source::default());
    cache.get_or_fetch(key("k"), source.ask(1, 50 * MS)).await.unwrap();
    advance(19 * MS).await;
    assert_eq!(cache.get("k"), Some(1));
    advance(MS).await;
    assert_eq!(cache.get("k"), None);
    assert_eq!(cache.get_or_fetch(key("k"), source.ask(2, MS)).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetched_value_says_how_it_is_kept() {
    let cache = numbers(Config::default());
    let fetch = |fetched: Fetched<u64>| async move { Ok::<_, std::io::Error>(fetched) };
    let cases = [
        ("usual", Fetched::new(1), [true, true]),
        ("own", Fetched::new(1).ttl(5 * MS), [true, false]),
        ("unstored", Fetched::new(1).unstored(), [false, false]),
        ("unshared", Fetched::new(1).unshared(), [false, false]),
    ];
    let mut seen = Vec::new();
    for (name, fetched, _) in &cases {
        let found = cache.entry(key(name)).fetch_with(fetch(*fetched)).await.unwrap();
        assert_eq!((found.value, found.freshness), (1, Freshness::Fetched));
        seen.push(vec![cache.get(*name).is_some()]);
    }
    advance(5 * MS).await;
    for ((name, _, expected), mut seen) in cases.iter().zip(seen) {
        seen.push(cache.get(*name).is_some());
        assert_eq!(seen, expected, "{name}");
    }
}

#[test]
fn jitter_shortens_by_no_more_than_it_says() {
    let clock = std::sync::Arc::new(ManualClock::new());
    let config = Config::default().ttl(100 * MS).ttl_jitter_percent(20);
    let cache: Cache<u64, u64> = Cache::builder(config).clock(clock.clone()).build().unwrap();
    for number in 0..500 {
        cache.insert(number, number);
    }
    let fresh = || (0..500).filter(|number| cache.get(number).is_some()).count();
    clock.advance(79 * MS);
    assert_eq!(fresh(), 500);
    clock.advance(11 * MS);
    assert!((150..350).contains(&fresh()), "{} are left half way", fresh());
    clock.advance(10 * MS);
    assert_eq!(fresh(), 0);
}

#[tokio::test(start_paused = true)]
async fn purge_frees_what_cannot_be_served() {
    let config = Config::default().ttl(10 * MS).stale_if_error(10 * MS);
    let cache: Cache<u32, u32> = Cache::builder(config).clock(TokioClock).build().unwrap();
    for number in 0..10 {
        cache.entry(number).group(if number < 5 { "low" } else { "high" }).insert(number);
    }
    let held = |cache: &Cache<u32, u32>| {
        cache.purge();
        cache.stats().entries
    };
    cache.invalidate("low");
    assert_eq!(held(&cache), 5);
    advance(19 * MS).await;
    assert_eq!(held(&cache), 5, "may still stand in for a failure");
    advance(MS).await;
    assert_eq!(held(&cache), 0);
    cache.insert(1, 1);
    cache.clear();
    assert_eq!((cache.stats().entries, cache.get(&1)), (0, None));
}
