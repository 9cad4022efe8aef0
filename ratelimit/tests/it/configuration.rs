//! The configuration: its spelling, its defaults, its errors.

use toolweir_ratelimit::{Bucket, Config, Limiter};

use crate::{config, ms};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn it_is_spelled_as_documented() -> Outcome {
    let text = r#"{"requestsPerSecond":2.5,"burst":4,"maxWaitMs":250,"maxWaiting":7,"maxKeys":9,"maxPauseMs":60000}"#;
    let expected =
        config(2.5, 4).max_wait(ms(250)).max_waiting(7).max_keys(9).max_pause(ms(60_000));
    assert_eq!(serde_json::from_str::<Config>(text)?, expected);
    assert_eq!(serde_json::to_string(&expected)?, text);
    assert_eq!(serde_json::from_str::<Config>("{}")?, Config::default());
    Ok(())
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let error = serde_json::from_str::<Config>(r#"{"requestPerSecond": 1}"#).expect_err("typo");
    assert!(error.to_string().contains("requestPerSecond"), "{error}");
}

#[test]
fn an_error_names_the_field() {
    let year = ms(366 * 24 * 3_600_000);
    let cases = [
        (config(0.0, 1), "requestsPerSecond must be a number above 0"),
        (config(-1.0, 1), "requestsPerSecond must be a number above 0"),
        (config(f64::NAN, 1), "requestsPerSecond must be a number above 0"),
        (config(f64::INFINITY, 1), "requestsPerSecond must be a number above 0"),
        (config(1.1e9, 1), "requestsPerSecond must be at most 1000000000"),
        (
            config(1e-6, 100),
            "requestsPerSecond is too low: an empty bucket would take more than a year to fill",
        ),
        (config(1.0, 0), "burst must be at least 1"),
        (config(1.0, 1).max_keys(0), "maxKeys must be at least 1"),
        (config(1.0, 1).max_wait(year), "maxWaitMs must be at most a year"),
        (config(1.0, 1).max_pause(year), "maxPauseMs must be at most a year"),
    ];
    for (config, message) in cases {
        let error = Bucket::new(&config).expect_err(message);
        assert_eq!(error.to_string(), message);
        assert_eq!(format!("{} {}", error.field(), error.problem()), message);
        assert_eq!(Limiter::<u8>::new(&config).expect_err(message), error);
        assert_eq!(config.validate(), Err(error));
    }
}

#[test]
fn the_edges_of_the_range_work() -> Outcome {
    use toolweir_core::Instant;
    for (rate, burst) in [(1e9, u32::MAX), (1e9, 1), (1e-7, 1), (200.0, u32::MAX)] {
        let bucket = Bucket::new(&config(rate, burst))?;
        for now in [Instant::default(), Instant::FAR_FUTURE] {
            bucket.check_n_at(burst, now)?;
            assert!(bucket.check_n_at(burst, now).is_err());
        }
    }
    Ok(())
}

#[test]
fn without_a_burst_it_is_the_rate() -> Outcome {
    for (rate, burst) in [(0.2, 1), (1.0, 1), (2.5, 3), (100.0, 100)] {
        let bucket = Bucket::new(&Config::default().requests_per_second(rate))?;
        bucket.check_n_at(burst, crate::at(0))?;
        assert!(bucket.check_at(crate::at(0)).is_err());
    }
    Ok(())
}
