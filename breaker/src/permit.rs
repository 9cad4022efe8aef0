//! An admitted call's right to run.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use toolweir_core::{Clock, Instant, MonotonicClock, Outcome, Verdict};

use crate::Breaker;
use crate::engine::{Ending, Pass};

/// How a permit holds on to its breaker: `&Breaker` or `Arc<Breaker>`.
pub trait Handle: sealed::Sealed {
    /// The breaker's clock.
    type Clock: Clock;

    /// The breaker.
    fn breaker(&self) -> &Breaker<Self::Clock>;
}

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else can implement the trait above it")]
    pub trait Sealed {}
    impl<C> Sealed for &super::Breaker<C> {}
    impl<C> Sealed for std::sync::Arc<super::Breaker<C>> {}
}

impl<C: Clock> Handle for &Breaker<C> {
    type Clock = C;
    #[inline]
    fn breaker(&self) -> &Breaker<C> {
        self
    }
}

impl<C: Clock> Handle for Arc<Breaker<C>> {
    type Clock = C;
    #[inline]
    fn breaker(&self) -> &Breaker<C> {
        self
    }
}

/// A permit that borrows nothing.
pub type OwnedPermit<C = MonotonicClock> = Permit<Arc<Breaker<C>>>;

/// An admitted call's right to run, on any task or thread.
///
/// Settles once. Dropped unsettled, it says nothing of health and frees its probe's slot; dropped by a panic, it
/// counts as a failure. A permit from before the last change of state decides nothing.
#[must_use = "dropping a permit at once counts nothing"]
#[derive(Debug)]
pub struct Permit<H: Handle> {
    handle: H,
    pass: Pass,
    settled: bool,
}

impl<H: Handle> Permit<H> {
    #[inline]
    pub(crate) fn new(handle: H, pass: Pass) -> Self {
        Self { handle, pass, settled: false }
    }

    /// The call went well.
    #[inline]
    pub fn success(mut self) {
        self.settled = true;
        self.handle.breaker().succeed(self.pass);
    }

    /// The call went well, and ended at `now`.
    #[inline]
    pub fn success_at(self, now: Instant) {
        self.end(Ending::Success, now);
    }

    /// The call failed.
    pub fn failure(self) {
        let now = self.handle.breaker().now();
        self.end(Ending::Failure, now);
    }

    /// The call failed at `now`.
    pub fn failure_at(self, now: Instant) {
        self.end(Ending::Failure, now);
    }

    /// The other side asked for a pause. Fails a probe, and counts as nothing otherwise.
    pub fn throttled(self, retry_after: Option<Duration>) {
        let now = self.handle.breaker().now();
        self.end(Ending::Throttled(retry_after), now);
    }

    /// The other side asked for a pause at `now`.
    pub fn throttled_at(self, retry_after: Option<Duration>, now: Instant) {
        self.end(Ending::Throttled(retry_after), now);
    }

    /// The call ended as `outcome` says, in the breaker's reading of it.
    pub fn settle(self, outcome: &Outcome) {
        let now = self.handle.breaker().now();
        self.settle_at(outcome, now);
    }

    /// The call ended at `now`, as `outcome` says.
    pub fn settle_at(self, outcome: &Outcome, now: Instant) {
        let ending = self.handle.breaker().ending(outcome);
        self.end(ending, now);
    }

    pub(crate) fn verdict(self, verdict: Verdict) {
        match verdict {
            Verdict::Success => self.success(),
            Verdict::Failure => self.failure(),
            Verdict::Neutral => self.end(Ending::Unknown, Instant::default()),
        }
    }

    #[inline]
    fn end(mut self, ending: Ending, now: Instant) {
        self.settled = true;
        self.handle.breaker().settle_at(self.pass, ending, now);
    }
}

impl<H: Handle> Drop for Permit<H> {
    #[inline]
    fn drop(&mut self) {
        if !self.settled {
            abandon(self.handle.breaker(), self.pass);
        }
    }
}

/// A panic needs the time; a cancelled call does not.
#[cold]
fn abandon<C: Clock>(breaker: &Breaker<C>, pass: Pass) {
    if thread::panicking() {
        breaker.settle_at(pass, Ending::Failure, breaker.now());
    } else {
        breaker.settle_at(pass, Ending::Unknown, Instant::default());
    }
}
