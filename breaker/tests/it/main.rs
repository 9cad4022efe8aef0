//! The breaker through its public interface.

mod alloc;
mod config;
mod guard;
mod keyed;
mod listeners;
mod model;
mod permits;
#[cfg(feature = "tower")]
mod service;
mod threads;
mod transitions;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use toolweir_breaker::{Breaker, Clock, Config, ManualClock};

type Manual = Breaker<Arc<ManualClock>>;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn manual(config: Config) -> (Arc<ManualClock>, Arc<Manual>) {
    let clock = Arc::new(ManualClock::new());
    let breaker = Breaker::with_clock(config, Arc::clone(&clock)).expect("valid");
    (clock, Arc::new(breaker))
}

/// Acquires and settles once a letter: `s`uccess, `f`ailure, `t`hrottled, `d`rop; `x` must be refused.
fn run<C: Clock>(breaker: &Breaker<C>, script: &str) {
    for (step, letter) in script.chars().enumerate() {
        match (letter, breaker.try_acquire()) {
            ('s', Ok(permit)) => permit.success(),
            ('f', Ok(permit)) => permit.failure(),
            ('t', Ok(permit)) => permit.throttled(None),
            ('d', Ok(permit)) => drop(permit),
            ('x', Err(_)) => {}
            (letter, seen) => panic!("step {step} of {script} is {letter}, but {seen:?}"),
        }
    }
}
