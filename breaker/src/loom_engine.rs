//! The engine a second time, on loom's atomics and locks, and every schedule of a few threads through it.

#[path = "engine/calls.rs"]
mod calls;
#[path = "engine/cooldown.rs"]
mod cooldown;
#[path = "engine/machine.rs"]
mod machine;
#[path = "engine/outbox.rs"]
mod outbox;
#[path = "engine/time.rs"]
mod time;
#[path = "engine/window.rs"]
mod window;
#[path = "engine/word.rs"]
mod word;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    loom::thread_local! {
        static NUMBER: std::cell::Cell<Option<usize>> = std::cell::Cell::new(None);
    }
    loom::lazy_static! {
        static ref NEXT: AtomicU64 = AtomicU64::new(0);
    }

    /// Fewer than the threads of most schedules, so that some of them have none.
    pub(crate) fn stripes() -> usize {
        1
    }

    pub(crate) fn number() -> usize {
        NUMBER.with(|number| {
            let taken =
                number.get().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed) as usize);
            number.set(Some(taken));
            taken
        })
    }
}

use std::sync::Arc as StdArc;
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use toolweir_core::Instant;

use self::machine::{Ending, Machine, Pass};
use crate::{Config, State, Window};

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn machine(config: &Config) -> Arc<Machine> {
    let settings = crate::engine::Settings::new(config).expect("valid");
    Arc::new(Machine::new(StdArc::new(settings), 1))
}

/// Admits, or is refused for no longer than the cooldown.
fn admit(machine: &Machine, now: Instant) -> Option<Pass> {
    match machine.admit(now).0 {
        Ok(pass) => Some(pass),
        Err(refused) => {
            assert!(refused.retry_after > Duration::ZERO);
            assert!(refused.retry_after <= Duration::from_secs(60));
            None
        }
    }
}

/// Every schedule with at most so many preemptions.
fn every_schedule(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(run);
}

fn half_open(machine: &Machine) {
    let call = admit(machine, at(0)).expect("closed");
    machine.settle(call, Ending::Failure, at(0));
    assert_eq!(machine.state(), State::Open);
}

#[test]
fn of_three_callers_one_is_the_probe() {
    every_schedule(1, || {
        let machine = machine(&Config::default().failures(1));
        half_open(&machine);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let machine = Arc::clone(&machine);
                thread::spawn(move || u32::from(admit(&machine, at(60)).is_some()))
            })
            .collect();
        let mine = u32::from(admit(&machine, at(60)).is_some());
        let passed: u32 = others.into_iter().map(|other| other.join().expect("joined")).sum();
        assert_eq!(mine + passed, 1);
    });
}

#[test]
fn a_dropped_probe_makes_room_for_exactly_one() {
    every_schedule(2, || {
        let machine = machine(&Config::default().failures(1));
        half_open(&machine);
        let probe = admit(&machine, at(60)).expect("the probe");
        let other = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || admit(&machine, at(60)).is_some())
        };
        machine.settle(probe, Ending::Unknown, at(60));
        let passed = other.join().expect("joined");
        assert_eq!(admit(&machine, at(60)).is_some(), !passed);
    });
}

/// A success sets the failures in a row to zero, which is where a later generation counts its probes.
#[test]
fn a_late_success_takes_no_probe_out_of_the_count() {
    every_schedule(2, || {
        let machine = machine(&Config::default().failures(2));
        let calls: Vec<Pass> = (0..3).filter_map(|_| admit(&machine, at(0))).collect();
        let (first, second, good) = (calls[0], calls[1], calls[2]);
        machine.settle(first, Ending::Failure, at(0));
        let failing = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                machine.settle(second, Ending::Failure, at(0));
                admit(&machine, at(60)).is_some()
            })
        };
        machine.succeed(good, || at(0));
        assert!(failing.join().expect("joined"), "the probe, or a call like any other");
        let seen = machine.snapshot(at(60));
        assert_eq!(seen.probes, u32::from(seen.state == State::HalfOpen));
    });
}

#[test]
fn a_late_success_never_undoes_a_trip() {
    every_schedule(2, || {
        let machine = machine(&Config::default().failures(2));
        let calls: Vec<Pass> = (0..3).filter_map(|_| admit(&machine, at(0))).collect();
        let (first, second, good) = (calls[0], calls[1], calls[2]);
        let failing = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                machine.settle(first, Ending::Failure, at(0));
                machine.settle(second, Ending::Failure, at(0));
            })
        };
        machine.succeed(good, || at(0));
        failing.join().expect("joined");
        let seen = machine.snapshot(at(0));
        // Before the first, between the two, or after both.
        match seen.state {
            State::Open => assert_eq!((seen.opened, seen.failures), (1, 0)),
            _ => assert_eq!((seen.opened, seen.failures), (0, 1)),
        }
    });
}

#[test]
fn two_failures_at_once_are_two() {
    every_schedule(2, || {
        let machine = machine(&Config::default().failures(2));
        let (one, two) = (admit(&machine, at(0)), admit(&machine, at(0)));
        let (one, two) = (one.expect("closed"), two.expect("closed"));
        let other = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || machine.settle(one, Ending::Failure, at(0)))
        };
        machine.settle(two, Ending::Failure, at(0));
        other.join().expect("joined");
        assert_eq!((machine.state(), machine.snapshot(at(0)).opened), (State::Open, 1));
    });
}

#[test]
fn a_refusal_that_races_with_a_probes_verdict_waits_no_longer_than_the_cooldown() {
    every_schedule(2, || {
        let machine = machine(&Config::default().failures(1));
        half_open(&machine);
        let probe = admit(&machine, at(60)).expect("the probe");
        let other = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                admit(&machine, at(60));
            })
        };
        machine.settle(probe, Ending::Failure, at(60));
        other.join().expect("joined");
        assert_eq!(machine.state(), State::Open);
    });
}

/// Good calls count without the lock while a bad one counts with it, in a slice that nobody has begun.
#[test]
fn a_window_of_time_counts_each_call_once() {
    every_schedule(2, || {
        let window = Window::time(Duration::from_secs(10)).minimum(100);
        let machine = machine(&Config::default().window(window));
        let calls: Vec<Pass> = (0..3).filter_map(|_| admit(&machine, at(5))).collect();
        let (one, two, bad) = (calls[0], calls[1], calls[2]);
        let other = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                machine.succeed(one, || at(5));
                machine.succeed(two, || at(5));
            })
        };
        machine.settle(bad, Ending::Failure, at(5));
        other.join().expect("joined");
        let seen = machine.snapshot(at(5)).window.expect("there is one");
        assert_eq!((seen.calls, seen.failures), (3, 1));
    });
}

#[test]
fn a_window_of_calls_counts_each_call_once() {
    every_schedule(2, || {
        let window = Window::calls(4).minimum(4).failure_rate(1.0);
        let machine = machine(&Config::default().window(window));
        let calls: Vec<Pass> = (0..3).filter_map(|_| admit(&machine, at(5))).collect();
        let (one, two, bad) = (calls[0], calls[1], calls[2]);
        let other = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                machine.succeed(one, || at(5));
                machine.succeed(two, || at(5));
            })
        };
        machine.settle(bad, Ending::Failure, at(5));
        other.join().expect("joined");
        let seen = machine.snapshot(at(5)).window.expect("there is one");
        assert_eq!((seen.calls, seen.failures), (3, 1));
    });
}

/// A success of the generation before races with the closing that empties the window.
#[test]
fn a_verdict_of_an_older_generation_is_not_counted_in_the_new_window() {
    for window in [Window::calls(4), Window::time(Duration::from_secs(10))] {
        let config = Config::default().failures(1).window(window);
        every_schedule(2, move || {
            let machine = machine(&config);
            let late = admit(&machine, at(0)).expect("closed");
            half_open(&machine);
            let probe = admit(&machine, at(60)).expect("the probe");
            let other = {
                let machine = Arc::clone(&machine);
                thread::spawn(move || machine.succeed(late, || at(60)))
            };
            machine.settle(probe, Ending::Success, at(60));
            other.join().expect("joined");
            let seen = machine.snapshot(at(60));
            assert_eq!((seen.state, seen.window.expect("there is one").calls), (State::Closed, 0));
        });
    }
}

/// A thread begins a generation's count while another looks.
#[test]
fn what_a_thread_counted_before_is_not_seen_in_a_new_generation() {
    for window in [Window::calls(4), Window::time(Duration::from_secs(10))] {
        let config = Config::default().failures(1).window(window);
        every_schedule(2, move || {
            let machine = machine(&config);
            for _ in 0..2 {
                let call = admit(&machine, at(0)).expect("closed");
                machine.succeed(call, || at(0));
            }
            half_open(&machine);
            let probe = admit(&machine, at(60)).expect("the probe");
            machine.settle(probe, Ending::Success, at(60));
            let call = admit(&machine, at(60)).expect("closed");
            let other = {
                let machine = Arc::clone(&machine);
                thread::spawn(move || machine.snapshot(at(60)).window.expect("there is one").calls)
            };
            machine.succeed(call, || at(60));
            let seen = other.join().expect("joined");
            assert!(seen <= 1, "{seen} calls");
            assert_eq!(machine.snapshot(at(60)).window.expect("there is one").calls, 1);
        });
    }
}
