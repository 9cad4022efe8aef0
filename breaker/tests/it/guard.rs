//! The breaker behind the shared trait.

use std::panic::{AssertUnwindSafe, catch_unwind};

use toolweir_breaker::{Config, Outcome, State, Verdict, Window};
use toolweir_core::{Answer, Call, Clock, Guard, Kind, Method, Permit};

use crate::{Manual, manual, ms};

fn call() -> Call {
    Call::new(Method::TOOLS_CALL, None)
}

fn settle(breaker: &Manual, clock: &dyn Clock, outcome: Outcome) {
    let permit = Permit::acquire(breaker, &call(), clock.now()).expect("admitted");
    permit.settle(&outcome, clock.now());
}

#[test]
fn an_outcome_decides_by_what_it_says_of_the_server() {
    use State::{Closed, HalfOpen, Open};
    let throttled = Outcome::Throttled { retry_after: None };
    let refused = Outcome::NotSent(Kind::CircuitOpen { retry_after: ms(1) });
    // The outcome of a call while closed (one failure opens), and of a probe.
    for (outcome, closed, probed) in [
        (Outcome::OK, Closed, Closed),
        (Outcome::Answered(Answer::ToolError), Closed, Closed),
        (Outcome::Answered(Answer::Protocol(-32602)), Closed, Closed),
        (Outcome::Answered(Answer::Protocol(-32603)), Open, Open),
        (Outcome::Answered(Answer::Status(404)), Closed, Closed),
        (Outcome::Answered(Answer::Status(502)), Open, Open),
        (Outcome::Ambiguous(Kind::Timeout), Open, Open),
        (Outcome::NotSent(Kind::Unreachable), Open, Open),
        (refused, Closed, HalfOpen),
        (Outcome::Abandoned, Closed, HalfOpen),
        (throttled, Closed, Open),
    ] {
        let (clock, breaker) = manual(Config::default().failures(1));
        settle(&breaker, &clock, outcome);
        assert_eq!(breaker.state(), closed, "{outcome:?} while closed");

        let (clock, breaker) = manual(Config::default().failures(1));
        settle(&breaker, &clock, Outcome::Ambiguous(Kind::Timeout));
        clock.advance(ms(60_000));
        settle(&breaker, &clock, outcome);
        assert_eq!(breaker.state(), probed, "{outcome:?} of a probe");
    }
}

#[test]
fn a_refusal_says_when_to_come_back() {
    let (clock, breaker) = manual(Config::default().failures(1));
    settle(&breaker, &clock, Outcome::Ambiguous(Kind::Timeout));
    clock.advance(ms(20_000));
    let refused = breaker.admit(&call(), clock.now()).unwrap_err();
    assert_eq!(refused, Kind::CircuitOpen { retry_after: ms(40_000) });
}

#[test]
fn a_dropped_permit_frees_the_probes_slot() {
    let (clock, breaker) = manual(Config::default().failures(1));
    settle(&breaker, &clock, Outcome::Ambiguous(Kind::Timeout));
    clock.advance(ms(60_000));
    for _ in 0..3 {
        drop(Permit::acquire(&*breaker, &call(), clock.now()).unwrap());
    }
    settle(&breaker, &clock, Outcome::OK);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_late_ticket_decides_nothing() {
    let (clock, breaker) = manual(Config::default().failures(1));
    let late = Permit::acquire(&*breaker, &call(), clock.now()).unwrap();
    settle(&breaker, &clock, Outcome::Ambiguous(Kind::Timeout));
    clock.advance(ms(60_000));
    let probe = Permit::acquire(&*breaker, &call(), clock.now()).unwrap();
    late.settle(&Outcome::OK, clock.now());
    assert_eq!(breaker.state(), State::HalfOpen);
    probe.settle(&Outcome::OK, clock.now());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_panic_is_a_failure_here_too() {
    let (clock, breaker) = manual(Config::default().failures(1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = Permit::acquire(&*breaker, &call(), clock.now()).unwrap();
        panic!("boom");
    }));
    assert!(panicked.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_ticket_remembers_when_its_call_began() {
    for (millis, slow) in [(99, 0), (101, 1)] {
        let window = Window::calls(10).slow(ms(100), 0.5);
        let (clock, breaker) = manual(Config::default().window(window));
        let permit = Permit::acquire(&*breaker, &call(), clock.now()).unwrap();
        clock.advance(ms(millis));
        permit.settle(&Outcome::OK, clock.now());
        assert_eq!(breaker.snapshot().window.unwrap().slow, slow, "{millis} ms");
    }
}

#[test]
fn what_counts_can_be_changed() {
    let strict = |outcome: &Outcome| {
        if outcome.is_ok() { Verdict::Success } else { Verdict::Failure }
    };
    let config = Config::default().failures(1);
    let breaker = toolweir_breaker::Breaker::new(config).unwrap().classify(strict);
    breaker.try_acquire().unwrap().settle(&Outcome::Answered(Answer::ToolError));
    assert_eq!(breaker.state(), State::Open);
}
