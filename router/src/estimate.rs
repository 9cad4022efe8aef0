//! Peak-EWMA latency in one word, as a logarithm.
//!
//! A slower answer counts at once and in full; a faster one by the time since the last. What is read
//! decays towards zero, so that a server which looked slow is tried again without anyone deciding it.
//!
//! Rankings read far more latencies than calls write. Of logarithms, decay is a subtraction and the product with the
//! calls in flight a sum, so that reading one takes a few integer steps and no powers.

use std::time::Duration;

use toolweir_core::Instant;

pub(crate) use crate::logarithm::OCTAVE;
use crate::logarithm::{level, number};

/// Ticks in a half-life; one observation a tick is heard in full, further ones only where they are slower.
const TICKS: u32 = 1 << 12;

/// What a latency falls by in a tick.
const FALL: u32 = OCTAVE / TICKS;

/// Nanoseconds of the shortest latency that is told apart, and of the longest.
const RANGE: (u64, u64) = (1_000, 86_400_000_000_000);

/// Cuts time into ticks, [`TICKS`] to the half-life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    /// Ticks in 2⁶⁴ nanoseconds, because a product's upper half costs one step and a division thirty.
    per_age: u64,
}

impl Ticks {
    /// For a half-life of a millisecond at least.
    pub(crate) fn new(half_life: Duration) -> Self {
        let half_life = half_life.as_nanos().max(u128::from(TICKS) + 1);
        // Rounded up, so that an exact number of half-lives is one.
        Self { per_age: (u128::from(TICKS) << 64).div_ceil(half_life) as u64 }
    }

    /// The tick of `now`. Wraps after a million half-lives; a server that is idle for longer than half of that
    /// keeps its last estimate for a while, which does no harm.
    #[inline]
    pub(crate) fn at(self, now: Instant) -> u32 {
        let product = u128::from(now.as_nanos()) * u128::from(self.per_age);
        (product >> 64) as u32
    }
}

/// Whole nanoseconds, which is how latencies are handed about here: taking a [`Duration`] apart costs as much as looking at
/// a server.
pub(crate) const fn nanos(latency: Duration) -> u64 {
    latency.as_secs().saturating_mul(1_000_000_000).saturating_add(latency.subsec_nanos() as u64)
}

/// The level of so many nanoseconds; never 0, which means that nothing is known.
#[inline]
pub(crate) fn latency_level(nanos: u64) -> u32 {
    level(nanos.clamp(RANGE.0, RANGE.1))
}

/// What is left of 2³² after so many ticks.
#[inline]
fn left(age: u32) -> u64 {
    number((32 * OCTAVE).saturating_sub(age.saturating_mul(FALL)))
}

/// A latency and when it was last touched; fits an atomic word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    level: u32,
    tick: u32,
}

impl Estimate {
    /// Nothing is known yet.
    pub(crate) const NONE: Self = Self { level: 0, tick: 0 };

    #[inline]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self { level: (word >> 32) as u32, tick: word as u32 }
    }

    pub(crate) const fn word(self) -> u64 {
        (self.level as u64) << 32 | self.tick as u64
    }

    /// The level of the latency as it counts at `tick`; `None` where nothing is known.
    #[inline]
    pub(crate) fn at(self, tick: u32) -> Option<u32> {
        self.at_least(0, tick)
    }

    /// The same, no lower than `floor`.
    #[inline]
    pub(crate) fn at_least(self, floor: u32, tick: u32) -> Option<u32> {
        (self.level > 0).then(|| self.decayed(floor, tick))
    }

    #[inline]
    fn decayed(self, floor: u32, tick: u32) -> u32 {
        // Wide and signed, so that no product overflows and one comparison serves for both ends.
        let fallen = i64::from(self.level) - i64::from(self.age(tick)) * i64::from(FALL);
        fallen.max(i64::from(floor)) as u32
    }

    /// Only `sample` counts; what was known is forgotten.
    pub(crate) fn restart(self, sample: u64, tick: u32) -> Self {
        Self { level: latency_level(sample), tick }
    }

    /// With a measured latency in nanoseconds: a peak counts in full, anything below by the time that passed.
    #[inline]
    pub(crate) fn observe(self, sample: u64, tick: u32) -> Self {
        let sample = sample.clamp(RANGE.0, RANGE.1);
        let sampled = level(sample);
        if sampled >= self.level {
            return Self { level: sampled, tick: self.later(tick) };
        }
        let age = self.age(tick);
        if age == 0 {
            return self;
        }
        let above = number(self.level).saturating_sub(sample);
        let mixed = sample + ((u128::from(above) * u128::from(left(age))) >> 32) as u64;
        Self { level: level(mixed), tick }
    }

    /// With a latency that is known to be at least `sample`: may rise, and goes on decaying.
    pub(crate) fn raise(self, sample: u64, tick: u32) -> Self {
        let level = latency_level(sample).max(self.decayed(0, tick));
        Self { level, tick: self.later(tick) }
    }

    /// With an answer that tells nothing good: may rise, never falls, and does not decay for now.
    pub(crate) fn hold(self, sample: u64, tick: u32) -> Self {
        Self { level: latency_level(sample).max(self.level), tick: self.later(tick) }
    }

    /// Ticks since the last observation; none where `tick` is earlier.
    #[inline]
    fn age(self, tick: u32) -> u32 {
        (tick.wrapping_sub(self.tick) as i32).max(0).unsigned_abs()
    }

    /// The later tick: readings of two threads may cross.
    fn later(self, tick: u32) -> u32 {
        if self.level == 0 { tick } else { self.tick.wrapping_add(self.age(tick)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> u64 {
        millis * 1_000_000
    }

    fn known(millis: u64, tick: u32) -> Estimate {
        Estimate::NONE.observe(ms(millis), tick)
    }

    fn millis(estimate: Estimate, tick: u32) -> f64 {
        (number(estimate.at(tick).unwrap()) as f64 / 1e4).round() / 100.0
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
    fn a_half_life_is_as_many_ticks_at_any_time() {
        for half_life in [1, 7, 4_096, 5_000, 60_000, 3_600_000].map(Duration::from_millis) {
            let ticks = Ticks::new(half_life);
            for number in [0_u32, 1, 2, 3, 720, 1_000, 1_000_000] {
                let now = Instant::from_nanos(0) + half_life * number;
                assert_eq!(ticks.at(now), TICKS.wrapping_mul(number), "{number} × {half_life:?}");
                let before = now - Duration::from_nanos(1);
                assert!(
                    number == 0 || TICKS.wrapping_mul(number).wrapping_sub(ticks.at(before)) <= 1
                );
            }
        }
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
    fn latencies_come_back_to_a_millionth() {
        for nanos in [1_000_u64, 1_001, 50_000, 10_000_000, 5_000_000_000, 86_400_000_000_000] {
            let back = number(latency_level(nanos));
            assert!(back.abs_diff(nanos) <= nanos / 500_000 + 1, "{nanos} ns became {back}");
        }
    }

    #[test]
    fn nothing_is_outside_the_range() {
        let microsecond = latency_level(1_000);
        assert_eq!(latency_level(0), microsecond);
        assert!(microsecond > 0);
        assert_eq!(latency_level(nanos(Duration::MAX)), latency_level(ms(86_400_000)));
    }

    #[test]
    fn it_decays_to_nothing_and_no_further() {
        assert_eq!(known(100, 0).at(u32::MAX / 2), Some(0));
    }
}
