//! One fetch, driven by whoever waits for it.
//!
//! Nothing is spawned: the fetch is polled by a waiter's own poll. A wake-up of the fetch wakes every waiter, since
//! any one of them may be held by its caller without being polled; the first to come polls the fetch, the others go
//! back to sleep. The fetch is dropped when the last waiter leaves.
//!
//! ```text
//! Idle -> Polling -> Idle     the fetch is pending
//!         Polling -> Done     it returned, or panicked
//! Idle -> Closed              the last waiter left
//! ```
//!
//! A flight that is to be finished in any case is handed, when its last waiter leaves, to one that only waits.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{Mutex, MutexGuard};

pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A fetch that several callers wait for.
pub(crate) struct Flight<T> {
    state: Mutex<State<T>>,
    outcome: OnceLock<T>,
    /// What waiters get where the fetch panics.
    panicked: fn() -> T,
}

/// Waits for a flight that everyone else left.
pub(crate) type Finisher<T> = Box<dyn FnOnce(Waiter<T>) + Send>;

struct State<T> {
    stage: Stage<T>,
    /// Whether the fetch asked to be polled since it last was.
    woken: bool,
    waiters: Waiters,
    /// Takes the place of the last waiter that leaves, once.
    finisher: Option<Finisher<T>>,
}

enum Stage<T> {
    Idle(Work<T>),
    Polling,
    Done,
    Closed,
}

/// Why a flight cannot be joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotJoined {
    /// Everyone left it.
    Closed,
    /// As many as may wait do.
    Full,
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// A flight of `work` with its first waiter.
    pub(crate) fn begin(
        work: Work<T>,
        panicked: fn() -> T,
        finisher: Option<Finisher<T>>,
    ) -> (Arc<Self>, Waiter<T>) {
        let mut waiters = Waiters::default();
        let place = waiters.enter();
        let flight = Arc::new(Self {
            state: Mutex::new(State { stage: Stage::Idle(work), woken: true, waiters, finisher }),
            outcome: OnceLock::new(),
            panicked,
        });
        (flight.clone(), Waiter { flight, place })
    }

    /// One more waiter, if there are fewer than `max`.
    pub(crate) fn join(self: &Arc<Self>, max: usize) -> Result<Waiter<T>, NotJoined> {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Closed) {
            return Err(NotJoined::Closed);
        }
        if state.waiters.count >= max {
            return Err(NotJoined::Full);
        }
        let place = state.waiters.enter();
        drop(state);
        Ok(Waiter { flight: self.clone(), place })
    }

    fn poll(self: &Arc<Self>, place: usize, context: &mut Context<'_>) -> Poll<T> {
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome.clone());
        }
        let Some(mut work) = self.take_turn(place, context.waker()) else {
            return self
                .outcome
                .get()
                .map_or(Poll::Pending, |outcome| Poll::Ready(outcome.clone()));
        };
        let waker = Waker::from(self.clone());
        let mut work_context = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut work_context))) {
            Ok(Poll::Pending) => {
                self.put_back(work, place, context.waker());
                Poll::Pending
            }
            Ok(Poll::Ready(outcome)) => Poll::Ready(self.finish(outcome, work, place)),
            Err(panic) => {
                drop_quietly(panic);
                Poll::Ready(self.finish((self.panicked)(), work, place))
            }
        }
    }

    /// Hands the waiter the work where that wants to be polled and nobody does; registers the waiter otherwise.
    fn take_turn(&self, place: usize, waker: &Waker) -> Option<Work<T>> {
        let _replaced; // dropped after the lock is: a waker's destructor may be anyone's code
        let mut state = self.lock();
        if state.woken {
            match mem::replace(&mut state.stage, Stage::Polling) {
                Stage::Idle(work) => {
                    state.woken = false;
                    return Some(work);
                }
                other => state.stage = other,
            }
        }
        _replaced = state.waiters.register(place, waker);
        None
    }

    /// Takes the work back from the waiter that polled it, which only now has something to wait for.
    fn put_back(&self, work: Work<T>, place: usize, waker: &Waker) {
        let _replaced;
        let mut state = self.lock();
        state.stage = Stage::Idle(work);
        _replaced = state.waiters.register(place, waker);
        // Those who were woken while the work was out may have come and gone: they are woken again.
        let wakers = if state.woken { state.waiters.wakers() } else { Wakers::default() };
        drop(state);
        wakers.wake();
    }

    fn finish(&self, outcome: T, work: Work<T>, place: usize) -> T {
        // The work goes first: whoever sees the outcome finds the flight out of its table.
        drop_quietly(work);
        let outcome = self.outcome.get_or_init(|| outcome).clone();
        let mut state = self.lock();
        state.stage = Stage::Done;
        // Whoever polled has the outcome already: most flights have nobody else to wake.
        let own = state.waiters.place(place).take();
        let wakers = state.waiters.wakers();
        drop(state);
        drop(own);
        wakers.wake();
        outcome
    }
}

impl<T> Flight<T> {
    fn leave(self: &Arc<Self>, place: usize) {
        if self.outcome.get().is_some() {
            return; // nobody joins what has ended, so there is no place to free
        }
        let mut state = self.lock();
        if state.waiters.count == 1
            && !matches!(state.stage, Stage::Done)
            && let Some(finisher) = state.finisher.take()
        {
            drop(state);
            return finisher(Waiter { flight: self.clone(), place });
        }
        let waker = state.waiters.leave(place);
        let work = if state.waiters.count == 0 && matches!(state.stage, Stage::Idle(_)) {
            Some(mem::replace(&mut state.stage, Stage::Closed))
        } else {
            None
        };
        // It may have been this waiter's turn to poll.
        let wakers = if state.woken { state.waiters.wakers() } else { Wakers::default() };
        drop(state);
        wakers.wake();
        drop((waker, work));
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static> Wake for Flight<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        state.woken = true;
        let wakers = state.waiters.wakers();
        drop(state);
        wakers.wake();
    }
}

impl<T> fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Flight").field("waiters", &state.waiters.count).finish_non_exhaustive()
    }
}

/// Drops what belongs to the user's code; a panic of its destructor ends here.
pub(crate) fn drop_quietly<D>(dropped: D) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(dropped))) {
        // A payload whose own destructor panics is the one thing left that could get out.
        mem::forget(panic);
    }
}

/// One caller's wait for a flight.
pub(crate) struct Waiter<T> {
    flight: Arc<Flight<T>>,
    place: usize,
}

impl<T: Clone + Send + Sync + 'static> Future for Waiter<T> {
    type Output = T;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.flight.poll(self.place, context)
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        self.flight.leave(self.place);
    }
}

/// The wakers of those who wait, each at its own place. The first has its place without a list: most flights have
/// one waiter.
#[derive(Default)]
struct Waiters {
    count: usize,
    /// How many places there are.
    places: usize,
    first: Option<Waker>,
    rest: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Waiters {
    fn enter(&mut self) -> usize {
        self.count += 1;
        self.free.pop().unwrap_or_else(|| {
            if self.places > 0 {
                self.rest.push(None);
            }
            self.places += 1;
            self.places - 1
        })
    }

    fn place(&mut self, place: usize) -> &mut Option<Waker> {
        match place.checked_sub(1) {
            None => &mut self.first,
            Some(at) => &mut self.rest[at],
        }
    }

    /// Notes the waker, and returns the one that it replaces.
    fn register(&mut self, place: usize, waker: &Waker) -> Option<Waker> {
        match self.place(place) {
            Some(known) if known.will_wake(waker) => None,
            known => known.replace(waker.clone()),
        }
    }

    fn leave(&mut self, place: usize) -> Option<Waker> {
        self.count -= 1;
        self.free.push(place);
        self.place(place).take()
    }

    fn wakers(&mut self) -> Wakers {
        let rest = self.rest.iter_mut().filter_map(Option::take).collect();
        Wakers { first: self.first.take(), rest }
    }
}

/// Whom to wake, once the lock is gone.
#[derive(Default)]
struct Wakers {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakers {
    fn wake(self) {
        self.first.into_iter().chain(self.rest).for_each(Waker::wake);
    }
}
