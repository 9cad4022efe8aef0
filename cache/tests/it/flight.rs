//! One fetch a key: cancellation, panic, stampede, invalidation.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use toolweir_cache::{Cache, Config, Failure};
use toolweir_core::{Freshness, TokioClock};

use crate::support::{MS, Numbers, Source, key, numbers};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn at_rest(cache: &Numbers) {
    assert_eq!(cache.stats().in_flight, 0, "the table of flights is empty at rest");
}

#[tokio::test(start_paused = true)]
async fn a_stampede_causes_one_fetch() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let (cache, fetch) = (cache.clone(), source.ask(7, 50 * MS));
        callers.spawn(async move { cache.entry(key("k")).fetch(fetch).await });
    }
    let found: Vec<_> = callers.join_all().await.into_iter().map(Result::unwrap).collect();
    assert!(found.iter().all(|found| found.value == 7));
    let fetched = found.iter().filter(|found| found.freshness == Freshness::Fetched).count();
    assert_eq!((fetched, source.asked()), (1, 1));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.hits), (1, 999, 0));
    at_rest(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_flight_survives_its_leader() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let leader = tokio::spawn({
        let (cache, fetch) = (cache.clone(), source.ask(1, 50 * MS));
        async move { cache.get_or_fetch(key("k"), fetch).await }
    });
    sleep(10 * MS).await;
    let follower = tokio::spawn({
        let (cache, fetch) = (cache.clone(), source.ask(2, 50 * MS));
        async move { cache.get_or_fetch(key("k"), fetch).await }
    });
    sleep(10 * MS).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    assert_eq!(follower.await.unwrap().unwrap(), 1);
    assert_eq!(source.asked(), 1);
    assert_eq!(cache.get("k"), Some(1));
    at_rest(&cache);
}

/// Five callers with 20 ms each and a fetch of 50 ms: one fetch where they come together; where each comes before
/// the one before it leaves, with a value at its end; and where each comes after the one before it left, too, if
/// fetches are to be finished.
#[tokio::test(start_paused = true)]
async fn p6_a_flight_survives_its_caller_and_five_impatient_callers_cause_one_fetch() {
    // How far apart they come; whether fetches are finished; how many are; how many callers get the value.
    for (apart, finish, answered, served) in
        [(0, false, 0, 0), (0, true, 1, 0), (10, false, 1, 2), (25, true, 1, 3)]
    {
        let cache: Numbers = Cache::builder(Config::default().finish_abandoned(finish))
            .clock(TokioClock)
            .spawner(|work| drop(tokio::spawn(work)))
            .build()
            .unwrap();
        let (source, mut callers) = (Source::default(), JoinSet::new());
        for number in 0..5u32 {
            let (cache, fetch) = (cache.clone(), source.ask(1, 50 * MS));
            callers.spawn(async move {
                sleep(number * apart * MS).await;
                timeout(20 * MS, cache.get_or_fetch(key("k"), fetch)).await
            });
        }
        let results = callers.join_all().await;
        let in_time = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(in_time, served, "{apart} ms apart");
        sleep(100 * MS).await;
        assert_eq!(
            (source.asked(), source.answered()),
            (1, answered),
            "{apart} ms apart, {finish}"
        );
        assert_eq!(cache.get("k"), (answered > 0).then_some(1));
        at_rest(&cache);
    }
}

/// What a panic may carry: it panics once more when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("again"));
    }
}

/// An abandoned fetch that is to be finished is still invalidated, and still ends with its runtime.
#[tokio::test(start_paused = true)]
async fn a_finished_fetch_is_no_zombie() {
    let cache: Numbers = Cache::builder(Config::default().finish_abandoned(true))
        .clock(TokioClock)
        .spawner(|work| drop(tokio::spawn(work)))
        .build()
        .unwrap();
    let source = Source::default();
    let ask = || cache.entry(key("k")).group("g").fetch(source.ask(1, 50 * MS));
    assert!(timeout(20 * MS, ask()).await.is_err());
    assert_eq!(cache.stats().in_flight, 1);
    cache.invalidate("g");
    sleep(100 * MS).await;
    assert_eq!((cache.get("k"), source.answered()), (None, 1));
    at_rest(&cache);
    // Where nothing runs it, it is dropped, as without.
    let nowhere: Numbers = Cache::builder(Config::default().finish_abandoned(true))
        .clock(TokioClock)
        .spawner(drop)
        .build()
        .unwrap();
    let asked = nowhere.get_or_fetch(key("k"), source.ask(1, 50 * MS));
    assert!(timeout(20 * MS, asked).await.is_err());
    at_rest(&nowhere);
    let broken: Numbers = Cache::builder(Config::default().finish_abandoned(true))
        .clock(TokioClock)
        .spawner(|_| std::panic::resume_unwind(Box::new(Bomb)))
        .build()
        .unwrap();
    let asked = broken.get_or_fetch(key("k"), source.ask(1, 50 * MS));
    assert!(timeout(20 * MS, asked).await.is_err());
    at_rest(&broken);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_nobody_waits_for_is_dropped() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    for _ in 0..3 {
        let fetch = source.ask(1, 50 * MS);
        assert!(timeout(20 * MS, cache.get_or_fetch(key("k"), fetch)).await.is_err());
        at_rest(&cache);
    }
    sleep(100 * MS).await;
    assert_eq!((source.asked(), source.answered()), (3, 0));
    assert_eq!(cache.get("k"), None);
    assert_eq!(cache.get_or_fetch(key("k"), source.ask(9, MS)).await.unwrap(), 9);
}

/// A caller may be polled by another task than before: only that one can be woken to any effect.
#[tokio::test(start_paused = true)]
async fn the_waker_of_the_last_poll_is_woken() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let mut leads = pin!(cache.get_or_fetch(key("k"), source.ask(1, 10 * MS)));
    let mut follows = pin!(cache.get_or_fetch(key("k"), source.ask(2, 10 * MS)));
    let flags = [(); 4].map(|()| Arc::new(Flag::default()));
    let wakers = flags.each_ref().map(|flag| Waker::from(flag.clone()));
    for (leading, following) in [(0, 2), (1, 3)] {
        assert!(leads.as_mut().poll(&mut Context::from_waker(&wakers[leading])).is_pending());
        assert!(follows.as_mut().poll(&mut Context::from_waker(&wakers[following])).is_pending());
    }
    sleep(10 * MS).await;
    let woken = flags.map(|flag| flag.0.load(Ordering::SeqCst));
    assert_eq!(woken, [false, true, false, true]);
    assert_eq!((leads.await.unwrap(), follows.await.unwrap()), (1, 1));
}

/// Does what it was told to while it is cloned: after a look into the store has found it, and before anything comes of it.
#[derive(Debug, PartialEq)]
struct Hooked(u64);

thread_local! {
    static HOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

impl Clone for Hooked {
    fn clone(&self) -> Self {
        if let Some(hook) = HOOK.take() {
            hook();
        }
        Self(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_ends_while_another_caller_looks_is_not_repeated() {
    let config = Config::default().ttl(10 * MS).stale_if_error(1_000 * MS);
    let cache: Cache<u8, Hooked> = Cache::builder(config).clock(TokioClock).build().unwrap();
    cache.insert(1, Hooked(1));
    sleep(10 * MS).await;
    let mut before = Box::pin({
        let cache = cache.clone();
        async move {
            let fetch = async {
                yield_now().await;
                Ok::<_, io::Error>(Hooked(2))
            };
            cache.entry(1).fetch(fetch).await
        }
    });
    let mut poll = move || before.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    yield_now().await;
    HOOK.set(Some(Box::new(move || assert!(poll().is_ready(), "its fetch has ended"))));
    let fetch = async { Ok::<_, io::Error>(Hooked(3)) };
    let found = cache.entry(1).fetch(fetch).await.unwrap();
    assert_eq!((found.value, found.freshness), (Hooked(2), Freshness::Cached));
    assert_eq!(cache.stats().stored, 2);
}

/// What moka's own `get_with` did not survive: after 200 cancelled leaders it panicked a waiter.
#[tokio::test(start_paused = true)]
async fn two_hundred_leaders_in_a_row_may_leave() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let mut waiting = Vec::new();
    for _ in 0..201 {
        let (cache, fetch) = (cache.clone(), source.ask(5, 50 * MS));
        waiting.push(tokio::spawn(async move { cache.get_or_fetch(key("k"), fetch).await }));
        yield_now().await;
    }
    let last = waiting.pop().unwrap();
    for leader in waiting {
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
    }
    assert_eq!(last.await.unwrap().unwrap(), 5);
    assert_eq!(source.asked(), 1);
    at_rest(&cache);
}

/// A caller that holds its future without polling it must not stop the others.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_stops_nobody() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let mut held = pin!(cache.get_or_fetch(key("k"), source.ask(3, 50 * MS)));
    poll_fn(|context| {
        assert!(held.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    let other = cache.get_or_fetch(key("k"), source.ask(4, 50 * MS));
    assert_eq!(timeout(100 * MS, other).await.unwrap().unwrap(), 3);
    assert_eq!(held.await.unwrap(), 3);
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_for_every_waiter_and_poisons_nothing() {
    let cache = numbers(Config::default());
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let cache = cache.clone();
        callers.spawn(async move {
            let fetch = async {
                sleep(10 * MS).await;
                panic!("the fetch is broken")
            };
            cache.get_or_fetch::<_, io::Error>(key("k"), fetch).await
        });
    }
    for result in callers.join_all().await {
        assert!(matches!(result, Err(Failure::Panicked)), "{result:?}");
    }
    assert_eq!(cache.stats().failures, 1);
    at_rest(&cache);
    assert_eq!(cache.get_or_fetch(key("k"), Source::default().ask(1, MS)).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_every_waiter_and_is_not_stored() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    for round in 1..=2 {
        let (one, other) = tokio::join!(
            cache.get_or_fetch(key("k"), source.fail(io::ErrorKind::TimedOut, 10 * MS)),
            cache.get_or_fetch(key("k"), source.fail(io::ErrorKind::TimedOut, 10 * MS)),
        );
        for result in [one, other] {
            let failure = result.unwrap_err();
            let error = failure.downcast_ref::<io::Error>().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(source.asked(), round);
    }
    assert_eq!(cache.stats().entries, 0);
    at_rest(&cache);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_capped_per_key() {
    let (cache, source) = (numbers(Config::default().max_waiters(3)), Source::default());
    let mut callers = JoinSet::new();
    for _ in 0..5 {
        let (cache, fetch) = (cache.clone(), source.ask(1, 10 * MS));
        callers.spawn(async move { cache.get_or_fetch(key("k"), fetch).await });
    }
    let results = callers.join_all().await;
    let refused =
        results.iter().filter(|result| matches!(result, Err(Failure::Overloaded))).count();
    assert_eq!(refused, 2);
    assert_eq!((cache.stats().refused, source.asked()), (2, 1));
}

/// Something is invalidated while it is being fetched: the fetch is neither stored nor shared with those who come
/// later, and those who came before get it.
#[tokio::test(start_paused = true)]
async fn invalidation_during_a_fetch_is_not_lost() {
    type Forget = fn(&Numbers);
    let ways: [(&str, Forget); 5] = [
        ("group", |cache| cache.invalidate("g")),
        ("second group", |cache| cache.invalidate("h")),
        ("prefix", |cache| cache.invalidate_prefix("g")),
        ("key", |cache| cache.remove("k")),
        ("all", Numbers::clear),
    ];
    for (way, forget) in ways {
        let (cache, source) = (numbers(Config::default()), Source::default());
        let caller = |value| {
            let (cache, fetch) = (cache.clone(), source.ask(value, 50 * MS));
            tokio::spawn(async move {
                cache.entry(key("k")).group("g").group("h").fetch(fetch).await.unwrap().value
            })
        };
        let before = caller(1);
        sleep(10 * MS).await;
        forget(&cache);
        let after = caller(2);
        sleep(10 * MS).await;
        let late = caller(3);
        assert_eq!(before.await.unwrap(), 1, "{way}");
        assert_eq!(cache.get("k"), None, "{way}: a fetch from before is not stored");
        assert_eq!((after.await.unwrap(), late.await.unwrap()), (2, 2), "{way}");
        assert_eq!(cache.get("k"), Some(2), "{way}");
        assert_eq!(source.asked(), 2, "{way}");
        at_rest(&cache);
    }
}

/// An older fetch that ends after a newer one does not replace what the newer one stored.
#[tokio::test(start_paused = true)]
async fn an_older_fetch_does_not_replace_a_newer_one() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let caller = |value, delay| {
        let (cache, fetch) = (cache.clone(), source.ask(value, delay));
        tokio::spawn(async move { cache.entry(key("k")).group("g").fetch(fetch).await })
    };
    let old = caller(1, 50 * MS);
    sleep(MS).await;
    cache.invalidate("g");
    let new = caller(2, 10 * MS);
    assert_eq!(new.await.unwrap().unwrap().value, 2);
    assert_eq!(old.await.unwrap().unwrap().value, 1);
    assert_eq!(cache.get("k"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_inserted_during_a_fetch_stays() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let fetching = tokio::spawn({
        let (cache, fetch) = (cache.clone(), source.ask(1, 50 * MS));
        async move { cache.get_or_fetch(key("k"), fetch).await }
    });
    sleep(10 * MS).await;
    cache.insert(key("k"), 2);
    assert_eq!(fetching.await.unwrap().unwrap(), 1);
    assert_eq!(cache.get("k"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn keys_do_not_wait_for_each_other() {
    let (cache, source) = (numbers(Config::default()), Source::default());
    let stuck = cache.get_or_fetch::<_, io::Error>(key("stuck"), pending());
    let other = cache.get_or_fetch(key("other"), source.ask(1, 10 * MS));
    let (stuck, other) = tokio::join!(timeout(20 * MS, stuck), timeout(20 * MS, other));
    assert!(stuck.is_err());
    assert_eq!(other.unwrap().unwrap(), 1);
    at_rest(&cache);
}
