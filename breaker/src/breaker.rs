//! The breaker itself: the machine, a clock, and whoever listens.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use toolweir_core::{Clock, Instant, MonotonicClock, Outcome, Verdict};

use crate::engine::{Ending, Machine, Pass, Phase, Settings};
use crate::{Config, ConfigError, OwnedPermit, Permit, Refused, Snapshot, State, Transition};

pub(crate) type Listener = Box<dyn Fn(&Transition) + Send + Sync>;

/// Stops calling what keeps failing, and finds out when it is well again.
///
/// Share it by reference or in an [`Arc`]. Admitting and settling a call while closed takes no lock and
/// allocates nothing.
pub struct Breaker<C = MonotonicClock> {
    machine: Machine,
    clock: C,
    listeners: Vec<Listener>,
    classify: fn(&Outcome) -> Verdict,
}

impl Breaker {
    /// A closed breaker on the system's clock.
    ///
    /// # Errors
    /// The first value of `config` that makes no sense.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, MonotonicClock)
    }
}

/// Opens after 5 failures in a row, for 60 s.
impl Default for Breaker {
    fn default() -> Self {
        let settings = Settings::new(&Config::default()).expect("the default is valid");
        Self::from_settings(Arc::new(settings), MonotonicClock)
    }
}

impl<C: Clock> Breaker<C> {
    /// A closed breaker on `clock`.
    ///
    /// # Errors
    /// The first value of `config` that makes no sense.
    pub fn with_clock(config: Config, clock: C) -> Result<Self, ConfigError> {
        let settings = Settings::new(&config)?;
        Ok(Self::from_settings(Arc::new(settings), clock))
    }

    pub(crate) fn from_settings(settings: Arc<Settings>, clock: C) -> Self {
        let seed = settings.seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        Self {
            machine: Machine::new(settings, seed),
            clock,
            listeners: Vec::new(),
            classify: Outcome::verdict,
        }
    }

    /// Adds a listener for transitions.
    ///
    /// Each transition is heard once, in order, by one thread at a time, which holds no lock: a listener may
    /// use the breaker. It runs on the thread whose call caused the transition, or one that was delivering
    /// already, so it should be quick; it should not panic either, but does no harm if it does. Past 256
    /// undelivered transitions the oldest are dropped and counted ([`Snapshot::missed`]).
    #[must_use]
    pub fn on_transition(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.machine.observe();
        self.listeners.push(Box::new(listener));
        self
    }

    /// Decides what an [`Outcome`] says of health; by default [`Outcome::verdict`].
    ///
    /// A throttled outcome that is `Neutral` still fails a probe; to have it open a closed breaker, say
    /// `Failure`.
    #[must_use]
    pub fn classify(mut self, classify: fn(&Outcome) -> Verdict) -> Self {
        self.classify = classify;
        self
    }

    /// Admits a call, or says how long to wait.
    ///
    /// Half-open admits as many probes as configured; a dropped probe frees its slot.
    ///
    /// # Errors
    /// [`Refused`] while open, and while all probes are under way.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<&Self>, Refused> {
        self.pass().map(|pass| Permit::new(self, pass))
    }

    /// [`try_acquire`](Self::try_acquire) at a time that is known already.
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_acquire_at(&self, now: Instant) -> Result<Permit<&Self>, Refused> {
        self.pass_at(now).map(|pass| Permit::new(self, pass))
    }

    /// [`try_acquire`](Self::try_acquire) for a permit that borrows nothing and may go to another task.
    ///
    /// # Errors
    /// The same.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<OwnedPermit<C>, Refused> {
        self.pass().map(|pass| Permit::new(Arc::clone(self), pass))
    }

    /// [`try_acquire_owned`](Self::try_acquire_owned) at a time that is known already.
    ///
    /// # Errors
    /// The same.
    pub fn try_acquire_owned_at(self: &Arc<Self>, now: Instant) -> Result<OwnedPermit<C>, Refused> {
        self.pass_at(now).map(|pass| Permit::new(Arc::clone(self), pass))
    }

    /// Runs `future` if it may, and counts an `Err` and a panic as failures.
    ///
    /// # Errors
    /// [`CallError::Refused`] where the future was not run, else its own error.
    ///
    /// # Cancel safety
    /// Dropping the returned future drops `future` and counts nothing; a probe's slot is freed.
    pub async fn call<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        let verdict = |result: &Result<T, E>| match result {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::Failure,
        };
        self.call_with(future, verdict).await
    }

    /// [`call`](Self::call), with `verdict` deciding what a result says of health.
    ///
    /// # Errors
    /// The same.
    ///
    /// # Cancel safety
    /// The same.
    pub async fn call_with<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>>,
        verdict: impl FnOnce(&Result<T, E>) -> Verdict,
    ) -> Result<T, CallError<E>> {
        let permit = self.try_acquire().map_err(CallError::Refused)?;
        let result = future.await;
        permit.verdict(verdict(&result));
        result.map_err(CallError::Failed)
    }

    /// Refuses every call until told otherwise.
    pub fn force_open(&self) {
        self.force(Phase::ForcedOpen);
    }

    /// Lets every call pass until told otherwise; results are counted and trip nothing.
    pub fn force_closed(&self) {
        self.force(Phase::ForcedClosed);
    }

    /// Lets every call pass and counts nothing until told otherwise.
    pub fn disable(&self) {
        self.force(Phase::Disabled);
    }

    /// Closes it, forgets what was counted, and lets it decide for itself again. Where it was closed already,
    /// listeners hear nothing of that.
    pub fn reset(&self) {
        self.force(Phase::Closed);
    }

    /// What it does with calls at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// Everything there is to see, now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_at(self.clock.now())
    }

    /// Everything there is to see, at a time that is known already.
    #[must_use]
    pub fn snapshot_at(&self, now: Instant) -> Snapshot {
        self.machine.snapshot(now)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.machine.is_fresh(self.clock.now())
    }

    fn force(&self, phase: Phase) {
        if self.machine.force(phase, self.clock.now()) {
            self.deliver();
        }
    }

    /// Reads the clock only where the answer or the verdict depends on it.
    #[inline]
    fn pass(&self) -> Result<Pass, Refused> {
        match self.machine.admit_at_once() {
            Some(generation) if !self.machine.is_timed() => {
                Ok(Pass { generation, admitted: Instant::default() })
            }
            _ => self.pass_at(self.clock.now()),
        }
    }

    #[inline]
    pub(crate) fn pass_at(&self, now: Instant) -> Result<Pass, Refused> {
        match self.machine.admit_at_once() {
            Some(generation) => Ok(Pass { generation, admitted: now }),
            None => self.pass_or_refuse(now),
        }
    }

    #[cold]
    fn pass_or_refuse(&self, now: Instant) -> Result<Pass, Refused> {
        let (admitted, deliver) = self.machine.admit(now);
        if deliver {
            self.deliver();
        }
        admitted
    }

    #[inline]
    pub(crate) fn succeed(&self, pass: Pass) {
        if self.machine.succeed(pass, || self.clock.now()) {
            self.deliver();
        }
    }

    #[inline]
    pub(crate) fn settle_at(&self, pass: Pass, ending: Ending, now: Instant) {
        let deliver = match ending {
            Ending::Success => self.machine.succeed(pass, || now),
            _ => self.machine.settle(pass, ending, now),
        };
        if deliver {
            self.deliver();
        }
    }

    pub(crate) fn generation(&self) -> u32 {
        self.machine.generation()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What `outcome` means for the machine.
    pub(crate) fn ending(&self, outcome: &Outcome) -> Ending {
        match ((self.classify)(outcome), outcome) {
            (Verdict::Success, _) => Ending::Success,
            (Verdict::Failure, _) => Ending::Failure,
            (Verdict::Neutral, Outcome::Throttled { retry_after }) => {
                Ending::Throttled(*retry_after)
            }
            (Verdict::Neutral, _) => Ending::Unknown,
        }
    }

    #[cold]
    fn deliver(&self) {
        while let Some(transition) = self.machine.next_transition() {
            for listener in &self.listeners {
                // The panic hook has told of it; the call that happens to deliver is not to blame.
                let _ = catch_unwind(AssertUnwindSafe(|| listener(&transition)));
            }
        }
    }
}

impl<C: fmt::Debug> fmt::Debug for Breaker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("state", &self.machine.state())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Why [`Breaker::call`] has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The breaker refused; the future was not run.
    #[error("call refused")]
    Refused(#[source] Refused),
    /// The future ran and failed.
    #[error("call failed")]
    Failed(#[source] E),
}
