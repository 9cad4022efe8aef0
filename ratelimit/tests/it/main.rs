//! The public behaviour of the limiters.

mod all;
mod allocations;
mod configuration;
mod decisions;
mod events;
mod eviction;
mod gate;
#[cfg(feature = "tokio")]
mod gate_model;
mod guard;
mod model;
mod pause;
#[cfg(feature = "tower")]
mod tower;
mod turns;
#[cfg(feature = "tokio")]
mod waiting;

use std::num::NonZeroU32;
use std::time::Duration;

use toolweir_core::Instant;
use toolweir_ratelimit::Config;

/// A config of `rate` calls a second and a burst of `burst`.
fn config(rate: f64, burst: u32) -> Config {
    Config::default().requests_per_second(rate).burst(burst)
}

/// The point `millis` milliseconds after an arbitrary start.
fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000_000 + millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The law of the limiter: in no window does more go than the burst and what the rate brings meanwhile.
///
/// `gone` holds when each call went, in order, and what it cost.
fn assert_within_quota(gone: &[(Instant, u32)], interval: Duration, burst: NonZeroU32) {
    for (first, (start, _)) in gone.iter().enumerate() {
        let mut total = 0_u128;
        for (end, cost) in &gone[first..] {
            total += u128::from(*cost);
            let earned = (*end - *start).as_nanos() / interval.as_nanos();
            let allowed = u128::from(burst.get()) + earned;
            assert!(total <= allowed, "{total} > {allowed} from {start:?} to {end:?} of {gone:?}");
        }
    }
}
