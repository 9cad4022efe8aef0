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

impl Window {
    pub(crate) fn new(settings: &Settings) -> (Self, Tally) {
        if settings.calls > 0 {
            let (window, tally) = CallWindow::new(settings.calls);
            (Self::Calls(window), Tally::Calls(tally))
        } else if settings.time > 0 {
            let (window, tally) = TimeWindow::new(settings.time);
            (Self::Time(window), Tally::Time(Box::new(tally)))
        } else {
            (Self::Off, Tally::Off)
        }
    }

    /// Counts a good call of `generation`; `false` where that needs the lock ([`add`](Self::add)).
    #[inline]
    pub(crate) fn good(&self, generation: u32, now: u64) -> bool {
        match self {
            Self::Off => true,
            Self::Calls(window) => window.good(generation),
            Self::Time(window) => window.good(generation, now),
        }
    }

    /// Counts a good call under the lock. The generation must be the current one.
    pub(crate) fn add(&self, tally: &mut Tally, now: u64) {
        match (self, tally) {
            (Self::Calls(_), Tally::Calls(tally)) => CallWindow::add(tally),
            (Self::Time(window), Tally::Time(tally)) => window.add(tally, now),
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
            (Self::Time(window), Tally::Time(tally)) => window.bad(tally, now, failed, slow),
            _ => {}
        }
    }

    /// What the window holds at `now`.
    pub(crate) fn sums(
        &self,
        tally: &mut Tally,
        generation: u32,
        now: u64,
    ) -> Option<WindowSnapshot> {
        match (self, tally) {
            (Self::Calls(window), Tally::Calls(tally)) => Some(window.sums(tally, generation)),
            (Self::Time(window), Tally::Time(tally)) => Some(window.sums(tally, generation, now)),
            _ => None,
        }
    }
}

impl Tally {
    /// Empties it for a new generation.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Off => {}
            Self::Calls(tally) => tally.reset(),
            Self::Time(tally) => tally.reset(),
        }
    }
}
