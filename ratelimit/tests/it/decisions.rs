//! `check`: the decision against a model of ten lines, and the time that a refusal names.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use toolweir_core::Instant;
use toolweir_ratelimit::{Bucket, Limiter, Refusal};

use crate::{assert_within_quota, at, config, ms};

/// A bucket as a textbook has it: it holds up to `burst` calls and gains one each `interval`.
struct Model {
    interval: u64,
    burst: u64,
    /// What is missing, in nanoseconds of gain.
    missing: u64,
    seen: u64,
}

impl Model {
    fn check(&mut self, cost: u64, now: u64) -> Result<(), u64> {
        self.missing = self.missing.saturating_sub(now - self.seen);
        self.seen = now;
        let after = self.missing + cost * self.interval;
        let over = after.saturating_sub(self.burst * self.interval);
        if over > 0 {
            Err(over)
        } else {
            self.missing = after;
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn every_decision_and_every_retry_after_is_the_models(
        interval in 1_u64..2_000_000_000,
        burst in 1_u32..40,
        script in prop::collection::vec((0_u64..5, 0_u64..2_000_000_000, 1_u32..45, 0_u8..3), 1..80),
    ) {
        let rate = 1e9 / interval as f64;
        let config = config(rate, burst);
        let interval = (1e9 / rate).ceil() as u64;
        let bucket = Bucket::new(&config)?;
        let limiter = Limiter::<u8>::new(&config)?;
        let new_model = || Model { interval, burst: burst.into(), missing: 0, seen: 0 };
        let mut one = new_model();
        let mut many = [new_model(), new_model(), new_model()];
        let mut gone = Vec::new();
        let mut now = 0;
        for (whole, part, cost, key) in script {
            now += (whole * interval + part % interval.max(2)) / 3;
            let time = Instant::from_nanos(now);
            let expect = |model: &mut Model| if cost > burst {
                Err(Refusal::TooCostly { burst })
            } else {
                model.check(cost.into(), now).map_err(|nanos| Refusal::Limited {
                    retry_after: Duration::from_nanos(nanos),
                })
            };
            let answer = bucket.check_n_at(cost, time);
            prop_assert_eq!(answer, expect(&mut one));
            prop_assert_eq!(limiter.check_n_at(&key, cost, time), expect(&mut many[usize::from(key)]));
            if answer.is_ok() {
                gone.push((time, cost));
            }
        }
        let interval = Duration::from_nanos(interval);
        assert_within_quota(&gone, interval, NonZeroU32::new(burst).expect("at least 1"));
    }
}

#[test]
fn the_defaults_are_ten_a_second_and_ten_at_once() -> Result<(), Box<dyn std::error::Error>> {
    let bucket = Bucket::new(&toolweir_ratelimit::Config::default())?;
    for _ in 0..10 {
        bucket.check_at(at(0))?;
    }
    assert_eq!(bucket.check_at(at(0)), Err(Refusal::Limited { retry_after: ms(100) }));
    assert_eq!(bucket.check_at(at(99)), Err(Refusal::Limited { retry_after: ms(1) }));
    bucket.check_at(at(100))?;
    assert!(bucket.check_at(at(100)).is_err());
    Ok(())
}

#[test]
fn a_third_of_a_call_a_second_is_never_exceeded() -> Result<(), Box<dyn std::error::Error>> {
    // Three calls a second: 333,333,333.3 ns each, rounded up.
    let bucket = Bucket::new(&config(3.0, 1))?;
    bucket.check_at(at(0))?;
    let refusal = bucket.check_at(at(0)).expect_err("empty");
    assert_eq!(refusal.retry_after(), Some(Duration::from_nanos(333_333_334)));
    Ok(())
}

#[test]
fn a_cost_of_zero_counts_as_one() -> Result<(), Box<dyn std::error::Error>> {
    let bucket = Bucket::new(&config(1.0, 1))?;
    bucket.check_n_at(0, at(0))?;
    assert!(bucket.check_n_at(0, at(0)).is_err());
    Ok(())
}

#[test]
fn a_clock_that_goes_back_grants_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let bucket = Bucket::new(&config(1.0, 1))?;
    bucket.check_at(at(5_000))?;
    assert_eq!(bucket.check_at(at(1_000)), Err(Refusal::Limited { retry_after: ms(5_000) }));
    assert!(bucket.check_at(Instant::from_nanos(u64::MAX)).is_ok());
    assert!(bucket.check_at(Instant::from_nanos(u64::MAX)).is_err());
    Ok(())
}

#[test]
fn two_threads_share_one_quota() -> Result<(), Box<dyn std::error::Error>> {
    let bucket = Bucket::new(&config(1.0, 1_000))?;
    let limiter = Limiter::<u8>::new(&config(1.0, 1_000))?;
    let (one, keyed) = std::thread::scope(|scope| {
        let work = || {
            let mut passed = (0, 0);
            for _ in 0..1_000 {
                passed.0 += u32::from(bucket.check_at(at(0)).is_ok());
                passed.1 += u32::from(limiter.check_at(&7, at(0)).is_ok());
            }
            passed
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().fold((0, 0), |sum, thread| {
            let passed = thread.join().expect("no panic");
            (sum.0 + passed.0, sum.1 + passed.1)
        })
    });
    assert_eq!((one, keyed), (1_000, 1_000));
    Ok(())
}
