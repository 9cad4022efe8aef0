//! A call under way, given back whatever becomes of it.

use std::sync::Arc;
use std::time::Duration;

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
    allowed: Option<Duration>,
}

impl Attempt {
    pub(crate) fn new(id: ServerId, cell: Arc<Cell>, started: Instant) -> Self {
        Self { id, cell, started, allowed: None }
    }

    /// At which server.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.id
    }

    /// The same attempt, of a caller that waits until `deadline`: a failure counts as at least that wait.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.allowed = Some(deadline - self.started);
        self
    }

    /// The server answered at `now`.
    pub fn succeed(self, now: Instant) {
        self.cell.succeed(now - self.started, now);
    }

    /// The server failed at `now`.
    pub fn fail(self, now: Instant) {
        self.cell.fail(now - self.started, self.allowed, now);
    }

    /// The call ended at `now` as `outcome` says.
    pub fn settle(self, outcome: &Outcome, now: Instant) {
        self.cell.learn(outcome, now - self.started, self.allowed, now);
    }
}
