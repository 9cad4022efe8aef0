//! How long places are held.

use std::time::Duration;

/// A moving average of the times for which places were held, in which each counts for an eighth, as in TCP's
/// measurement of round trips.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    average: Option<Duration>,
}

impl Held {
    pub(crate) fn learn(&mut self, held: Duration) {
        self.average = Some(self.average.map_or(held, |average| {
            if held > average {
                average.saturating_add((held - average) / 8)
            } else {
                average - (average - held) / 8
            }
        }));
    }

    /// How long it takes about until `leaving` of `in_flight` calls have gone: they go evenly.
    pub(crate) fn until_gone(&self, leaving: usize, in_flight: usize) -> Option<Duration> {
        let seconds = self.average?.as_secs_f64() * leaving as f64 / in_flight.max(1) as f64;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_estimate_follows_what_was_held() {
        let mut held = Held::default();
        assert_eq!(held.until_gone(1, 1), None);
        held.learn(80 * MS);
        assert_eq!(held.until_gone(1, 1), Some(80 * MS));
        assert_eq!(held.until_gone(1, 4), Some(20 * MS));
        assert_eq!(held.until_gone(3, 2), Some(120 * MS));
        held.learn(160 * MS);
        assert_eq!(held.until_gone(1, 1), Some(90 * MS));
        held.learn(10 * MS);
        assert_eq!(held.until_gone(1, 1), Some(80 * MS));
        held.learn(Duration::MAX);
        assert!(held.until_gone(usize::MAX, 0).is_some(), "however absurd");
    }
}
