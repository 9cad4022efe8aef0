//! What a server's calls tell of its health, beside its probes.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use toolweir_core::{Outcome, ServerInfo, Verdict};

use crate::tasks::Way;

/// The calls in flight, in the word of [`Vitals`].
const IN_FLIGHT: u64 = (1 << 24) - 1;
/// The server is being let go of: who comes now waits until that is done.
const LEAVING: u64 = 1 << 24;
/// The server has been let go of: who comes now has it begin anew.
const RESTING: u64 = 1 << 25;
/// Above it, how many calls have begun.
const ONE_BEGUN: u64 = 1 << 32;

/// A server's signs of life.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// How many calls are in flight, have begun, and whether the server rests: in one word, so that it is never let go
    /// of under a call.
    // awake => LEAVING: no call in flight; => RESTING: let go of; => awake: a call began, or it never was let go of
    calls: AtomicU64,
    /// Changes of the upper half of that.
    changed: Notify,
    answers: AtomicU64,
    is_down: AtomicBool,
    returned: Notify,
    /// What it said that it is when it was last connected.
    info: Mutex<Option<Arc<ServerInfo>>>,
    /// How it has tasks, of its info: looked at by every call.
    tasks: AtomicU8,
}

impl Vitals {
    /// A call begins, once the server may be called; it ends where what this returns is dropped.
    pub(crate) async fn begin(&self) -> Begun<'_> {
        let before = self.calls.fetch_add(ONE_BEGUN + 1, Ordering::AcqRel);
        let begun = Begun(self);
        if before & (LEAVING | RESTING) != 0 {
            self.wake().await;
        }
        begun
    }

    /// Waits while the server is being let go of, and has it looked after again.
    async fn wake(&self) {
        loop {
            let changed = self.changed.notified();
            let word = self.calls.load(Ordering::Acquire);
            if word & LEAVING == 0 {
                break;
            }
            changed.await;
        }
        self.awake();
    }

    /// How many calls have begun so far.
    pub(crate) fn begun(&self) -> u64 {
        self.calls.load(Ordering::Acquire) / ONE_BEGUN
    }

    /// Whether no call is in flight and none has begun since there were `begun`; then none gets through before
    /// [`left`](Self::left) is called.
    pub(crate) fn leave(&self, begun: u64) -> bool {
        let quiet = begun * ONE_BEGUN;
        let leaving = quiet | LEAVING;
        self.calls.compare_exchange(quiet, leaving, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The server has been let go of, or could not be.
    pub(crate) fn left(&self, rests: bool) {
        if rests {
            self.calls.fetch_or(RESTING, Ordering::AcqRel);
        }
        self.calls.fetch_and(!LEAVING, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// It is not there yet, and need not be before a call begins.
    pub(crate) fn sleep(&self) {
        self.calls.fetch_or(RESTING, Ordering::AcqRel);
    }

    /// It rests no longer.
    pub(crate) fn awake(&self) {
        self.calls.fetch_and(!RESTING, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until it rests no longer.
    pub(crate) async fn woken(&self) {
        loop {
            let changed = self.changed.notified();
            if self.calls.load(Ordering::Acquire) & RESTING == 0 {
                return;
            }
            changed.await;
        }
    }

    /// A call ended so. An answer of a server that is held to be down shows that it is back.
    pub(crate) fn settle(&self, outcome: &Outcome) {
        if outcome.verdict() == Verdict::Success {
            self.answers.fetch_add(1, Ordering::Relaxed);
            if self.is_down.load(Ordering::Relaxed) {
                self.returned.notify_one();
            }
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.calls.load(Ordering::Relaxed) & IN_FLIGHT
    }

    /// How many calls were answered.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Ends when a call showed that the server is back.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }

    pub(crate) fn set_up(&self, info: Arc<ServerInfo>) {
        let tasks = match Way::of_server(&info) {
            None => 0,
            Some(Way::Core) => 1,
            Some(Way::Extension) => 2,
        };
        self.tasks.store(tasks, Ordering::Relaxed);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(info);
        self.is_down.store(false, Ordering::Relaxed);
    }

    pub(crate) fn set_down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// How the server has tasks, where it has any.
    pub(crate) fn tasks(&self) -> Option<Way> {
        match self.tasks.load(Ordering::Relaxed) {
            1 => Some(Way::Core),
            2 => Some(Way::Extension),
            _ => None,
        }
    }

    /// What the server said that it is, also where it is away now; `None` where it was never there.
    pub(crate) fn info(&self) -> Option<Arc<ServerInfo>> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A call in flight.
pub(crate) struct Begun<'a>(&'a Vitals);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}
