//! Percentiles against sorted durations.

use std::time::Duration;

use proptest::prelude::*;
use toolweir_metrics::{Config, Operation, Statistics, Window};

use crate::{ok, recorder};

/// The figures as the sketch computes them: from the sorted list.
fn sorted(durations: &[u64], q: f64) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let rank = ((sorted.len() as f64 * q) as usize).min(sorted.len() - 1);
    sorted[rank] as f64 / 1e6
}

/// Every percentile of `statistics` lies within `bound` of the sorted one, or within a bucket of 64 ns.
fn check(statistics: &Statistics, durations: &[u64], bound: f64) {
    for (q, value) in [
        (0.5, statistics.p50_duration_ms),
        (0.9, statistics.p90_duration_ms),
        (0.95, statistics.p95_duration_ms),
        (0.99, statistics.p99_duration_ms),
        (0.999, statistics.p999_duration_ms),
    ] {
        let expected = sorted(durations, q);
        let error = (value - expected).abs();
        assert!(error <= expected * bound + 64e-6, "p{q}: {value} for {expected}");
    }
    let sum: f64 = durations.iter().map(|d| *d as f64).sum();
    let average = sum / durations.len() as f64 / 1e6;
    assert!((statistics.avg_duration_ms - average).abs() <= average * 1e-9);
    assert_eq!(statistics.total_operations, durations.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn percentiles_keep_within_their_bounds(
        durations in prop::collection::vec((0_u32..42, any::<u64>()), 1..400),
    ) {
        // Every order of magnitude is as likely as any other.
        let durations: Vec<u64> =
            durations.into_iter().map(|(bits, n)| (n & ((1 << bits) - 1)) | (1 << bits)).collect();
        let (recorder, _) = recorder(Config::default());
        for &nanos in &durations {
            recorder.record(Operation { duration: Duration::from_nanos(nanos), ..ok(0) });
        }
        let (least, most) = (sorted(&durations, 0.0), sorted(&durations, 1.0));
        for (window, bound) in [
            (Window::Records, 0.0),
            (Window::Lifetime, 1.0 / 64.0),
            (Window::Minute, 1.0 / 32.0),
            (Window::Hour, 1.0 / 32.0),
        ] {
            let statistics = recorder.statistics_over(window, Some("a")).unwrap();
            check(&statistics, &durations, bound);
            prop_assert!((statistics.min_duration_ms - least).abs() <= least / 32.0 + 64e-6);
            prop_assert!((statistics.max_duration_ms - most).abs() <= most / 32.0 + 64e-6);
            if matches!(window, Window::Records | Window::Lifetime) {
                prop_assert_eq!(statistics.min_duration_ms, least);
                prop_assert_eq!(statistics.max_duration_ms, most);
            }
        }
    }
}
