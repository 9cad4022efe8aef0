//! What the gateway's process has, second by second, and what that comes to.

use std::time::Duration;

use crate::ledger::Holdings;

/// How many samples are kept: one a second for a day.
const SAMPLES_MAX: usize = 86_400;

/// Samples of one process.
#[derive(Default)]
pub(super) struct Samples(Vec<(Duration, Holdings)>);

impl Samples {
    pub(super) fn push(&mut self, at: Duration, held: Holdings) {
        if self.0.len() < SAMPLES_MAX {
            self.0.push((at, held));
        }
    }

    /// The least, the median and the most of one figure since `from`.
    pub(super) fn spread(&self, from: Duration, of: impl Fn(&Holdings) -> u64) -> [u64; 3] {
        let mut all: Vec<u64> =
            self.0.iter().filter(|(at, _)| *at >= from).map(|(_, held)| of(held)).collect();
        all.sort_unstable();
        let at = |place: usize| all.get(place).copied().unwrap_or_default();
        [at(0), at(all.len() / 2), at(all.len().saturating_sub(1))]
    }

    /// How fast its memory grows from `from` on, in KiB a minute: the slope of the straight line that lies nearest.
    pub(super) fn slope(&self, from: Duration) -> f64 {
        let points: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(at, held)| (at.as_secs_f64() / 60.0, held.memory as f64))
            .collect();
        let count = points.len() as f64;
        if points.len() < 2 {
            return 0.0;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|it| it.0), mean(|it| it.1));
        let above: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
        let below: f64 = points.iter().map(|it| (it.0 - x) * (it.0 - x)).sum();
        if below > 0.0 { above / below } else { 0.0 }
    }
}

/// The value below which this share of all lies; they are sorted.
pub(super) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_told_by_the_minute() {
        let mut samples = Samples::default();
        for second in 0..120 {
            // Fast while it warms up, then 60 KiB a minute.
            let memory = if second < 60 { second * 100 } else { 6_000 + (second - 60) };
            let held = Holdings { memory, peak: memory, descriptors: 9, children: 2 };
            samples.push(Duration::from_secs(second), held);
        }
        let slope = samples.slope(Duration::from_secs(60));
        assert!((slope - 60.0).abs() < 0.1, "{slope}");
        assert_eq!(Samples::default().slope(Duration::ZERO), 0.0);
        assert_eq!(samples.spread(Duration::from_secs(60), |it| it.memory), [6_000, 6_030, 6_059]);
    }

    #[test]
    fn percentiles_are_of_what_there_is() {
        let all: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&all, 0.5), Duration::from_millis(51));
        assert_eq!(percentile(&all, 0.99), Duration::from_millis(100));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
