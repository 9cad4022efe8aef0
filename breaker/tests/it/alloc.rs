//! The paths that every call takes allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use toolweir_breaker::{Breaker, Config, Window};
use toolweir_core::{Call, Guard, Method, Outcome};

use crate::{manual, ms, run};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe to write; this one only counts")]
// SAFETY: every method passes its arguments on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn closed_allocates_nothing() {
    for config in [
        Config::default(),
        Config::default().window(Window::calls(100).slow(ms(1000), 0.5)),
        Config::default().window(Window::time(ms(1000)).slow(ms(1000), 0.5)),
    ] {
        let (clock, breaker) = manual(config);
        let call = Call::new(Method::TOOLS_CALL, None);
        let seen = allocations(|| {
            for _ in 0..1000 {
                clock.advance(ms(3));
                run(&*breaker, "ssfsdst");
                let ticket = breaker.admit(&call, toolweir_breaker::Clock::now(&clock));
                if let Ok(ticket) = ticket {
                    breaker.settle(ticket, &Outcome::OK, toolweir_breaker::Clock::now(&clock));
                }
                drop(breaker.try_acquire_owned());
                let _ = breaker.snapshot();
            }
        });
        assert_eq!(seen, 0);
    }
}

#[test]
fn refusals_and_probes_allocate_nothing() {
    let (clock, breaker) = manual(Config::default().failures(1));
    let seen = allocations(|| {
        for _ in 0..100 {
            run(&*breaker, "fxxxxx");
            clock.advance(ms(60_000));
            run(&*breaker, "ds");
        }
    });
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn a_call_allocates_nothing() {
    let breaker = Breaker::default();
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        let _ = breaker.call(async { Ok::<_, ()>(1) }).await;
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
