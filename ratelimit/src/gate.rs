//! So many at once.

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use toolweir_core::{Call, Clock, Guard, Instant, Kind, MonotonicClock, Outcome, Ticket};

use crate::adaptive::Adaptive;
use crate::crowd::Crowd;
use crate::event::Listeners;
use crate::held::Held;
use crate::{Event, GateConfig, InvalidConfig, Refusal};

/// Bounds how many calls run at once, and shares the places fairly among those who wait.
///
/// Where the configuration says `adaptive`, the bound follows what the server bears: it grows by one a round
/// while all places are in use and calls go well, and shrinks by a tenth when the server is slow, says that it
/// has had enough, or does not answer; never above `maxInFlight`, never below `minInFlight`.
///
/// Those who wait stand in one line a key (`K`: a principal, a tenant), and the lines take turns: who sends
/// much waits behind its own calls, not before everybody else's. `Gate<()>` has one line.
///
/// ```
/// use toolweir_ratelimit::{Gate, GateConfig};
///
/// let gate = Gate::<()>::new(&GateConfig::default().max_in_flight(1))?;
/// let place = gate.try_enter().expect("it is empty");
/// assert!(gate.try_enter().is_err());
/// drop(place);
/// assert!(gate.try_enter().is_ok());
/// # Ok::<(), toolweir_ratelimit::InvalidConfig>(())
/// ```
pub struct Gate<K = ()> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    state: Mutex<State<K>>,
    clock: Arc<dyn Clock>,
    config: GateConfig,
    listener: OnceLock<Listeners<()>>,
}

struct State<K> {
    crowd: Crowd<K>,
    limit: Adaptive,
    held: Held,
}

impl<K: Hash + Eq + Clone> State<K> {
    /// Refuses a caller, who would come after all who wait.
    fn busy(&self) -> Refusal {
        let (in_flight, limit) = (self.crowd.in_flight(), self.limit.get());
        let leaving = (in_flight + self.crowd.waiting() + 1).saturating_sub(limit);
        Refusal::Busy { retry_after: self.held.until_gone(leaving, in_flight) }
    }
}

impl<K: Hash + Eq + Clone> Inner<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Result<(), Refusal> {
        let mut state = self.state();
        let limit = state.limit.get();
        if state.crowd.enter(limit) { Ok(()) } else { Err(state.busy()) }
    }

    #[cold]
    fn tell(&self, event: Event) {
        if let Some(listener) = self.listener.get() {
            listener.tell(|| (), event);
        }
    }

    /// Tells the listener of a refusal, and returns it.
    #[cold]
    fn refused(&self, refusal: Refusal) -> Refusal {
        self.tell(Event::Refused(refusal));
        refusal
    }

    /// Frees a place that was never used.
    #[cfg(feature = "tokio")]
    fn pass_on(&self) {
        let mut state = self.state();
        state.crowd.leave();
        let limit = state.limit.get();
        let woken = state.crowd.admit(limit);
        drop(state);
        woken.into_iter().for_each(std::task::Waker::wake);
    }

    /// Frees a place, learns from how the call went, and lets in those who have room now.
    fn leave(&self, outcome: Option<&Outcome>, entered: Instant, now: Instant) {
        let mut state = self.state();
        let from = state.limit.get();
        state.held.learn(now.since(entered));
        if let Some(outcome) = outcome {
            let in_flight = state.crowd.in_flight();
            state.limit.learn(outcome, in_flight, entered, now);
        }
        state.crowd.leave();
        let to = state.limit.get();
        let woken = state.crowd.admit(to);
        drop(state);
        woken.into_iter().for_each(std::task::Waker::wake);
        if to != from {
            self.tell(Event::LimitChanged { from, to });
        }
    }
}

impl<K: Hash + Eq + Clone> Gate<K> {
    /// An empty gate on the system's clock.
    ///
    /// # Errors
    /// Names the field of `config` that makes no sense.
    pub fn new(config: &GateConfig) -> Result<Self, InvalidConfig> {
        Self::with_clock(config, Arc::new(MonotonicClock))
    }

    /// An empty gate on another clock, such as `TokioClock` where tests pause the time.
    ///
    /// # Errors
    /// Names the field of `config` that makes no sense.
    pub fn with_clock(config: &GateConfig, clock: Arc<dyn Clock>) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let crowd = Crowd::new(config.max_waiting);
        let state = State { crowd, limit: Adaptive::new(config), held: Held::default() };
        let (state, config) = (Mutex::new(state), config.clone());
        let inner = Inner { state, clock, config, listener: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sets the one listener for refusals, for callers who begin to wait, and for changes of an adaptive limit; where
    /// there is one already, nothing changes.
    ///
    /// It runs on the thread of the call that it hears of, under no lock, so it should be quick; it should not
    /// panic either, but does no harm if it does.
    #[must_use]
    pub fn on_event(self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.inner.listener.get_or_init(|| {
            let mut listeners = Listeners::default();
            listeners.add(move |(), event| listener(event));
            listeners
        });
        self
    }

    /// Takes a place, where one is free and nobody waits for it.
    ///
    /// # Errors
    /// [`Refusal::Busy`], with an estimate of when to try again.
    pub fn try_enter(&self) -> Result<Place<K>, Refusal> {
        self.try_enter_at(self.inner.clock.now())
    }

    /// [`try_enter`](Self::try_enter) at a given time.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub fn try_enter_at(&self, now: Instant) -> Result<Place<K>, Refusal> {
        self.inner.enter().map_err(|refusal| self.inner.refused(refusal))?;
        Ok(Place { inner: Some(Arc::clone(&self.inner)), entered: now })
    }

    /// How many calls may run at once now.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.inner.state().limit.get()
    }

    /// How many calls run.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.state().crowd.in_flight()
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.state().crowd.waiting()
    }
}

impl<K> Clone for Gate<K> {
    /// The same gate.
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K> fmt::Debug for Gate<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// A place behind a gate; dropping it frees the place.
///
/// Usable across tasks. Dropped, it says nothing of how the call went, so a caller that leaves or panics does not
/// move an adaptive limit.
#[must_use = "dropping a place frees it"]
pub struct Place<K: Hash + Eq + Clone> {
    inner: Option<Arc<Inner<K>>>,
    entered: Instant,
}

impl<K: Hash + Eq + Clone> Place<K> {
    /// Frees the place and tells the gate how the call went.
    pub fn settle(mut self, outcome: &Outcome, now: Instant) {
        if let Some(inner) = self.inner.take() {
            inner.leave(Some(outcome), self.entered, now);
        }
    }

    /// When the place was taken.
    #[must_use]
    pub fn entered(&self) -> Instant {
        self.entered
    }
}

impl<K: Hash + Eq + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.leave(None, self.entered, inner.clock.now());
        }
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Place<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("entered", &self.entered).finish_non_exhaustive()
    }
}

/// Bounds how many calls a server has at once.
impl<K: Hash + Eq + Clone + Send> Guard for Gate<K> {
    fn admit(&self, _: &Call, now: Instant) -> Result<Ticket, Kind> {
        self.inner.enter().map_err(|refusal| self.inner.refused(refusal))?;
        Ok(Ticket::new(now.as_nanos()))
    }

    fn settle(&self, ticket: Ticket, outcome: &Outcome, now: Instant) {
        self.inner.leave(Some(outcome), Instant::from_nanos(ticket.value()), now);
    }
}

#[cfg(feature = "tokio")]
mod wait {
    use std::future::poll_fn;
    use std::hash::Hash;
    use std::sync::Arc;
    use std::task::Poll;

    use toolweir_core::Instant;

    use super::{Gate, Inner, Place};
    use crate::crowd::Look;
    use crate::{Event, Refusal};

    /// A caller in the line of its key; dropped, it leaves.
    struct Waiting<'a, K: Hash + Eq + Clone> {
        inner: &'a Arc<Inner<K>>,
        key: &'a K,
        id: Option<u64>,
    }

    impl<K: Hash + Eq + Clone> Drop for Waiting<'_, K> {
        fn drop(&mut self) {
            let Some(id) = self.id else { return };
            let had_place = self.inner.state().crowd.give_up(self.key, id);
            if had_place {
                self.inner.pass_on();
            }
        }
    }

    impl<K: Hash + Eq + Clone> Gate<K> {
        /// Waits for a place on behalf of `key`, for the longest wait of the configuration at most.
        ///
        /// # Errors
        /// [`Refusal::Busy`] at once where the lines are full and no other line is longer than the key's, or
        /// when the wait has been too long.
        ///
        /// # Cancel safety
        /// Dropping the future leaves the line; a place that was already given goes to the next.
        pub async fn enter(&self, key: &K) -> Result<Place<K>, Refusal> {
            self.enter_by(key, Instant::FAR_FUTURE).await
        }

        /// [`enter`](Self::enter) by a deadline.
        ///
        /// # Errors
        /// As [`enter`](Self::enter).
        ///
        /// # Cancel safety
        /// As [`enter`](Self::enter).
        pub async fn enter_by(&self, key: &K, deadline: Instant) -> Result<Place<K>, Refusal> {
            self.wait(key, deadline).await.map_err(|refusal| self.inner.refused(refusal))
        }

        async fn wait(&self, key: &K, deadline: Instant) -> Result<Place<K>, Refusal> {
            let begun = self.inner.clock.now();
            let Err(busy) = self.inner.enter() else {
                return Ok(Place { inner: Some(Arc::clone(&self.inner)), entered: begun });
            };
            let patience = deadline.since(begun).min(self.inner.config.max_wait);
            if patience.is_zero() {
                return Err(busy);
            }
            let (id, pushed_out) = {
                let mut state = self.inner.state();
                let limit = state.limit.get();
                match state.crowd.join(key, limit) {
                    Some(joined) => joined,
                    None => return Err(state.busy()),
                }
            };
            let mut waiting = Waiting { inner: &self.inner, key, id: Some(id) };
            pushed_out.into_iter().for_each(std::task::Waker::wake);
            let mut told = false;
            let turn = poll_fn(|context| {
                let look = waiting.inner.state().crowd.look(key, id, context.waker());
                match look {
                    Look::Enter => Poll::Ready(true),
                    Look::PushedOut => Poll::Ready(false),
                    Look::Wait => {
                        if !std::mem::replace(&mut told, true) {
                            self.inner.tell(Event::Waiting { due: None });
                        }
                        Poll::Pending
                    }
                }
            });
            let turn = tokio::time::timeout(patience, turn).await;
            match turn {
                Ok(true) => {
                    waiting.id = None;
                    let entered = self.inner.clock.now();
                    Ok(Place { inner: Some(Arc::clone(&self.inner)), entered })
                }
                Ok(false) => {
                    waiting.id = None;
                    Err(self.inner.state().busy())
                }
                Err(_too_long) => {
                    drop(waiting);
                    Err(self.inner.state().busy())
                }
            }
        }
    }
}
