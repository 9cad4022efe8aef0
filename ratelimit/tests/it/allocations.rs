//! A check allocates nothing once its key is known.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use toolweir_ratelimit::{Bucket, Limiter};

use crate::{at, config};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe to write; this one only counts")]
// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
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
            }
        }
    });
    assert_eq!(counted, 0);
    Ok(())
}
