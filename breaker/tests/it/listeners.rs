//! Who listens hears every transition once, in order, and may do as they like.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use toolweir_breaker::{Breaker, Config, ManualClock, Mode, Reason, State, Transition};

use crate::{Manual, ms, run};

fn heard(config: Config) -> (Arc<ManualClock>, Manual, Arc<Mutex<Vec<Transition>>>) {
    let clock = Arc::new(ManualClock::new());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let breaker = Breaker::with_clock(config, Arc::clone(&clock))
        .expect("valid")
        .on_transition(move |change| told.lock().expect("whole").push(*change));
    (clock, breaker, heard)
}

#[test]
fn one_event_a_transition_in_order() {
    let (clock, breaker, heard) = heard(Config::default().failures(1).probe_timeout(ms(10)));
    run(&breaker, "fxx");
    clock.advance(ms(60_000));
    run(&breaker, "f");
    clock.advance(ms(60_000));
    run(&breaker, "t");
    clock.advance(ms(60_000));
    std::mem::forget(breaker.try_acquire().unwrap());
    clock.advance(ms(10));
    run(&breaker, "x");
    clock.advance(ms(60_000));
    run(&breaker, "ds");
    breaker.force_open();
    breaker.force_open();
    breaker.reset();
    breaker.reset();
    use {Reason as R, State as S};
    let expected = [
        (S::Closed, S::Open, R::Failures, 60_000),
        (S::Open, S::HalfOpen, R::CooldownOver, 0),
        (S::HalfOpen, S::Open, R::ProbeFailed, 60_000),
        (S::Open, S::HalfOpen, R::CooldownOver, 0),
        (S::HalfOpen, S::Open, R::ProbeThrottled, 60_000),
        (S::Open, S::HalfOpen, R::CooldownOver, 0),
        (S::HalfOpen, S::Open, R::ProbeLost, 60_000),
        (S::Open, S::HalfOpen, R::CooldownOver, 0),
        (S::HalfOpen, S::Closed, R::ProbesSucceeded, 0),
        (S::Closed, S::Open, R::Forced, 60_000),
        (S::Open, S::Closed, R::Forced, 0),
    ];
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), expected.len());
    for (place, (seen, (from, to, reason, wait))) in heard.iter().zip(expected).enumerate() {
        assert_eq!((seen.from, seen.to, seen.reason), (from, to, reason), "event {place}");
        assert_eq!(seen.retry_after, ms(wait), "event {place}");
        assert_eq!(seen.generation as usize, place + 1);
    }
    assert_eq!(heard[9].mode, Mode::ForcedOpen);
    assert_eq!(heard[10].mode, Mode::Automatic);
}

#[test]
fn a_listener_may_use_the_breaker() {
    let shared: Arc<OnceLock<Weak<Breaker>>> = Arc::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, told) = (Arc::clone(&shared), Arc::clone(&seen));
    let breaker =
        Breaker::new(Config::default().failures(1)).unwrap().on_transition(move |change| {
            let breaker = inside.get().and_then(Weak::upgrade).expect("alive");
            told.lock().unwrap().push((change.to, breaker.snapshot().state));
            if change.to == State::Open {
                breaker.reset(); // heard after this returns, not within it
                assert_eq!(told.lock().unwrap().len(), 1);
            }
        });
    let breaker = Arc::new(breaker);
    shared.set(Arc::downgrade(&breaker)).unwrap();
    run(&*breaker, "f");
    let expected = [(State::Open, State::Open), (State::Closed, State::Closed)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_listener_that_panics_harms_nobody() {
    let heard = Arc::new(Mutex::new(0));
    let told = Arc::clone(&heard);
    let breaker = Breaker::new(Config::default().failures(1))
        .unwrap()
        .on_transition(|_| panic!("boom"))
        .on_transition(move |_| *told.lock().unwrap() += 1);
    run(&breaker, "fx");
    breaker.reset();
    run(&breaker, "sfx");
    assert_eq!(*heard.lock().unwrap(), 3);
}

#[test]
fn a_listener_that_never_keeps_up_misses_the_oldest() {
    let shared: Arc<OnceLock<Weak<Breaker>>> = Arc::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, told) = (Arc::clone(&shared), Arc::clone(&seen));
    let breaker = Breaker::new(Config::default()).unwrap().on_transition(move |change| {
        told.lock().unwrap().push(change.generation);
        if change.generation == 1 {
            let breaker = inside.get().and_then(Weak::upgrade).expect("alive");
            for _ in 0..150 {
                breaker.reset();
                breaker.force_open();
            }
        }
    });
    let breaker = Arc::new(breaker);
    shared.set(Arc::downgrade(&breaker)).unwrap();
    breaker.force_open();
    assert_eq!(breaker.snapshot().missed, 300 - 256);
    let seen = seen.lock().unwrap();
    assert_eq!((seen.len(), seen[1], seen[256]), (257, 300 - 256 + 2, 301));
}
