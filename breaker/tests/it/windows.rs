//! Windows, exactly.

use toolweir_breaker::{Config, Reason, State, Window};

use crate::{manual, ms, run};

#[test]
fn p1_a_window_of_100_opens_on_the_50th_failure_whatever_came_before() {
    for before in [100, 101, 1_000, 12_345] {
        let (_, breaker) = manual(Config::default().window(Window::calls(100).failure_rate(0.5)));
        run(&*breaker, &"s".repeat(before));
        run(&*breaker, &"f".repeat(49));
        assert_eq!(breaker.state(), State::Closed, "49 after {before}");
        run(&*breaker, "f");
        assert_eq!(breaker.state(), State::Open, "50 after {before}");
    }
}

#[test]
fn p1_failures_that_have_left_the_window_do_not_count() {
    let (_, breaker) = manual(Config::default().window(Window::calls(100).failure_rate(0.5)));
    run(&*breaker, &"s".repeat(51));
    run(&*breaker, &"f".repeat(49));
    run(&*breaker, &"s".repeat(52)); // pushes out the 51 and the first failure
    let failures = || breaker.snapshot().window.unwrap().failures;
    assert_eq!(failures(), 48);
    run(&*breaker, &"f".repeat(48)); // each pushes out one like itself
    assert_eq!(failures(), 48);
    run(&*breaker, "f");
    assert_eq!((breaker.state(), failures()), (State::Closed, 49));
    run(&*breaker, "f");
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_rate_counts_only_from_the_minimum_on() {
    let window = Window::calls(100).minimum(20).failure_rate(0.1);
    let (_, breaker) = manual(Config::default().window(window));
    run(&*breaker, &"f".repeat(19));
    assert_eq!(breaker.state(), State::Closed);
    run(&*breaker, "f");
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn shares_are_exact() {
    for percent in 1..=100_u32 {
        let rate = f64::from(percent) / 100.0;
        let (_, breaker) = manual(Config::default().window(Window::calls(100).failure_rate(rate)));
        run(&*breaker, &"s".repeat(100));
        run(&*breaker, &"f".repeat(percent as usize - 1));
        assert_eq!(breaker.state(), State::Closed, "{percent} % less one");
        run(&*breaker, "f");
        assert_eq!(breaker.state(), State::Open, "{percent} %");
    }
}

#[test]
fn a_window_of_time_forgets_in_tenths() {
    let window = Window::time(ms(1000)).minimum(4).failure_rate(0.5);
    let (clock, breaker) = manual(Config::default().window(window));
    run(&*breaker, "fff");
    clock.advance(ms(900));
    assert_eq!(breaker.snapshot().window.unwrap().failures, 3);
    clock.advance(ms(100));
    assert_eq!(breaker.snapshot().window.unwrap().calls, 0);
    run(&*breaker, "sssf");
    assert_eq!(breaker.state(), State::Closed, "one of four");
    clock.advance(ms(100));
    run(&*breaker, "ff");
    assert_eq!(breaker.state(), State::Open, "three of six");
}

#[test]
fn slow_calls_open_and_fast_ones_do_not() {
    for (millis, state) in [(99, State::Closed), (100, State::Open)] {
        let window = Window::calls(10).slow(ms(100), 0.5);
        let (clock, breaker) = manual(Config::default().window(window));
        for _ in 0..10 {
            let permit = breaker.try_acquire().unwrap();
            clock.advance(ms(millis));
            permit.success();
        }
        assert_eq!(breaker.state(), state, "calls of {millis} ms");
    }
}

#[test]
fn a_slow_probe_is_a_failed_probe() {
    let window = Window::calls(10).slow(ms(100), 0.5);
    let (clock, breaker) = manual(Config::default().failures(1).window(window));
    run(&*breaker, "f");
    clock.advance(ms(60_000));
    let probe = breaker.try_acquire().unwrap();
    clock.advance(ms(100));
    probe.success();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_window_starts_empty_after_recovery() {
    let (clock, breaker) = manual(Config::default().window(Window::calls(10)));
    run(&*breaker, "ssssffffff"); // the tenth is the first that may open
    assert_eq!(breaker.state(), State::Open);
    clock.advance(ms(60_000));
    run(&*breaker, "sfffffffff");
    assert_eq!(breaker.snapshot().window.unwrap().calls, 9);
    run(&*breaker, "f");
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_window_and_failures_in_a_row_work_together() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&seen);
    let config = Config::default().failures(3).window(Window::calls(10));
    let breaker = toolweir_breaker::Breaker::new(config)
        .unwrap()
        .on_transition(move |change| told.lock().unwrap().push(change.reason));
    run(&breaker, "sfff");
    breaker.reset();
    run(&breaker, "ffsffsffsf");
    assert_eq!(*seen.lock().unwrap(), [Reason::Failures, Reason::Forced, Reason::FailureRate]);
}

/// Work is counted, not timed: what one call more does must not depend on how many the window holds. A scan
/// would take the calls behind the first million, half of them bad, hours.
#[test]
fn p4_a_million_calls_in_the_window_change_nothing() {
    for window in [Window::calls(1_000_000), Window::time(ms(3_600_000))] {
        let (_, breaker) = manual(Config::default().window(window.failure_rate(0.6)));
        for _ in 0..1_000_000 {
            breaker.try_acquire().unwrap().success();
        }
        for _ in 0..50_000 {
            breaker.try_acquire().unwrap().failure();
            breaker.try_acquire().unwrap().success();
        }
        let seen = breaker.snapshot().window.unwrap();
        assert_eq!(seen.failures, 50_000);
    }
}
