//! What all servers of a router share: the numbers they are judged by, and how many are out.

use std::time::Duration;

use toolweir_core::Instant;

use crate::Config;
use crate::estimate::{Ticks, latency_level, nanos};
use crate::logarithm::level;

use super::sync::{AtomicU32, Ordering};

/// So many numbers of calls have their level at hand.
const LEVELS: usize = 128;

/// Numbers from the [`Config`], and the count of ejected servers.
#[derive(Debug)]
pub(crate) struct Pool {
    tolerated_errors: u32,
    pause: Duration,
    pause_max: Duration,
    /// In nanoseconds.
    penalty: u64,
    penalty_level: u32,
    /// The levels of one call and a few more.
    levels: [u32; LEVELS],
    max_ejected_percent: u64,
    ticks: Ticks,
    /// In nanoseconds; 0 where there is none.
    slow_start: u64,
    zone: Option<String>,
    /// The highest cost, as a level, at which a server of the own zone is preferred.
    spill_level: u32,
    servers: AtomicU32,
    unhealthy: AtomicU32,
    /// 1 once any server has answered.
    in_use: AtomicU32,
}

/// A slow start begins at one part in so many of the weight; Envoy's `min_weight_percent` is the same by default.
const SLOWEST: u64 = 10;

impl Pool {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            tolerated_errors: config.tolerated_errors,
            pause: config.pause,
            pause_max: config.pause_max,
            penalty: nanos(config.failure_penalty),
            penalty_level: latency_level(nanos(config.failure_penalty)),
            levels: std::array::from_fn(|n| level(n as u64 + 1)),
            max_ejected_percent: u64::from(config.max_ejected_percent),
            ticks: Ticks::new(config.half_life),
            slow_start: nanos(config.slow_start),
            zone: config.zone.clone(),
            spill_level: latency_level(nanos(config.zone_spill)),
            servers: AtomicU32::new(0),
            unhealthy: AtomicU32::new(0),
            in_use: AtomicU32::new(0),
        }
    }

    /// Whether servers that come back start slowly.
    pub(crate) fn starts_slowly(&self) -> bool {
        self.slow_start > 0
    }

    /// How far a server's slow start has come which began at `since`: the level of one by its share; `None` once it has
    /// all.
    pub(crate) fn handicap(&self, since: Instant, now: Instant) -> Option<u32> {
        let age = nanos(now - since);
        (age < self.slow_start)
            .then(|| level(self.slow_start) - level(age.max(self.slow_start / SLOWEST)))
    }

    /// A server's first answer came.
    pub(crate) fn use_begins(&self) {
        if !self.is_in_use() {
            self.in_use.store(1, Ordering::Relaxed);
        }
    }

    /// Whether any server has answered, so that one which comes now comes late.
    pub(crate) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed) != 0
    }

    /// Whether a server of this zone is further away than the own ones.
    pub(crate) fn is_far(&self, zone: Option<&str>) -> bool {
        self.zone.as_deref().zip(zone).is_some_and(|(own, other)| own != other)
    }

    /// Whether a server of the own zone at this cost, weights aside, is no better than one of another.
    pub(crate) fn spills(&self, cost: u32) -> bool {
        cost > self.spill_level
    }

    #[inline]
    pub(crate) fn tick(&self, now: Instant) -> u32 {
        self.ticks.at(now)
    }

    pub(crate) fn tolerates(&self, errors: u32) -> bool {
        errors <= self.tolerated_errors
    }

    /// The least that a failure counts as, in nanoseconds.
    pub(crate) fn penalty(&self) -> u64 {
        self.penalty
    }

    /// The same as a level.
    pub(crate) fn penalty_level(&self) -> u32 {
        self.penalty_level
    }

    /// The level of the number of calls that one more than `calls` would be; below zero, which happens for a moment
    /// while two threads read each other, stands for none.
    #[inline]
    pub(crate) fn level_after(&self, calls: i64) -> u32 {
        self.levels.get(calls as usize).copied().unwrap_or_else(|| large_level(calls))
    }

    /// The pause before the next trial after `trials` failed ones: doubled each time, up to its cap.
    pub(crate) fn pause(&self, trials: u32) -> Duration {
        self.pause.saturating_mul(1_u32.checked_shl(trials).unwrap_or(u32::MAX)).min(self.pause_max)
    }

    pub(crate) fn resize(&self, servers: usize) {
        self.servers.store(u32::try_from(servers).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Counts one more unhealthy server, within the share that may be ejected.
    pub(crate) fn try_eject(&self) -> bool {
        let servers = u64::from(self.servers.load(Ordering::Relaxed));
        self.unhealthy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |unhealthy| {
                let after = u64::from(unhealthy) + 1;
                (after * 100 <= servers * self.max_ejected_percent).then_some(unhealthy + 1)
            })
            .is_ok()
    }

    /// Counts one more unhealthy server, known to be out whatever the share.
    pub(crate) fn eject(&self) {
        self.unhealthy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn readmit(&self) {
        self.unhealthy.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn unhealthy(&self) -> usize {
        self.unhealthy.load(Ordering::Relaxed) as usize
    }
}

#[cold]
fn large_level(calls: i64) -> u32 {
    level(u64::try_from(calls).unwrap_or_default().min(u64::from(u32::MAX)) + 1)
}
