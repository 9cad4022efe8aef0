//! What the recent calls were like.

use super::calls::{CallTally, CallWindow};
use super::time::{TimeTally, TimeWindow};
use crate::WindowSnapshot;
use crate::engine::Settings;

/// The shared half of a window: a good call is counted here without a lock.
#[derive(Debug)]
pub(crate) enum Window {
    Off,
    Calls(CallWindow),
    Time(TimeWindow),
}

/// The locked half: bad calls, which alone are looked at before a trip.
#[derive(Debug)]
pub(crate) enum Tally {
    Off,
    Calls(CallTally),
    Time(Box<TimeTally>),
}

/// What is left to do under the lock for a good call.
#[derive(Debug)]
pub(crate) enum Leftover {
    /// The call at this position pushed a bad one out.
    Evict(u64),
    /// The call begins a slice, and is not counted yet.
    Rotate,
}

impl Window {
    pub(crate) fn new(settings: &Settings) -> (Self, Tally) {
        if settings.calls > 0 {
            (Self::Calls(CallWindow::new(settings.calls)), Tally::Calls(CallTally::default()))
        } else if settings.time > 0 {
            (Self::Time(TimeWindow::new(settings.time)), Tally::Time(Box::default()))
        } else {
            (Self::Off, Tally::Off)
        }
    }

    /// Counts a good call of `generation`, as far as that goes without the lock.
    #[inline]
    pub(crate) fn good(&self, generation: u32, now: u64) -> Option<Leftover> {
        match self {
            Self::Off => None,
            Self::Calls(window) => window.good(generation).map(Leftover::Evict),
            Self::Time(window) => (!window.good(generation, now)).then_some(Leftover::Rotate),
        }
    }

    /// Finishes what [`good`](Self::good) left. The generation must be the current one.
    pub(crate) fn finish(&self, tally: &mut Tally, leftover: &Leftover, generation: u32, now: u64) {
        match (self, tally, leftover) {
            (Self::Calls(window), Tally::Calls(tally), Leftover::Evict(position)) => {
                window.evict(tally, *position);
            }
            (Self::Time(window), Tally::Time(_), Leftover::Rotate) => window.add(generation, now),
            _ => {}
        }
    }

    /// Counts a call that failed, was slow, or both. The generation must be the current one.
    pub(crate) fn bad(
        &self,
        tally: &mut Tally,
        generation: u32,
        now: u64,
        failed: bool,
        slow: bool,
    ) {
        match (self, tally) {
            (Self::Calls(window), Tally::Calls(tally)) => {
                window.bad(tally, generation, failed, slow);
            }
            (Self::Time(window), Tally::Time(tally)) => {
                window.add(generation, now);
                window.bad(tally, generation, now, failed, slow);
            }
            _ => {}
        }
    }

    /// What the window holds at `now`.
    pub(crate) fn sums(&self, tally: &Tally, generation: u32, now: u64) -> Option<WindowSnapshot> {
        match (self, tally) {
            (Self::Calls(window), Tally::Calls(tally)) => Some(window.sums(tally)),
            (Self::Time(window), Tally::Time(tally)) => Some(window.sums(tally, generation, now)),
            _ => None,
        }
    }

    /// Empties it for `generation`.
    pub(crate) fn reset(&self, tally: &mut Tally, generation: u32) {
        match (self, tally) {
            (Self::Calls(window), Tally::Calls(tally)) => window.reset(tally, generation),
            (Self::Time(window), Tally::Time(tally)) => window.reset(tally),
            _ => {}
        }
    }
}
