//! The arrows, one line each.

use toolweir_breaker::{Config, Mode, State};

use crate::{manual, ms, run};

/// Runs `script` with the clock moved by 1 s at each `.`, and compares the end.
fn check(config: Config, script: &str, state: State) {
    let (clock, breaker) = manual(config);
    for part in script.split_inclusive('.') {
        run(&*breaker, part.trim_end_matches('.'));
        if part.ends_with('.') {
            clock.advance(ms(1000));
        }
    }
    assert_eq!(breaker.state(), state, "after {script}");
}

#[test]
fn each_arrow() {
    let one_second = || Config::default().failures(2).cooldown(ms(1000));
    for (script, state) in [
        ("", State::Closed),
        ("f", State::Closed),
        ("ff", State::Open),
        ("fsf", State::Closed),
        ("fsff", State::Open),
        ("fdf", State::Open),
        ("ftf", State::Open),
        ("tttt", State::Closed),
        ("dddd", State::Closed),
        ("ffxxx", State::Open),
        ("ff.", State::Open),
        ("ff.d", State::HalfOpen),
        ("ff.dd", State::HalfOpen),
        ("ff.s", State::Closed),
        ("ff.sf", State::Closed),
        ("ff.sff", State::Open),
        ("ff.ds", State::Closed),
        ("ff.f", State::Open),
        ("ff.fx", State::Open),
        ("ff.f.s", State::Closed),
        ("ff.tx", State::Open),
        ("ff.t.s", State::Closed),
    ] {
        check(one_second(), script, state);
    }
    for (script, state) in [
        ("ff.s", State::HalfOpen),
        ("ff.ss", State::HalfOpen),
        ("ff.sss", State::Closed),
        ("ff.ssf", State::Open),
        ("ff.sdsds", State::Closed),
    ] {
        check(one_second().probes(3), script, state);
    }
}

#[test]
fn the_default_is_five_failures_sixty_seconds_one_probe() {
    let (clock, breaker) = manual(Config::default());
    run(&*breaker, "ffff");
    assert_eq!(breaker.state(), State::Closed);
    run(&*breaker, "f");
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, ms(60_000));
    clock.advance(ms(59_999));
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, ms(1));
    clock.advance(ms(1));
    let probe = breaker.try_acquire().unwrap();
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!((refused.state, refused.retry_after), (State::HalfOpen, ms(1000)));
    probe.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn the_cooldown_grows_to_its_cap_and_starts_again_when_closed() {
    let config = Config::default().failures(1).cooldown(ms(100)).max_cooldown(ms(500));
    let (clock, breaker) = manual(config);
    let mut waits = Vec::new();
    for script in ["f", "f", "f", "f", "t", "sf", "f"] {
        run(&*breaker, script);
        let wait = breaker.try_acquire().unwrap_err().retry_after;
        waits.push(wait.as_millis());
        clock.advance(wait);
    }
    // A throttled probe repeats the wait of the failure before it.
    assert_eq!(waits, [100, 200, 400, 500, 500, 100, 200]);
}

#[test]
fn a_throttled_probe_waits_for_as_long_as_asked_within_the_cap() {
    let config = Config::default().failures(1).cooldown(ms(100)).max_cooldown(ms(500));
    for (asked, waited) in [(None, 100), (Some(50), 100), (Some(300), 300), (Some(9_000), 500)] {
        let (clock, breaker) = manual(config.clone());
        run(&*breaker, "f");
        clock.advance(ms(100));
        breaker.try_acquire().unwrap().throttled(asked.map(ms));
        assert_eq!(breaker.try_acquire().unwrap_err().retry_after, ms(waited), "{asked:?}");
    }
}

#[test]
fn jitter_is_the_same_for_the_same_seed() {
    let wait = |seed| {
        let (_, breaker) = manual(Config::default().failures(1).jitter(0.5).seed(seed));
        run(&*breaker, "f");
        breaker.try_acquire().unwrap_err().retry_after
    };
    assert_eq!(wait(1), wait(1));
    assert_ne!(wait(1), wait(2));
    assert!((0..100).map(wait).all(|wait| (ms(30_000)..=ms(60_000)).contains(&wait)));
}

#[test]
fn an_operator_decides_until_told_otherwise() {
    let (clock, breaker) = manual(Config::default().failures(1));
    breaker.force_open();
    clock.advance(ms(3_600_000));
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, ms(60_000));
    assert_eq!(breaker.snapshot().mode, Mode::ForcedOpen);

    breaker.force_closed();
    run(&*breaker, "fff");
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 3));

    breaker.disable();
    run(&*breaker, "fff");
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 0));

    breaker.reset();
    assert_eq!(breaker.snapshot().mode, Mode::Automatic);
    run(&*breaker, "fx");
}

#[test]
fn a_reset_forgets_even_while_closed() {
    let (_, breaker) = manual(Config::default().failures(2));
    run(&*breaker, "f");
    let late = breaker.try_acquire().unwrap();
    breaker.reset();
    late.failure();
    run(&*breaker, "f");
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 1));
}

#[test]
fn looking_at_it_changes_nothing() {
    let (clock, breaker) = manual(Config::default().failures(1));
    run(&*breaker, "f");
    clock.advance(ms(60_000));
    for _ in 0..3 {
        let seen = breaker.snapshot();
        assert_eq!((seen.state, seen.retry_after, seen.generation), (State::Open, ms(0), 1));
    }
}

#[test]
fn a_snapshot_is_json() {
    let (_, breaker) = manual(Config::default().failures(1));
    run(&*breaker, "fx");
    let json = serde_json::to_value(breaker.snapshot()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "state": "open", "mode": "automatic", "generation": 1, "failures": 0, "probes": 0,
            "probesSucceeded": 0, "window": null, "retryAfterMs": 60_000, "opened": 1, "refused": 1,
            "late": 0, "missed": 0,
        })
    );
    for (state, name) in
        [(State::Closed, "closed"), (State::Open, "open"), (State::HalfOpen, "half_open")]
    {
        assert_eq!(state.name(), name);
        assert_eq!(serde_json::to_value(state).unwrap(), name);
    }
}
