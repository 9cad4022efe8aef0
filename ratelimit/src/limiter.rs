//! A bucket for each key.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    Call, Clock, Guard, Instant, Kind, MonotonicClock, Outcome, Principal, Ticket,
};

use crate::bucket::{Limits, affordable};
use crate::event::Listeners;
use crate::shared::Shared;
use crate::table::{Place, Table};
use crate::turn::Turn;
use crate::{Config, Event, InvalidConfig, Refusal};

/// A limit that each key has for itself: a client, a tool, an address.
///
/// ```
/// use toolweir_ratelimit::{Config, Limiter};
///
/// let limiter = Limiter::<String>::new(&Config::default().requests_per_second(1.0).burst(2))?;
/// assert!(limiter.check("alice").is_ok());
/// assert!(limiter.check("alice").is_ok());
/// assert!(limiter.check("alice").is_err());
/// assert!(limiter.check("bob").is_ok());
/// # Ok::<(), toolweir_ratelimit::InvalidConfig>(())
/// ```
#[derive(Debug)]
pub struct Limiter<K> {
    table: Table<K>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    listeners: Listeners<K>,
}

impl<K: Hash + Eq> Limiter<K> {
    /// A limiter on the system's clock.
    ///
    /// # Errors
    /// Names the field of `config` that makes no sense.
    pub fn new(config: &Config) -> Result<Self, InvalidConfig> {
        Self::with_clock(config, Arc::new(MonotonicClock))
    }

    /// A limiter on another clock, such as `TokioClock` where tests pause the time.
    ///
    /// # Errors
    /// Names the field of `config` that makes no sense.
    pub fn with_clock(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, InvalidConfig> {
        let table = Table::new(config.rate()?, config.max_keys);
        Ok(Self { table, clock, limits: Limits::of(config), listeners: Listeners::default() })
    }

    /// Adds a listener for refusals, for callers who begin to wait, and for pauses, each with its key.
    ///
    /// It runs on the thread of the call that it hears of, under no lock, so it should be quick; it should not
    /// panic either, but does no harm if it does. The key is copied for it.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&K, &Event) + Send + Sync + 'static) -> Self {
        self.listeners.add(listener);
        self
    }

    /// Tells the listeners of a refusal, and returns it.
    #[cold]
    pub(crate) fn refused<Q>(&self, key: &Q, refusal: Refusal) -> Refusal
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.listeners.tell(|| key.to_owned(), Event::Refused(refusal));
        refusal
    }

    /// Whether a call under `key` may go now; if so, it is counted.
    ///
    /// # Errors
    /// [`Refusal::Limited`] with the exact time after which it could.
    #[inline]
    pub fn check<Q>(&self, key: &Q) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_at(key, self.clock.now())
    }

    /// [`check`](Self::check) at a given time.
    ///
    /// # Errors
    /// [`Refusal::Limited`] with the exact time after which it could.
    #[inline]
    pub fn check_at<Q>(&self, key: &Q, now: Instant) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.take(key, 1, now) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(self.refused(key, refusal)),
        }
    }

    /// [`check_at`](Self::check_at) for a call that counts as `cost` calls; 0 counts as 1.
    ///
    /// # Errors
    /// [`Refusal::Limited`], or [`Refusal::TooCostly`] where it could never go.
    pub fn check_n_at<Q>(&self, key: &Q, cost: u32, now: Instant) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.take_n(key, cost, now).map_err(|refusal| self.refused(key, refusal))
    }

    fn take_n<Q>(&self, key: &Q, cost: u32, now: Instant) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        affordable(self.table.rate(), cost)?;
        self.take(key, cost.max(1), now).map(drop)
    }

    /// Takes `cost`, and returns the full times before and after.
    #[inline]
    pub(crate) fn take<Q>(&self, key: &Q, cost: u32, now: Instant) -> Result<(u64, u64), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.table
            .with(key, now, |place| match place {
                Place::Plain(full_at) => {
                    let before = *full_at;
                    *full_at = self.table.rate().decide(before, now, cost)?;
                    Ok((before, *full_at))
                }
                Place::Shared(shared) => shared.take(now, cost),
            })
            .map_err(|due: Instant| Refusal::Limited { retry_after: due - now })
    }

    /// Whether a call of `cost` could go, counting nothing.
    pub(crate) fn peek<Q>(&self, key: &Q, cost: u32, now: Instant) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let rate = self.table.rate();
        affordable(rate, cost)?;
        let verdict = self.table.peek(key, |full_at| rate.decide(full_at, now, cost));
        verdict.map(drop).map_err(|due| Refusal::Limited { retry_after: due - now })
    }

    /// Undoes a take that nothing has come after; where something has, the take stays.
    pub(crate) fn undo<Q>(&self, key: &Q, taken: (u64, u64))
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.table.undo(key, taken);
    }

    /// Takes a turn at the end of the key's line: the earliest that comes by `deadline` and within the longest
    /// wait.
    ///
    /// Nothing waits here: the caller sleeps until [`Turn::due`] and then calls [`Turn::take`].
    ///
    /// # Errors
    /// [`Refusal::TooLate`] where the turn would come later, [`Refusal::QueueFull`],
    /// [`Refusal::TooCostly`].
    pub fn reserve_at<Q>(
        &self,
        key: &Q,
        cost: u32,
        now: Instant,
        deadline: Instant,
    ) -> Result<Turn, Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let turn = self.reserve(key, cost, now, deadline);
        let turn = turn.map_err(|refusal| self.refused(key, refusal))?;
        if turn.due() > now {
            let waiting = Event::Waiting { due: Some(turn.due()) };
            self.listeners.tell(|| key.to_owned(), waiting);
        }
        Ok(turn)
    }

    fn reserve<Q>(
        &self,
        key: &Q,
        cost: u32,
        now: Instant,
        deadline: Instant,
    ) -> Result<Turn, Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let retry_after = match self.take_n(key, cost, now) {
            Ok(()) => return Ok(Turn::now(Arc::clone(&self.clock), now)),
            Err(Refusal::Limited { retry_after }) => retry_after,
            Err(refusal) => return Err(refusal),
        };
        if now + retry_after > deadline {
            return Err(Refusal::TooLate { retry_after });
        }
        match self.table.shared(key, now) {
            Some(shared) => self.limits.reserve(&shared, &self.clock, cost.max(1), now, deadline),
            None => Err(Refusal::QueueFull { retry_after }),
        }
    }

    /// Waits for a turn, first come, first served within the key, for the longest wait of the configuration at
    /// most.
    ///
    /// # Errors
    /// At once where the turn would come too late or the line is full; later only where a pause puts the
    /// turn off.
    ///
    /// # Cancel safety
    /// Dropping the future gives the turn back, and the next in line moves up.
    #[cfg(feature = "tokio")]
    pub async fn acquire<Q>(&self, key: &Q) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.acquire_by(key, Instant::FAR_FUTURE).await
    }

    /// [`acquire`](Self::acquire) by a deadline.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    pub async fn acquire_by<Q>(&self, key: &Q, deadline: Instant) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.acquire_n_by(key, 1, deadline).await
    }

    /// [`acquire_by`](Self::acquire_by) for a call that counts as `cost` calls; 0 counts as 1.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), or [`Refusal::TooCostly`] where it could never go.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    pub async fn acquire_n_by<Q>(
        &self,
        key: &Q,
        cost: u32,
        deadline: Instant,
    ) -> Result<(), Refusal>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.reserve_at(key, cost, self.clock.now(), deadline)?.wait().await
    }

    /// Admits nothing under `key` for `pause`, and then one call an interval: what an upstream's 429 asks for.
    ///
    /// Turns that have not come are put off; those that then come after their deadline are refused at once.
    pub fn penalize<Q>(&self, key: &Q, pause: Duration)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.penalize_at(key, pause, self.clock.now());
    }

    /// [`penalize`](Self::penalize) from a given time on.
    pub fn penalize_at<Q>(&self, key: &Q, pause: Duration, now: Instant)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let pause = self.limits.longest_pause(pause);
        let shared: Result<Option<Arc<Shared>>, std::convert::Infallible> =
            self.table.with(key, now, |place| {
                Ok(match place {
                    Place::Plain(full_at) => {
                        *full_at = (*full_at).max(self.table.rate().paused_until(now + pause));
                        None
                    }
                    Place::Shared(shared) => Some(Arc::clone(shared)),
                })
            });
        // Outside the table's lock, because it wakes people up.
        if let Ok(Some(shared)) = shared {
            shared.pause(pause, now);
        }
        self.listeners.tell(|| key.to_owned(), Event::Paused { until: now + pause });
    }

    /// How many keys have a bucket of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no key has a bucket of its own.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Meters the calls of each client by its principal. How a call ended is no matter: a server that asks for a
/// pause is no reason to pause a client.
impl Guard for Limiter<Principal> {
    fn admit(&self, call: &Call, now: Instant) -> Result<Ticket, Kind> {
        self.check_at(&call.client.principal, now)?;
        Ok(Ticket::new(0))
    }

    fn settle(&self, _: Ticket, _: &Outcome, _: Instant) {}
}
