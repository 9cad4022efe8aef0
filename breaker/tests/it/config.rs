//! Configuration as it comes from a file.

use std::time::Duration;

use toolweir_breaker::{Breaker, Config, Window};

use crate::ms;

fn parse(json: &str) -> Result<Config, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn a_file_says_what_the_methods_say() {
    for (json, config) in [
        ("{}", Config::default()),
        (
            r#"{"failures":5,"cooldownMs":60000}"#,
            Config::default().failures(5).cooldown(Duration::from_secs(60)),
        ),
        (
            r#"{"maxCooldownMs":9000,"backoff":3,"jitter":0.1,"seed":7,"probes":2,"probeTimeoutMs":5}"#,
            Config::default()
                .max_cooldown(ms(9000))
                .backoff(3.0)
                .jitter(0.1)
                .seed(7)
                .probes(2)
                .probe_timeout(ms(5)),
        ),
        (
            r#"{"window":{"calls":50,"minimum":5,"failureRate":0.2}}"#,
            Config::default().window(Window::calls(50).minimum(5).failure_rate(0.2)),
        ),
        (
            r#"{"window":{"timeMs":30000,"slowMs":200,"slowRate":0.9}}"#,
            Config::default().window(Window::time(ms(30_000)).slow(ms(200), 0.9)),
        ),
    ] {
        assert_eq!(parse(json).unwrap(), config, "{json}");
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(parse(&written).unwrap(), config, "{written}");
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    for json in [r#"{"cooldown":5}"#, r#"{"window":{"calls":5,"rate":1}}"#] {
        assert!(parse(json).unwrap_err().to_string().contains("unknown field"), "{json}");
    }
}

#[test]
fn a_bad_value_is_named() {
    for (json, message) in [
        (r#"{"failures":0}"#, "failures must be from 1 to 536870911"),
        (r#"{"failures":600000000}"#, "failures must be from 1 to 536870911"),
        (r#"{"failures":4294967295}"#, "failures must be from 1 to 536870911"),
        (r#"{"cooldownMs":0}"#, "cooldownMs must be from 1 ms to 365 days"),
        (r#"{"cooldownMs":31536000001}"#, "cooldownMs must be from 1 ms to 365 days"),
        (r#"{"maxCooldownMs":59999}"#, "maxCooldownMs must be at least cooldownMs"),
        (r#"{"maxCooldownMs":31536000001}"#, "maxCooldownMs must be from 1 ms to 365 days"),
        (r#"{"backoff":0.9}"#, "backoff must be from 1 to 1000"),
        (r#"{"jitter":1.1}"#, "jitter must be from 0 to 1"),
        (r#"{"jitter":-0.1}"#, "jitter must be from 0 to 1"),
        (r#"{"probes":0}"#, "probes must be from 1 to 1000000"),
        (r#"{"probeTimeoutMs":0}"#, "probeTimeoutMs must be from 1 ms to 365 days"),
        (r#"{"window":{}}"#, "window must have either calls or timeMs"),
        (r#"{"window":{"calls":1,"timeMs":10}}"#, "window must not have both calls and timeMs"),
        (r#"{"window":{"calls":0}}"#, "window.calls must be from 1 to 1000000"),
        (r#"{"window":{"calls":1000001}}"#, "window.calls must be from 1 to 1000000"),
        (r#"{"window":{"timeMs":9}}"#, "window.timeMs must be at least 10 ms"),
        (
            r#"{"window":{"calls":5,"minimum":6}}"#,
            "window.minimum must be at least 1 and at most window.calls",
        ),
        (
            r#"{"window":{"calls":5,"minimum":0}}"#,
            "window.minimum must be at least 1 and at most window.calls",
        ),
        (
            r#"{"window":{"calls":5,"failureRate":50}}"#,
            "window.failureRate must be above 0 and at most 1",
        ),
        (r#"{"window":{"calls":5,"slowRate":0}}"#, "window.slowRate must be above 0 and at most 1"),
        (r#"{"window":{"calls":5,"slowMs":0}}"#, "window.slowMs must be from 1 ms to 365 days"),
    ] {
        let config = parse(json).unwrap();
        let error = config.validate().unwrap_err();
        assert_eq!(error.to_string(), message, "{json}");
        assert_eq!(Breaker::new(config).unwrap_err(), error);
    }
    assert!(Config::default().backoff(f64::NAN).validate().is_err());
    assert!(Config::default().jitter(f64::NAN).validate().is_err());
}

#[test]
fn the_ends_of_every_range_are_valid() {
    for json in [
        r#"{"failures":1,"cooldownMs":1,"probes":1,"backoff":1,"jitter":0,"probeTimeoutMs":1}"#,
        r#"{"failures":536870911,"cooldownMs":31536000000,"probes":1000000,"backoff":1000,"jitter":1}"#,
        r#"{"window":{"calls":1,"minimum":1,"failureRate":1,"slowRate":1,"slowMs":1}}"#,
        r#"{"window":{"calls":1000000,"minimum":1000000,"failureRate":0.000001}}"#,
        r#"{"window":{"timeMs":10,"minimum":4294967295}}"#,
    ] {
        assert_eq!(parse(json).unwrap().validate(), Ok(()), "{json}");
    }
}
