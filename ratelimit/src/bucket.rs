//! One bucket for everybody.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Call, Clock, Guard, Instant, Kind, MonotonicClock, Outcome, Ticket};

use crate::event::Listeners;
use crate::rate::Rate;
use crate::shared::Shared;
use crate::turn::Turn;
use crate::{Config, Event, InvalidConfig, Refusal};

/// One limit for everybody who uses it, such as the limit of one server.
///
/// A check is one atomic swap. As a [`Guard`] it meters the calls to a server, and pauses when the server
/// says that it has had enough.
///
/// ```
/// use toolweir_ratelimit::{Bucket, Config};
///
/// let bucket = Bucket::new(&Config::default().requests_per_second(1.0).burst(2))?;
/// assert!(bucket.check().is_ok());
/// assert!(bucket.check().is_ok());
/// assert!(bucket.check().is_err());
/// # Ok::<(), toolweir_ratelimit::InvalidConfig>(())
/// ```
#[derive(Debug)]
pub struct Bucket {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    listeners: Listeners<()>,
}

/// The bounds on waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    max_wait: Duration,
    max_waiting: usize,
    max_pause: Duration,
}

impl Limits {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            max_wait: config.max_wait,
            max_waiting: config.max_waiting,
            max_pause: config.max_pause,
        }
    }

    pub(crate) fn longest_pause(&self, pause: Duration) -> Duration {
        pause.min(self.max_pause)
    }

    pub(crate) fn reserve(
        &self,
        shared: &Arc<Shared>,
        clock: &Arc<dyn Clock>,
        cost: u32,
        now: Instant,
        deadline: Instant,
    ) -> Result<Turn, Refusal> {
        affordable(shared.rate(), cost)?;
        let deadline = deadline.min(now + self.max_wait);
        let place = shared.reserve(now, cost, deadline, self.max_waiting)?;
        let clock = Arc::clone(clock);
        Ok(match place {
            None => Turn::now(clock, now),
            Some(id) => Turn::in_line(Arc::clone(shared), id, clock, now),
        })
    }
}

#[inline]
pub(crate) fn affordable(rate: &Rate, cost: u32) -> Result<(), Refusal> {
    let burst = rate.burst();
    if cost > burst { Err(Refusal::TooCostly { burst }) } else { Ok(()) }
}

impl Bucket {
    /// A full bucket on the system's clock.
    ///
    /// # Errors
    /// Names the field of `config` that makes no sense.
    pub fn new(config: &Config) -> Result<Self, InvalidConfig> {
        Self::with_clock(config, Arc::new(MonotonicClock))
    }

    /// A full bucket on another clock, such as `TokioClock` where tests pause the time.
    ///
    /// # Errors
    /// Names the field of `config` that makes no sense.
    pub fn with_clock(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, InvalidConfig> {
        let rate = config.rate()?;
        let (shared, limits) = (Arc::new(Shared::new(rate, 0)), Limits::of(config));
        Ok(Self { shared, clock, limits, listeners: Listeners::default() })
    }

    /// Adds a listener for refusals, for callers who begin to wait, and for pauses.
    ///
    /// It runs on the thread of the call that it hears of, under no lock, so it should be quick; it should not
    /// panic either, but does no harm if it does.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listeners.add(move |(), event| listener(event));
        self
    }

    /// Whether a call may go now; if so, it is counted.
    ///
    /// # Errors
    /// [`Refusal::Limited`] with the exact time after which it could.
    #[inline]
    pub fn check(&self) -> Result<(), Refusal> {
        self.check_at(self.clock.now())
    }

    /// [`check`](Self::check) at a given time.
    ///
    /// # Errors
    /// [`Refusal::Limited`] with the exact time after which it could.
    #[inline]
    pub fn check_at(&self, now: Instant) -> Result<(), Refusal> {
        match self.take(1, now) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// [`check_at`](Self::check_at) for a call that counts as `cost` calls; 0 counts as 1.
    ///
    /// # Errors
    /// [`Refusal::Limited`], or [`Refusal::TooCostly`] where it could never go.
    pub fn check_n_at(&self, cost: u32, now: Instant) -> Result<(), Refusal> {
        let taken = affordable(self.shared.rate(), cost).and_then(|()| self.take(cost.max(1), now));
        taken.map(drop).map_err(|refusal| self.refused(refusal))
    }

    /// Tells the listeners of a refusal, and returns it.
    #[cold]
    pub(crate) fn refused(&self, refusal: Refusal) -> Refusal {
        self.listeners.tell(|| (), Event::Refused(refusal));
        refusal
    }

    /// Whether a call of `cost` could go, counting nothing.
    pub(crate) fn peek(&self, cost: u32, now: Instant) -> Result<(), Refusal> {
        let rate = self.shared.rate();
        affordable(rate, cost)?;
        let verdict = rate.decide(self.shared.full_at(), now, cost);
        verdict.map(drop).map_err(|due| Refusal::Limited { retry_after: due - now })
    }

    pub(crate) fn undo(&self, taken: (u64, u64)) {
        self.shared.undo(taken);
    }

    #[inline]
    pub(crate) fn take(&self, cost: u32, now: Instant) -> Result<(u64, u64), Refusal> {
        self.shared.take(now, cost).map_err(|due| Refusal::Limited { retry_after: due - now })
    }

    /// Takes a turn at the end of the line: the earliest that comes by `deadline` and within the longest wait.
    ///
    /// Nothing waits here: the caller sleeps until [`Turn::due`] and then calls [`Turn::take`].
    ///
    /// # Errors
    /// [`Refusal::TooLate`] where the turn would come later, [`Refusal::QueueFull`],
    /// [`Refusal::TooCostly`].
    pub fn reserve_at(&self, cost: u32, now: Instant, deadline: Instant) -> Result<Turn, Refusal> {
        let turn = self.limits.reserve(&self.shared, &self.clock, cost.max(1), now, deadline);
        let turn = turn.map_err(|refusal| self.refused(refusal))?;
        if turn.due() > now {
            self.listeners.tell(|| (), Event::Waiting { due: Some(turn.due()) });
        }
        Ok(turn)
    }

    /// Waits for a turn, first come, first served, for the longest wait of the configuration at most.
    ///
    /// # Errors
    /// At once where the turn would come too late or the line is full; later only where a pause puts the
    /// turn off.
    ///
    /// # Cancel safety
    /// Dropping the future gives the turn back, and the next in line moves up.
    #[cfg(feature = "tokio")]
    pub async fn acquire(&self) -> Result<(), Refusal> {
        self.acquire_by(Instant::FAR_FUTURE).await
    }

    /// [`acquire`](Self::acquire) by a deadline.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    pub async fn acquire_by(&self, deadline: Instant) -> Result<(), Refusal> {
        self.acquire_n_by(1, deadline).await
    }

    /// [`acquire_by`](Self::acquire_by) for a call that counts as `cost` calls; 0 counts as 1.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), or [`Refusal::TooCostly`] where it could never go.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    pub async fn acquire_n_by(&self, cost: u32, deadline: Instant) -> Result<(), Refusal> {
        self.reserve_at(cost, self.clock.now(), deadline)?.wait().await
    }

    /// Admits nothing for `pause`, and then one call an interval: what an upstream's 429 asks for.
    ///
    /// Turns that have not come are put off; those that then come after their deadline are refused at once.
    pub fn penalize(&self, pause: Duration) {
        self.penalize_at(pause, self.clock.now());
    }

    /// [`penalize`](Self::penalize) from a given time on.
    pub fn penalize_at(&self, pause: Duration, now: Instant) {
        let pause = self.limits.longest_pause(pause);
        self.shared.pause(pause, now);
        self.listeners.tell(|| (), Event::Paused { until: now + pause });
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }
}

/// Meters the calls to a server. One that answers with 429 or the like is left alone for as long as it asks, or
/// until the bucket, drained, has one call again where it names no time.
impl Guard for Bucket {
    fn admit(&self, _: &Call, now: Instant) -> Result<Ticket, Kind> {
        self.check_at(now)?;
        Ok(Ticket::new(0))
    }

    fn settle(&self, _: Ticket, outcome: &Outcome, now: Instant) {
        if let Outcome::Throttled { retry_after } = outcome {
            let interval = Duration::from_nanos(self.shared.rate().worth(1));
            self.penalize_at(retry_after.unwrap_or(interval), now);
        }
    }
}
