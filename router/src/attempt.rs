//! A call under way, given back whatever becomes of it.

use std::sync::Arc;

use toolweir_core::{Instant, Outcome, ServerId};

use crate::cell::Cell;

/// A call under way at one server: counted as in flight until it is settled or dropped.
///
/// Dropped without a word (the caller left, the task panicked), it is taken back and nothing is learned from it.
#[derive(Debug)]
#[must_use = "dropping an attempt takes the call back"]
pub struct Attempt {
    id: ServerId,
    /// Holding it is being in flight.
    cell: Arc<Cell>,
    started: Instant,
    /// How long its caller was ready to wait, in nanoseconds; 0 where nothing is known of it.
    allowed: u64,
}

impl Attempt {
    #[inline]
    pub(crate) fn new(id: ServerId, cell: Arc<Cell>, started: Instant) -> Self {
        Self { id, cell, started, allowed: 0 }
    }

    /// At which server.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.id
    }

    /// The same attempt, of a caller that waits until `deadline`: a failure counts as at least that wait.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.allowed = since(self.started, deadline);
        self
    }

    /// The server answered at `now`.
    #[inline]
    pub fn succeed(self, now: Instant) {
        self.cell.succeed(since(self.started, now), now);
    }

    /// The server failed at `now`.
    pub fn fail(self, now: Instant) {
        self.cell.fail(since(self.started, now), self.allowed, now);
    }

    /// The call ended at `now` as `outcome` says.
    pub fn settle(self, outcome: &Outcome, now: Instant) {
        self.cell.learn(outcome, since(self.started, now), self.allowed, now);
    }
}

/// Nanoseconds from one to the other; none where they are the wrong way round.
#[inline]
fn since(earlier: Instant, later: Instant) -> u64 {
    later.as_nanos().saturating_sub(earlier.as_nanos())
}
