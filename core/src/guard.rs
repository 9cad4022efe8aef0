//! May this call go ahead?

use crate::{Call, Instant, Kind, Outcome};

/// Admits calls and hears how they ended: a breaker, a rate limit, a concurrency limit.
///
/// Synchronous, and time is an argument: a guard is a plain state machine. Use it through [`Permit`], which
/// settles every admitted call exactly once.
pub trait Guard: Send + Sync {
    /// Admits a call, or says why not.
    ///
    /// # Errors
    /// The reason for the refusal, with the time after which trying again makes sense where that is known.
    fn admit(&self, call: &Call, now: Instant) -> Result<Ticket, Kind>;

    /// Hears how an admitted call ended; called exactly once for each ticket.
    fn settle(&self, ticket: Ticket, outcome: &Outcome, now: Instant);
}

impl<G: Guard + ?Sized> Guard for std::sync::Arc<G> {
    fn admit(&self, call: &Call, now: Instant) -> Result<Ticket, Kind> {
        (**self).admit(call, now)
    }
    fn settle(&self, ticket: Ticket, outcome: &Outcome, now: Instant) {
        (**self).settle(ticket, outcome, now);
    }
}

/// What a guard remembers of a call that it admitted, such as a breaker's generation; it means something to
/// that guard alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// A ticket that carries `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.0
    }
}

/// An admitted call's right to run.
///
/// Settles exactly once: with an outcome, or, where it is dropped (the caller left, the task panicked), as
/// [`Outcome::Abandoned`].
#[must_use = "dropping a permit settles it as abandoned"]
#[derive(Debug)]
pub struct Permit<'a, G: Guard + ?Sized> {
    guard: &'a G,
    ticket: Option<Ticket>,
    admitted: Instant,
}

impl<'a, G: Guard + ?Sized> Permit<'a, G> {
    /// Asks `guard` to admit `call` at `now`.
    ///
    /// # Errors
    /// The guard's reason for refusing.
    pub fn acquire(guard: &'a G, call: &Call, now: Instant) -> Result<Self, Kind> {
        let ticket = guard.admit(call, now)?;
        Ok(Self { guard, ticket: Some(ticket), admitted: now })
    }

    /// When the call was admitted.
    #[must_use]
    pub fn admitted(&self) -> Instant {
        self.admitted
    }

    /// Tells the guard how the call ended.
    pub fn settle(mut self, outcome: &Outcome, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.guard.settle(ticket, outcome, now);
        }
    }
}

/// An abandoned call is settled with the time at which it was admitted: dropping reads no clock.
impl<G: Guard + ?Sized> Drop for Permit<'_, G> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.guard.settle(ticket, &Outcome::Abandoned, self.admitted);
        }
    }
}
