//! Old values: while they are fetched anew, and where that fails.

use std::io;
use std::time::Duration;

use tokio::time::{advance, sleep};
use toolweir_cache::{Cache, Config, Failure, Found};
use toolweir_core::{Error, Freshness, Kind, TokioClock};

use crate::support::{MS, Numbers, Source, key, numbers};

fn seen(found: Result<Found<u64>, Failure>) -> (u64, Freshness) {
    let found = found.unwrap();
    (found.value, found.freshness)
}

fn revalidating() -> Config {
    Config::default().ttl(100 * MS).stale_while_revalidate(100 * MS)
}

#[tokio::test(start_paused = true)]
async fn while_one_caller_fetches_anew_the_others_have_the_old_value_at_once() {
    let (cache, source) = (numbers(revalidating()), Source::default());
    cache.insert(key("k"), 1);
    advance(100 * MS).await;
    let first = tokio::spawn({
        let (cache, fetch) = (cache.clone(), source.ask(2, 50 * MS));
        async move { cache.entry(key("k")).fetch(fetch).await }
    });
    sleep(MS).await;
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        let other = seen(cache.entry(key("k")).fetch(source.ask(3, 50 * MS)).await);
        assert_eq!((other, before.elapsed()), ((1, Freshness::Stale), Duration::ZERO));
    }
    assert_eq!(seen(first.await.unwrap()), (2, Freshness::Fetched));
    assert_eq!(seen(cache.entry(key("k")).fetch(source.ask(4, MS)).await), (2, Freshness::Cached));
    assert_eq!((source.asked(), cache.stats().stale), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_spawner_spares_the_first_caller_the_wait() {
    let cache: Numbers = Cache::builder(revalidating())
        .clock(TokioClock)
        .spawner(|refresh| drop(tokio::spawn(refresh)))
        .build()
        .unwrap();
    let source = Source::default();
    cache.insert(key("k"), 1);
    advance(150 * MS).await;
    for _ in 0..3 {
        let found = seen(cache.entry(key("k")).fetch(source.ask(2, 10 * MS)).await);
        assert_eq!(found, (1, Freshness::Stale));
    }
    sleep(20 * MS).await;
    assert_eq!((cache.get("k"), source.asked(), cache.stats().in_flight), (Some(2), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn past_its_window_an_old_value_is_waited_for() {
    let (cache, source) = (numbers(revalidating()), Source::default());
    cache.insert(key("k"), 1);
    advance(200 * MS).await;
    let found = seen(cache.entry(key("k")).fetch(source.ask(2, MS)).await);
    assert_eq!(found, (2, Freshness::Fetched));
}

#[tokio::test(start_paused = true)]
async fn a_refresher_that_leaves_makes_room_for_the_next() {
    let (cache, source) = (numbers(revalidating()), Source::default());
    cache.insert(key("k"), 1);
    advance(100 * MS).await;
    let entry = cache.entry(key("k"));
    assert!(tokio::time::timeout(MS, entry.fetch(source.ask(2, 50 * MS))).await.is_err());
    let found = seen(cache.entry(key("k")).fetch(source.ask(3, MS)).await);
    assert_eq!(found, (3, Freshness::Fetched));
}

fn failing(kind: Kind) -> impl Future<Output = Result<u64, Error>> + Send + 'static {
    std::future::ready(Err(Error::new(kind)))
}

/// What stands in for which failure, and for how long.
#[tokio::test(start_paused = true)]
async fn an_old_value_stands_in_for_an_outage_only() {
    let cases = [
        (Kind::Unreachable, true),
        (Kind::Timeout, true),
        (Kind::CircuitOpen { retry_after: MS }, true),
        (Kind::Throttled { retry_after: None }, true),
        (Kind::Status { status: 503 }, true),
        (Kind::Protocol { code: -32603 }, true),
        (Kind::Protocol { code: -32602 }, false),
        (Kind::NotFound, false),
        (Kind::Status { status: 404 }, false),
        (Kind::Status { status: 401 }, false),
        (Kind::Status { status: 403 }, false),
        (Kind::Status { status: 407 }, false),
    ];
    for (kind, stands_in) in cases {
        let cache = numbers(Config::default().ttl(10 * MS).stale_if_error(20 * MS));
        cache.insert(key("k"), 1);
        assert_eq!(seen(cache.entry(key("k")).fetch(failing(kind)).await), (1, Freshness::Cached));
        for (past, in_window) in [(0, true), (19, true), (20, false)] {
            cache.insert(key("k"), 1);
            advance((10 + past) * MS).await;
            let result = cache.entry(key("k")).fetch(failing(kind)).await;
            if stands_in && in_window {
                assert_eq!(seen(result), (1, Freshness::Stale), "{kind}, {past} ms past");
            } else {
                let failure = result.unwrap_err();
                assert_eq!(Error::from(failure).kind(), kind);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_authorization_error_nothing_stands_in() {
    let config = Config::default().ttl(10 * MS).stale_if_error(1_000 * MS);
    let cache = numbers(config.stale_while_revalidate(1_000 * MS));
    for (failure, kept) in [(Kind::Unreachable, true), (Kind::Status { status: 401 }, false)] {
        cache.insert(key("k"), 1);
        advance(10 * MS).await;
        assert_eq!(cache.stale("k").map(|found| found.freshness), Some(Freshness::Stale));
        let result = cache.entry(key("k")).fetch(failing(failure)).await;
        assert_eq!((result.is_ok(), cache.stale("k").is_some()), (kept, kept), "{failure}");
    }
    let result = cache.entry(key("k")).fetch(failing(Kind::Unreachable)).await;
    assert!(result.is_err(), "nor for a later outage");
}

#[tokio::test(start_paused = true)]
async fn stale_reads_are_bounded() {
    let cache = numbers(Config::default().ttl(10 * MS).stale_if_error(20 * MS));
    let stale = |cache: &Numbers| cache.stale("k").map(|found| found.freshness);
    assert_eq!(stale(&cache), None);
    cache.entry(key("k")).group("g").insert(1);
    assert_eq!(stale(&cache), Some(Freshness::Cached));
    advance(29 * MS).await;
    assert_eq!((stale(&cache), cache.get("k")), (Some(Freshness::Stale), None));
    cache.invalidate("g");
    assert_eq!(stale(&cache), None, "what is invalidated does not stand in");
    cache.insert(key("k"), 1);
    advance(30 * MS).await;
    assert_eq!(stale(&cache), None);
}

#[tokio::test(start_paused = true)]
async fn lasting_failures_are_remembered_where_that_is_wished() {
    let source = Source::default();
    for (negative_ttl, kind, asked) in [
        (0, io::ErrorKind::NotFound, 3),
        (10, io::ErrorKind::NotFound, 1),
        (10, io::ErrorKind::TimedOut, 3),
        (10, io::ErrorKind::PermissionDenied, 3),
    ] {
        let cache = numbers(Config::default().negative_ttl(negative_ttl * MS));
        let before = source.asked();
        for _ in 0..3 {
            let failure = cache.get_or_fetch(key("k"), source.fail(kind, MS)).await.unwrap_err();
            assert_eq!(failure.downcast_ref::<io::Error>().map(io::Error::kind), Some(kind));
            assert_eq!(cache.get("k"), None);
        }
        assert_eq!(source.asked() - before, asked, "{kind:?}");
        advance(10 * MS).await;
        assert_eq!(cache.get_or_fetch(key("k"), source.ask(1, MS)).await.unwrap(), 1);
    }
}
