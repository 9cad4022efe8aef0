//! Figures over a number of operations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram;

/// What a number of operations amount to; never of none.
///
/// The percentile `q` is the value at rank `floor(total * q)` in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Statistics {
    /// How many operations.
    pub total_operations: u64,
    /// How many of them succeeded.
    pub successful: u64,
    /// How many of them failed.
    pub failed: u64,
    /// `successful / total_operations`.
    pub success_rate: f64,
    /// Mean duration.
    pub avg_duration_ms: f64,
    /// Typical duration.
    pub p50_duration_ms: f64,
    /// Nine in ten were faster.
    pub p90_duration_ms: f64,
    /// 95 in a hundred were faster.
    pub p95_duration_ms: f64,
    /// 99 in a hundred were faster.
    pub p99_duration_ms: f64,
    /// 999 in a thousand were faster.
    pub p999_duration_ms: f64,
    /// The shortest.
    pub min_duration_ms: f64,
    /// The longest.
    pub max_duration_ms: f64,
}

/// Milliseconds, as people read them.
pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Nanoseconds; more than 272 years are as good as that.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().min(1 << 33);
    seconds * 1_000_000_000 + u64::from(duration.subsec_nanos())
}

impl Statistics {
    /// The exact figures of these durations, which are sorted on the way.
    pub(crate) fn exact(durations: &mut [u64], successful: u64) -> Option<Self> {
        durations.sort_unstable();
        let (&min, &max) = (durations.first()?, durations.last()?);
        let total = durations.len() as u64;
        let sum = durations.iter().map(|&d| u128::from(d)).sum::<u128>() as f64;
        let at = |q| durations[histogram::rank(total, q) as usize];
        Some(Self::of(total, successful, sum, min, max, at))
    }

    /// The share of failures, exactly.
    pub(crate) fn error_rate(&self) -> f64 {
        self.failed as f64 / self.total_operations as f64
    }

    fn of(
        total: u64,
        successful: u64,
        sum: f64,
        min: u64,
        max: u64,
        at: impl Fn(f64) -> u64,
    ) -> Self {
        Self {
            total_operations: total,
            successful,
            failed: total - successful,
            success_rate: successful as f64 / total as f64,
            avg_duration_ms: sum / total as f64 / 1e6,
            p50_duration_ms: millis(at(0.5)),
            p90_duration_ms: millis(at(0.9)),
            p95_duration_ms: millis(at(0.95)),
            p99_duration_ms: millis(at(0.99)),
            p999_duration_ms: millis(at(0.999)),
            min_duration_ms: millis(min),
            max_duration_ms: millis(max),
        }
    }
}

/// What a histogram amounts to, added up from its parts.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) sum: u64,
    /// The extremes where they are known; else those of the buckets.
    pub(crate) extremes: Option<(u64, u64)>,
    pub(crate) counts: Vec<u64>,
}

impl Summary {
    /// An empty one of this many buckets.
    pub(crate) fn new(buckets: usize) -> Self {
        Self { ok: 0, failed: 0, sum: 0, extremes: None, counts: vec![0; buckets] }
    }

    /// Its figures; percentiles are the middles of buckets, kept between the extremes.
    pub(crate) fn statistics(&self, middle: fn(usize) -> u64) -> Option<Statistics> {
        let total = self.ok + self.failed;
        let counted = self.counts.iter().sum::<u64>();
        if total == 0 || counted == 0 {
            return None;
        }
        let value = |rank| middle(histogram::find(self.counts.iter().copied(), rank));
        let (min, max) = self.extremes.unwrap_or_else(|| (value(0), value(counted - 1)));
        let at = |q| value(histogram::rank(counted, q)).clamp(min, max);
        Some(Statistics::of(total, self.ok, self.sum as f64, min, max, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_sketch() {
        // sorted(d)[len // 2] and sorted(d)[int(len * 0.99)]
        let mut durations: Vec<u64> = (1..=200).rev().map(|ms| ms * 1_000_000).collect();
        let statistics = Statistics::exact(&mut durations, 150).unwrap();
        assert_eq!(statistics.p50_duration_ms, 101.0);
        assert_eq!(statistics.p99_duration_ms, 199.0);
        assert_eq!(statistics.p999_duration_ms, 200.0);
        assert_eq!(statistics.avg_duration_ms, 100.5);
        assert_eq!((statistics.failed, statistics.success_rate), (50, 0.75));
        assert_eq!(Statistics::exact(&mut [], 0), None);
    }
}
