//! Ranking and feedback allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use toolweir_core::{Kind, Outcome};
use toolweir_router::Config;

use crate::support::*;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts, for this test")]
// SAFETY: every request is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(act: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    act();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn ranking_and_feedback_allocate_nothing() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1, "the counter counts");
    for servers in [8, 1000] {
        for config in [Config::default(), Config::default().tolerated_errors(0)] {
            let (router, ids) = pool(config, servers);
            router.set_capabilities(ids[0], ["x", "y"]);
            let call = call().deadline(at(60_000));
            let mut picker = router.picker(["x"]);
            let mut work = || {
                for step in 0..200 {
                    let now = at(step * 10);
                    let id = router.rank_at(&["x"], now)[0];
                    assert_eq!(router.rank_at(&["x", "y"], now)[0], ids[0]);
                    assert_eq!(router.rank_sticky_at(&["x"], "key", now).len(), 4);
                    assert_eq!(router.rank_among_at(&ids, now).len(), 4);
                    router.pick_at(&["x"], now).unwrap().succeed(now + ms(1));
                    picker.pick_at(now).unwrap().fail(now + ms(1));
                    drop(router.start_at(id, now));
                    let outcome =
                        if step % 3 == 0 { Outcome::Ambiguous(Kind::Timeout) } else { Outcome::OK };
                    router.start_at(id, now).unwrap().settle(&outcome, now + ms(2));
                    let _ = &call;
                }
            };
            work(); // each thread's first look at the table prepares its own place
            assert_eq!(allocations(&mut work), 0, "{servers} servers");
        }
    }
}
