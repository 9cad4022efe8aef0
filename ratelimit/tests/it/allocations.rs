//! A check allocates nothing once its key is known, and a million keys stay within the bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hash::{Hash, Hasher};

use toolweir_ratelimit::{Bucket, Limit, Limiter, charge_all_at};

use crate::{at, config};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static HASHED: Cell<usize> = const { Cell::new(0) };
}

/// Counts one allocation of `size`; without effect while the thread ends.
fn count(size: usize) {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    let _ = LIVE.try_with(|live| {
        live.set(live.get().wrapping_add(size));
        // Memory of another thread may be freed here, so the sum may stand below zero.
        let now = if live.get() > usize::MAX / 2 { 0 } else { live.get() };
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe to write; this one only counts")]
// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get().wrapping_sub(layout.size())));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `work` allocates on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn a_check_allocates_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let bucket = Bucket::new(&config(1e6, 5))?;
    let limiter = Limiter::<String>::new(&config(1e6, 5))?;
    let keys: Vec<String> = (0..100).map(|key| format!("client {key}")).collect();
    keys.iter().try_for_each(|key| limiter.check_at(key, at(0)))?;
    assert_eq!(allocations(|| drop(String::from("counted"))), 1);
    let counted = allocations(|| {
        for round in 0..50 {
            let _ = bucket.check_at(at(round / 10));
            let _ = bucket.check();
            for key in &keys {
                let _ = limiter.check_at(key, at(round / 10));
                let _ = limiter.check(key.as_str());
                let all: [(&dyn Limit, u32); 2] = [(&limiter.of(key), 1), (&bucket, 1)];
                if let Ok(charge) = charge_all_at(&all, at(round)) {
                    charge.give_back(&all);
                }
            }
        }
    });
    assert_eq!(counted, 0);
    Ok(())
}

/// A key that counts how often it is hashed: once to be found, and once for each time that its shard is rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        HASHED.set(HASHED.get() + 1);
        self.0.hash(state);
    }
}

/// The longest pause, as work and not as time: a check looks at the keys of one shard at most, to rebuild it, and
/// asks for the memory of one shard. At some ten nanoseconds a key that is a fiftieth of a millisecond.
#[test]
fn p5_a_million_keys_stay_within_a_hundred_bytes_a_key_kept()
-> Result<(), Box<dyn std::error::Error>> {
    // The last is a table of the shard's power of two, which evictions must not make grow.
    for (max_keys, keys, largest) in [(1_000, 50_000, 1 << 16), (90_000, 1_000_000, 1 << 15)] {
        let before = LIVE.get();
        PEAK.set(before);
        let limiter = Limiter::<Key>::new(&config(1.0, 10).max_keys(max_keys))?;
        LARGEST.set(0);
        let mut most = 0;
        for key in 0..keys {
            HASHED.set(0);
            // Five hundred thousand a second, so that nothing becomes idle.
            let _ = limiter.check_at(&Key(key), at(key / 500));
            most = most.max(HASHED.get());
        }
        assert_eq!(limiter.len(), max_keys);
        let bytes = PEAK.get() - before;
        assert!(bytes <= 100 * max_keys, "{bytes} bytes for {max_keys} keys");
        assert!(LARGEST.get() <= largest, "{} bytes at once", LARGEST.get());
        assert!((256..=2_048).contains(&most), "{most} keys looked at in one check");
    }
    Ok(())
}
