//! Real threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use toolweir_breaker::{Breaker, Config, State, Window};

use crate::{manual, ms, run};

fn on_threads(threads: usize, work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

#[test]
fn p3_a_thousand_callers_in_half_open_send_exactly_the_probes() {
    for probes in [1, 3, 10] {
        let (clock, breaker) = manual(Config::default().failures(1).probes(probes));
        run(&*breaker, "f");
        clock.advance(ms(60_000));
        let passed = Mutex::new(Vec::new());
        let refused = AtomicUsize::new(0);
        on_threads(100, |_| {
            for _ in 0..10 {
                match breaker.try_acquire() {
                    Ok(permit) => passed.lock().unwrap().push(permit),
                    Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
            }
        });
        let passed = passed.into_inner().unwrap();
        assert_eq!(passed.len(), probes as usize);
        assert_eq!(refused.into_inner(), 1000 - probes as usize);
        passed.into_iter().for_each(toolweir_breaker::Permit::success);
        assert_eq!(breaker.state(), State::Closed);
    }
}

/// Callers that leave, fail and succeed at once: never more probes live than allowed, and none is lost.
#[test]
fn p3_live_probes_never_exceed_the_permitted() {
    let (clock, breaker) = manual(Config::default().failures(1).probes(3).cooldown(ms(1)));
    run(&*breaker, "f");
    on_threads(4, |thread| {
        for turn in 0..5_000_usize {
            clock.advance(ms(1));
            let Ok(permit) = breaker.try_acquire() else { continue };
            let seen = breaker.snapshot();
            assert!(seen.probes + seen.probes_succeeded <= 3, "{seen:?}");
            match (turn + thread) % 7 {
                0 => permit.failure(),
                1..3 => drop(permit),
                _ => permit.success(),
            }
        }
    });
    breaker.force_open();
    breaker.reset();
    run(&*breaker, "f");
    clock.advance(ms(1));
    run(&*breaker, "sss");
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn no_call_is_counted_twice_or_lost() {
    const CALLS: usize = 20_000;
    for window in [Window::calls(1_000_000), Window::time(ms(1_000_000))] {
        let (_, breaker) = manual(Config::default().window(window.failure_rate(0.9)));
        on_threads(4, |thread| {
            for turn in 0..CALLS {
                let permit = breaker.try_acquire().unwrap();
                if (turn + thread) % 5 == 0 { permit.failure() } else { permit.success() }
            }
        });
        let seen = breaker.snapshot().window.unwrap();
        assert_eq!((seen.calls, seen.failures), (4 * CALLS as u64, 4 * CALLS as u64 / 5));
    }
}

/// More threads than there are counters, alive at once; some of them count under the lock.
#[test]
fn threads_without_a_counter_of_their_own_are_counted_too() {
    for window in [Window::calls(1_000), Window::time(ms(1_000_000))] {
        let (_, breaker) = manual(Config::default().window(window.failure_rate(1.0)));
        let all = Barrier::new(100);
        on_threads(100, |thread| {
            breaker.try_acquire().unwrap().success();
            all.wait();
            if thread % 10 == 0 {
                breaker.try_acquire().unwrap().failure();
            } else {
                breaker.try_acquire().unwrap().success();
            }
        });
        let seen = breaker.snapshot().window.unwrap();
        assert_eq!((seen.calls, seen.failures), (200, 10));
        // The next generation begins with none of them.
        breaker.reset();
        run(&*breaker, "sf");
        let seen = breaker.snapshot().window.unwrap();
        assert_eq!((seen.calls, seen.failures), (2, 1));
    }
}

#[test]
fn a_small_window_that_many_share_never_loses_its_count() {
    let (_, breaker) = manual(Config::default().window(Window::calls(8).failure_rate(1.0)));
    on_threads(4, |thread| {
        for turn in 0..20_000 {
            if let Ok(permit) = breaker.try_acquire() {
                if (turn + thread) % 3 == 0 { permit.failure() } else { permit.success() }
            }
        }
    });
    breaker.force_closed();
    breaker.reset();
    run(&*breaker, "ffffsss");
    let seen = breaker.snapshot().window.unwrap();
    assert_eq!((seen.calls, seen.failures), (7, 4));
    run(&*breaker, "ssssss");
    assert_eq!(breaker.snapshot().window.unwrap().failures, 0);
}

#[test]
fn events_from_many_threads_come_once_and_in_order() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let breaker = Breaker::new(Config::default().failures(1))
        .unwrap()
        .on_transition(move |change| told.lock().unwrap().push(change.generation));
    on_threads(4, |_| {
        for _ in 0..500 {
            if let Ok(permit) = breaker.try_acquire() {
                permit.failure();
            }
            breaker.reset();
        }
    });
    let (seen, heard) = (breaker.snapshot(), heard.lock().unwrap());
    assert!(heard.is_sorted_by(|one, next| one < next), "one at a time, in order");
    // Whoever delivers may be put to sleep by the scheduler for longer than the queue lasts.
    // Every trip is one event, and so is every reset after one.
    let resets = seen.opened - u64::from(seen.state == State::Open);
    assert_eq!(heard.len() as u64 + seen.missed, seen.opened + resets);
}
