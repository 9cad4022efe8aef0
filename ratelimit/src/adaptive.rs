//! How many at once? Additive increase, multiplicative decrease.

use std::time::Duration;

use toolweir_core::{Instant, Outcome, Verdict};

use crate::GateConfig;

/// A limit that follows what the server bears.
///
/// As in TCP: it grows by one each time as many calls went well as it allows, and shrinks by a tenth on a
/// sign of overload, at most once for the calls that ran at that time, because they all tell of the same jam.
#[derive(Clone, Debug)]
pub(crate) struct Adaptive {
    limit: f64,
    min: f64,
    max: f64,
    /// `None`: the limit is fixed.
    slow: Option<Duration>,
    /// Calls that entered before this say nothing new of an overload.
    shrunk_at: Option<Instant>,
}

/// What remains of the limit after a sign of overload.
const BACK_OFF: f64 = 0.9;

impl Adaptive {
    pub(crate) fn new(config: &GateConfig) -> Self {
        let max = f64::from(config.max_in_flight);
        let min = f64::from(config.min_in_flight).min(max);
        let slow = config.adaptive.then_some(config.slow);
        Self { limit: max, min, max, slow, shrunk_at: None }
    }

    pub(crate) fn get(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and u32::MAX; the part of a call that it has grown by does not count yet"
        )]
        let whole = self.limit as usize;
        whole
    }

    /// Learns from a call that ran from `entered` to `now` beside `in_flight - 1` others.
    pub(crate) fn learn(
        &mut self,
        outcome: &Outcome,
        in_flight: usize,
        entered: Instant,
        now: Instant,
    ) {
        let Some(slow) = self.slow else { return };
        let overload = match outcome {
            Outcome::Throttled { .. } | Outcome::Ambiguous(_) => true,
            Outcome::Answered(_) => now - entered > slow || outcome.verdict() == Verdict::Failure,
            // The caller left, or nothing was sent: nothing is known.
            _ => return,
        };
        if overload {
            if self.shrunk_at.is_none_or(|shrunk_at| entered >= shrunk_at) {
                self.limit = (self.limit * BACK_OFF).max(self.min);
                self.shrunk_at = Some(now);
            }
        } else if in_flight >= self.get() {
            // Only a limit that is used up shows that more would be borne.
            self.limit = (self.limit + 1.0 / self.limit).min(self.max);
        }
    }
}
