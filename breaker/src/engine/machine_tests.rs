//! What the machine does without its lock. The same calls fare the same with it, so only here does it show.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::Instant;

use super::machine::{Ending, Machine, Pass};
use super::settings::Settings;
use super::word::Phase;
use crate::{Config, Refused, State, Window};

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn machine(config: Config) -> Machine {
    Machine::new(Arc::new(Settings::new(&config).unwrap()), 1)
}

/// One that opened at 5 s for 10 s.
fn opened(config: Config) -> Machine {
    let machine = machine(config.failures(1).cooldown(Duration::from_secs(10)));
    let pass = machine.admit(at(0)).0.unwrap();
    machine.settle(pass, Ending::Failure, at(5 * SECOND));
    assert_eq!(machine.state(), State::Open);
    machine
}

fn refused(state: State, nanos: u64) -> Option<Refused> {
    Some(Refused { state, retry_after: Duration::from_nanos(nanos) })
}

#[test]
fn who_lets_all_pass_does_so_at_once() {
    let machine = machine(Config::default());
    for (phase, generation) in [
        (Phase::ForcedClosed, Some(1)),
        (Phase::Disabled, Some(2)),
        (Phase::ForcedOpen, None),
        (Phase::Closed, Some(4)),
    ] {
        machine.force(phase, at(0));
        assert_eq!(machine.admit_at_once(), generation, "{phase:?}");
        assert_eq!(machine.refuse_at_once(at(0)).is_some(), phase == Phase::ForcedOpen);
    }
    assert_eq!(opened(Config::default()).admit_at_once(), None);
}

#[test]
fn an_open_one_refuses_at_once_until_its_time() {
    let machine = opened(Config::default());
    let cases = [
        (5, refused(State::Open, 10 * SECOND)),
        (14, refused(State::Open, SECOND)),
        (15, None),
        (16, None),
        (4, None), // a clock that went back: the lock sees to it that the wait grows no longer
    ];
    for (second, expected) in cases {
        assert_eq!(machine.refuse_at_once(at(second * SECOND)), expected, "at {second} s");
    }
    machine.force(Phase::ForcedOpen, at(0));
    assert_eq!(machine.refuse_at_once(at(0)), refused(State::Open, 10 * SECOND));
}

#[test]
fn a_half_open_one_refuses_at_once_while_all_probes_are_out() {
    let machine = opened(Config::default().probes(2).probe_timeout(Duration::from_secs(4)));
    let first = machine.admit(at(20 * SECOND)).0.unwrap();
    assert_eq!(machine.refuse_at_once(at(20 * SECOND)), None, "one may follow");
    machine.admit(at(20 * SECOND)).0.unwrap();
    let cases = [
        (20 * SECOND, refused(State::HalfOpen, SECOND)),
        (24 * SECOND - 5, refused(State::HalfOpen, 5)),
        (24 * SECOND, None), // the probes are lost, which the lock decides
        (19 * SECOND, None),
    ];
    for (time, expected) in cases {
        assert_eq!(machine.refuse_at_once(at(time)), expected, "at {time}");
    }
    machine.settle(first, Ending::Unknown, at(21 * SECOND));
    assert_eq!(machine.refuse_at_once(at(21 * SECOND)), None, "a place is free again");
}

#[test]
fn a_clock_that_went_back_loses_no_probe_and_makes_no_wait_longer() {
    let machine = opened(Config::default().probe_timeout(Duration::from_secs(4)));
    let probe = machine.admit(at(20 * SECOND)).0.unwrap();
    let back = machine.admit(at(3 * SECOND)).0;
    assert_eq!(back.err(), refused(State::HalfOpen, SECOND));
    assert_eq!(machine.state(), State::HalfOpen);
    // The probe's time now ends at 7 s by the clock as it is.
    assert_eq!(machine.refuse_at_once(at(7 * SECOND - 1)), refused(State::HalfOpen, 1));
    assert_eq!(machine.admit(at(7 * SECOND)).0.unwrap_err().state, State::Open);
    machine.settle(probe, Ending::Success, at(7 * SECOND));
    assert_eq!(machine.state(), State::Open, "too late");
}

#[test]
fn fresh_is_closed_with_nothing_counted() {
    let windows = [None, Some(Window::calls(10)), Some(Window::time(Duration::from_secs(10)))];
    for window in windows {
        let counts_calls = window.is_some();
        let mut config = Config::default().failures(3);
        config.window = window;
        let machine = machine(config);
        let pass = Pass { generation: 0, admitted: at(0) };
        assert!(machine.is_fresh(at(0)));
        machine.succeed(pass, || at(0));
        assert_eq!(machine.is_fresh(at(0)), !counts_calls);
        machine.force(Phase::Closed, at(0));
        assert!(machine.is_fresh(at(0)), "begun again");
        let pass = Pass { generation: 1, ..pass };
        machine.settle(pass, Ending::Failure, at(0));
        assert!(!machine.is_fresh(at(0)));
        machine.succeed(pass, || at(0));
        assert_eq!(machine.is_fresh(at(0)), !counts_calls, "no failures in a row");
        for phase in [Phase::ForcedClosed, Phase::Disabled, Phase::ForcedOpen] {
            machine.force(phase, at(0));
            assert!(!machine.is_fresh(at(0)), "{phase:?}");
        }
    }
    assert!(!opened(Config::default()).is_fresh(at(0)));
}

#[test]
fn the_time_matters_where_calls_can_be_slow() {
    assert!(!machine(Config::default()).is_timed());
    let window = Window::calls(10);
    assert!(!machine(Config::default().window(window.clone())).is_timed());
    let slow = window.slow(Duration::from_secs(1), 0.5);
    assert!(machine(Config::default().window(slow)).is_timed());
}
