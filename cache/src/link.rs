//! The way to a further tier: what is asked and told, each within its time.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use toolweir_core::{Clock, Instant};

use crate::builder::{Spawn, Timer, spawn};
use crate::desk::{Desk, Errand, Owed, Put};
use crate::event::{Event, Listener};
use crate::flight::drop_quietly;
use crate::tier::{Sought, Terms, Tier, TierError};

/// How often what is owed is tried at once; then it waits for whoever next wants something of the tier.
const ATTEMPTS: u32 = 5;

/// A tier, and what it is still to be told.
pub(crate) struct Link<K, V> {
    tier: Arc<dyn Tier<K, V>>,
    desk: Mutex<Desk<K, V>>,
    clock: Arc<dyn Clock>,
    spawn: Spawn,
    timer: Timer,
    timeout: Duration,
    rest: Duration,
    listener: Option<Listener<K>>,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Itself, for the one who runs its errands.
    this: Weak<Self>,
}

/// What a link is made of.
pub(crate) struct Parts<K, V> {
    pub(crate) tier: Arc<dyn Tier<K, V>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawn: Spawn,
    pub(crate) timer: Timer,
    pub(crate) timeout: Duration,
    pub(crate) rest: Duration,
    pub(crate) listener: Option<Listener<K>>,
}

/// Why a tier did not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("no answer in time")]
    Late,
    #[error("panicked")]
    Panicked,
    #[error("{0}")]
    Said(TierError),
}

impl<K, V> Link<K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(parts: Parts<K, V>) -> Arc<Self> {
        let Parts { tier, clock, spawn, timer, timeout, rest, listener } = parts;
        Arc::new_cyclic(|this| Self {
            tier,
            desk: Mutex::new(Desk::new()),
            clock,
            spawn,
            timer,
            timeout,
            rest,
            listener,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            this: this.clone(),
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk<K, V>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Asks the tier; `None` where it may not be asked now, or fails.
    pub(crate) async fn seek(&self, key: &K, groups: &[Arc<str>]) -> Option<Sought<V>> {
        if !self.desk().is_open(self.now()) {
            self.nudge();
            return None;
        }
        match self.timely(|| self.tier.get(key, groups)).await {
            Ok(sought) => {
                self.desk().works();
                let count = if sought.found.is_some() { &self.hits } else { &self.misses };
                count.fetch_add(1, Relaxed);
                Some(sought)
            }
            Err(failed) => {
                let until = self.now() + self.rest;
                self.desk().rests(until);
                self.tell(&failed);
                None
            }
        }
    }

    /// Has a value written, after all that happened before, if it is still current.
    pub(crate) fn put(&self, put: Put<K, V>, is_current: impl Fn() -> bool) {
        let now = self.now();
        let mut desk = self.desk();
        // Looked at under the lock: whatever makes it invalid from now on is forgotten after it.
        if !is_current() {
            return;
        }
        let noted = desk.put(put, now);
        drop(desk);
        if !noted {
            self.dropped.fetch_add(1, Relaxed);
        }
        self.nudge();
    }

    /// Has something forgotten, after all that happened before.
    pub(crate) fn forget(&self, owed: Owed<K>) {
        self.desk().forget(owed);
        self.nudge();
    }

    /// How many errands wait.
    pub(crate) fn pending(&self) -> usize {
        self.desk().len()
    }

    /// Sees to it that somebody runs the errands.
    fn nudge(&self) {
        if self.desk().begin() {
            let shift = Shift { link: self.this.clone(), ends: false };
            spawn(&self.spawn, Box::pin(shift.work()));
        }
    }

    async fn run(&self, errand: &Errand<K, V>) -> Result<(), Failed> {
        match errand {
            Errand::Put(Put { key, value, ttl, groups, epochs }) => {
                let terms = Terms { ttl: *ttl, groups, epochs: epochs.as_deref() };
                self.timely(|| self.tier.put(key, value, terms)).await
            }
            Errand::Forget(owed) => self.timely(|| self.tier.forget(owed.what())).await,
        }
    }

    /// Does what `ask` says, in time or not at all.
    async fn timely<T, F>(&self, ask: impl FnOnce() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, TierError>> + Send + Unpin,
    {
        let begin = || (ask(), (self.timer)(self.timeout));
        let (asked, mut time) = catch_unwind(AssertUnwindSafe(begin)).map_err(panicked)?;
        let mut asked = Quiet(Some(asked));
        poll_fn(|context| {
            let Some(answer) = &mut asked.0 else { return Poll::Ready(Err(Failed::Late)) };
            match catch_unwind(AssertUnwindSafe(|| Pin::new(answer).poll(context))) {
                Ok(Poll::Ready(answer)) => Poll::Ready(answer.map_err(Failed::Said)),
                Ok(Poll::Pending) => time.as_mut().poll(context).map(|()| Err(Failed::Late)),
                Err(panic) => Poll::Ready(Err(panicked(panic))),
            }
        })
        .await
    }

    fn tell(&self, failed: &Failed) {
        self.failures.fetch_add(1, Relaxed);
        if let Some(listener) = &self.listener {
            listener.hear(&Event::TierFailed { error: failed });
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Failed {
    drop_quietly(panic);
    Failed::Panicked
}

/// The tier's own code, whose destructor may panic, too.
struct Quiet<F>(Option<F>);

impl<F> Drop for Quiet<F> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

/// The turn of whoever runs errands; the next one can begin when it is dropped, however that comes.
struct Shift<K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    link: Weak<Link<K, V>>,
    /// It was told that nothing is left, and another one may have begun since.
    ends: bool,
}

impl<K, V> Shift<K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Runs errands until none is left, the cache is gone, or the tier fails too often.
    async fn work(mut self) {
        let mut attempts = 0;
        while let Some(link) = self.link.upgrade() {
            let Some(errand) = link.desk().next() else {
                self.ends = true;
                return;
            };
            let errand = Taken { link: &link, errand: Some(errand) };
            let Some(failed) = errand.run().await else {
                attempts = 0;
                continue;
            };
            link.tell(&failed);
            attempts += 1;
            if attempts == ATTEMPTS {
                return;
            }
            let pause = (link.timer)(link.rest);
            drop(link); // a cache that is gone keeps no tier
            pause.await;
        }
    }
}

impl<K, V> Drop for Shift<K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(link) = self.link.upgrade().filter(|_| !self.ends) {
            link.desk().stop();
        }
    }
}

/// An errand that is being run; where that is cut short, it failed.
struct Taken<'a, K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    link: &'a Link<K, V>,
    errand: Option<Errand<K, V>>,
}

impl<K, V> Taken<'_, K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    async fn run(mut self) -> Option<Failed> {
        let Some(errand) = &self.errand else { return None };
        let failed = self.link.run(errand).await.err();
        if failed.is_none()
            && let Some(errand) = self.errand.take()
        {
            self.link.desk().done(&errand);
        }
        failed
    }
}

impl<K, V> Drop for Taken<'_, K, V>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(errand) = self.errand.take() {
            let until = self.link.now() + self.link.rest;
            self.link.desk().failed(errand, until);
        }
    }
}

impl<K, V> fmt::Debug for Link<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
