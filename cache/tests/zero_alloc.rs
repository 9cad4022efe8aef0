//! What the hot path allocates: nothing. And what the rest takes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use toolweir_cache::{Cache, Config, ReplyCache};
use toolweir_core::{CacheKey, Lookup, Principal, RawJson, Reply, Store};

/// Counts the allocations of each thread, and the bytes that it holds.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(layout.size())));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(layout.size())));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

const LOOKS: usize = 10_000;

fn a_hit_allocates_nothing() {
    let cache: Cache<String, u64> = Cache::new(Config::default()).unwrap();
    let keys: Vec<_> = (0..500).map(|number| format!("key {number}")).collect();
    for key in &keys {
        cache.entry(key.clone()).group("g").insert(1);
    }
    let read = || {
        for _ in 0..20 {
            for key in &keys {
                assert!(black_box(cache.get(key.as_str())).is_some());
            }
        }
    };
    read(); // this thread's state is made once
    assert_eq!(allocations(read), 0);
}

async fn a_hit_through_get_or_fetch_allocates_nothing() {
    let cache: Cache<u64, u64> = Cache::new(Config::default()).unwrap();
    cache.insert(7, 1);
    for warm in [true, false] {
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..LOOKS {
            let fetch = async { Err::<u64, std::io::Error>(std::io::ErrorKind::Other.into()) };
            assert_eq!(cache.get_or_fetch(7, fetch).await.unwrap(), 1);
        }
        let allocated = ALLOCATIONS.with(Cell::get) - before;
        assert!(warm || allocated == 0, "{allocated} allocations in {LOOKS} hits");
    }
}

async fn a_reply_hit_allocates_nothing() {
    let cache = ReplyCache::new(Config::default()).unwrap();
    let key = CacheKey {
        group: "github".into(),
        principal: Some(Principal::local()),
        text: "tools/list".into(),
    };
    let lookup = Lookup::new(key.clone()).ttl(std::time::Duration::from_secs(60));
    let reply = Reply::new(RawJson::of("x").unwrap());
    cache.get_or_fetch(lookup, Box::pin(async move { Ok(reply) })).await.unwrap();
    let read = || {
        for _ in 0..LOOKS {
            assert!(black_box(cache.get(&key)).is_some());
        }
    };
    read();
    assert_eq!(allocations(read), 0);
}

/// What a fetch for one caller allocates: its slot with the key, the flight, the work in its box. No lists of waiters.
async fn a_miss_allocates_four_times() {
    let cache: Cache<u64, u64> = Cache::new(Config::default()).unwrap();
    for warm in [true, false] {
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..LOOKS {
            let fetch = async { Ok::<_, std::io::Error>(1) };
            let found = cache.entry(7).ttl(std::time::Duration::ZERO).fetch(fetch).await;
            assert_eq!(found.unwrap().value, 1);
        }
        let allocated = ALLOCATIONS.with(Cell::get) - before;
        assert!(warm || allocated <= 4 * LOOKS, "{allocated} allocations in {LOOKS} misses");
    }
}

/// Of small values the most is the cache's own part, which is reckoned and not measured.
#[test]
fn the_bytes_that_are_said_are_taken() {
    for entries in [1_000, 10_000, 50_000] {
        let before = HELD.get();
        let cache: Cache<u64, u64> = Cache::new(Config::default().max_entries(entries)).unwrap();
        (0..2 * entries).for_each(|number| cache.insert(number, number));
        let (said, taken) = (cache.stats().bytes, HELD.get().wrapping_sub(before));
        let ratio = taken as f64 / said as f64;
        assert!((0.8..1.06).contains(&ratio), "{taken} bytes of {said} for {entries} entries");
    }
}

#[test]
fn hits_allocate_nothing() {
    a_hit_allocates_nothing();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(a_hit_through_get_or_fetch_allocates_nothing());
    runtime.block_on(a_reply_hit_allocates_nothing());
    runtime.block_on(a_miss_allocates_four_times());
}
