//! Peak-EWMA latency in one word.
//!
//! A slower answer counts at once and in full; a faster one by the time since the last. What is read
//! decays towards zero, so that a server which looked slow is tried again without anyone deciding it.

use std::time::Duration;

use toolweir_core::Instant;

/// Ticks in a half-life; one observation a tick is heard in full, further ones only where they are slower.
const TICKS: u32 = 1 << 12;

/// Longest time that is told apart from a longer one.
const LONGEST: f32 = 86_400e9;

/// Cuts time into ticks, [`TICKS`] to the half-life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    per_nano: f64,
}

impl Ticks {
    pub(crate) fn new(half_life: Duration) -> Self {
        Self { per_nano: f64::from(TICKS) / (half_life.as_nanos() as f64) }
    }

    /// The tick of `now`. Wraps after a million half-lives; a server that is idle for longer than half of that
    /// keeps its last estimate for a while, which does no harm.
    pub(crate) fn at(self, now: Instant) -> u32 {
        (now.as_nanos() as f64 * self.per_nano) as u64 as u32
    }
}

/// What is left of 1 after `ticks`, within 0.02 %.
fn left(ticks: u32) -> f32 {
    let whole = ticks / TICKS;
    if whole > 126 {
        return 0.0;
    }
    let part = (ticks % TICKS) as f32 / TICKS as f32;
    let fraction = 1.0 + part * (-0.691_518 + part * (0.231_028 - part * 0.039_51));
    f32::from_bits((127 - whole) << 23) * fraction
}

/// `duration` in nanoseconds: at least 1, because 0 means that nothing is known.
pub(crate) fn nanos(duration: Duration) -> f32 {
    (duration.as_secs_f32() * 1e9).clamp(1.0, LONGEST)
}

/// A latency and when it was last touched; fits an atomic word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    nanos: f32,
    tick: u32,
}

impl Estimate {
    /// Nothing is known yet.
    pub(crate) const NONE: Self = Self { nanos: 0.0, tick: 0 };

    pub(crate) fn from_word(word: u64) -> Self {
        Self { nanos: f32::from_bits((word >> 32) as u32), tick: word as u32 }
    }

    pub(crate) fn word(self) -> u64 {
        u64::from(self.nanos.to_bits()) << 32 | u64::from(self.tick)
    }

    /// The latency as it counts at `tick`; `None` where nothing is known.
    pub(crate) fn at(self, tick: u32) -> Option<f32> {
        (self.nanos > 0.0).then(|| self.nanos * left(self.age(tick)))
    }

    /// Only `sample` counts; what was known is forgotten.
    pub(crate) fn restart(self, sample: Duration, tick: u32) -> Self {
        Self { nanos: nanos(sample), tick }
    }

    /// With a measured latency: a peak counts in full, anything below by the time that passed.
    pub(crate) fn observe(self, sample: Duration, tick: u32) -> Self {
        let sample = nanos(sample);
        if sample >= self.nanos {
            return Self { nanos: sample, tick: self.later(tick) };
        }
        let kept = left(self.age(tick));
        Self { nanos: sample + (self.nanos - sample) * kept, tick: self.later(tick) }
    }

    /// With a latency that is known to be at least `sample`: may rise, and goes on decaying.
    pub(crate) fn raise(self, sample: Duration, tick: u32) -> Self {
        let decayed = self.nanos * left(self.age(tick));
        Self { nanos: nanos(sample).max(decayed), tick: self.later(tick) }
    }

    /// With an answer that tells nothing good: may rise, never falls, and does not decay for now.
    pub(crate) fn hold(self, sample: Duration, tick: u32) -> Self {
        Self { nanos: nanos(sample).max(self.nanos), tick: self.later(tick) }
    }

    /// Ticks since the last observation; none where `tick` is earlier.
    fn age(self, tick: u32) -> u32 {
        let age = tick.wrapping_sub(self.tick);
        if age > u32::MAX / 2 { 0 } else { age }
    }

    /// The later tick: readings of two threads may cross.
    fn later(self, tick: u32) -> u32 {
        if self.nanos == 0.0 { tick } else { self.tick.wrapping_add(self.age(tick)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn known(millis: u64, tick: u32) -> Estimate {
        Estimate::NONE.observe(ms(millis), tick)
    }

    fn millis(estimate: Estimate, tick: u32) -> f32 {
        (estimate.at(tick).unwrap() / 1e6 * 100.0).round() / 100.0
    }

    #[test]
    fn decay_is_within_two_in_ten_thousand() {
        for ticks in 0..20 * TICKS {
            let exact = (-f64::from(ticks) / f64::from(TICKS)).exp2();
            let error = (f64::from(left(ticks)) - exact).abs() / exact;
            assert!(error < 2e-4, "{ticks} ticks: {error}");
        }
        assert_eq!(left(127 * TICKS), 0.0);
        assert!(left(127 * TICKS - 1) > 0.0);
    }

    #[test]
    fn nothing_is_known_at_first() {
        assert_eq!(Estimate::NONE.at(0), None);
        assert_eq!(Estimate::from_word(0), Estimate::NONE);
        assert_eq!(millis(known(10, 7), 7), 10.0);
    }

    #[test]
    fn it_halves_in_a_half_life() {
        let half_life = Duration::from_secs(5);
        let ticks = Ticks::new(half_life);
        let start = Instant::from_nanos(3_600_000_000_000);
        let estimate = known(100, ticks.at(start));
        assert_eq!(millis(estimate, ticks.at(start + half_life)), 50.0);
        assert_eq!(millis(estimate, ticks.at(start + half_life * 2)), 25.0);
        assert_eq!(millis(estimate, ticks.at(start - half_life)), 100.0, "an earlier reading");
    }

    #[test]
    fn slower_counts_at_once_and_faster_by_the_time_passed() {
        assert_eq!(millis(known(10, 0).observe(ms(90), 0), 0), 90.0);
        assert_eq!(millis(known(90, 0).observe(ms(10), 0), 0), 90.0, "within the tick");
        assert_eq!(millis(known(90, 0).observe(ms(10), TICKS), TICKS), 50.0);
        assert_eq!(millis(known(90, 0).observe(ms(90), TICKS), TICKS), 90.0, "as slow as ever");
        assert_eq!(millis(known(90, 9).observe(ms(95), 3), 9), 95.0, "never back in time");
    }

    #[test]
    fn what_is_no_success_never_makes_it_look_faster() {
        let estimate = known(90, 0);
        assert_eq!(millis(estimate.hold(ms(1), TICKS), TICKS), 90.0);
        assert_eq!(millis(estimate.hold(ms(100), TICKS), TICKS), 100.0);
        assert_eq!(millis(estimate.raise(ms(1), TICKS), TICKS), 45.0);
        assert_eq!(millis(estimate.raise(ms(50), TICKS), TICKS), 50.0);
        assert_eq!(millis(estimate.restart(ms(1), TICKS), TICKS), 1.0);
    }

    #[test]
    fn the_word_keeps_everything() {
        for estimate in [Estimate::NONE, known(1, 1), known(86_400_000, u32::MAX)] {
            assert_eq!(Estimate::from_word(estimate.word()), estimate);
        }
    }

    #[test]
    fn a_wrapped_tick_is_later_all_the_same() {
        let estimate = known(100, u32::MAX - TICKS / 2 + 1);
        assert_eq!(millis(estimate, TICKS / 2), 50.0);
    }

    #[test]
    fn nothing_is_outside_the_range() {
        assert_eq!(nanos(Duration::ZERO), 1.0);
        assert_eq!(nanos(Duration::MAX), LONGEST);
    }
}
