//! What a server's calls tell of its health, beside its probes.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use toolweir_core::{Outcome, ServerInfo, Verdict};

use crate::tasks::Way;

/// A server's signs of life.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    in_flight: AtomicUsize,
    answers: AtomicU64,
    is_down: AtomicBool,
    returned: Notify,
    /// What it said that it is when it was last connected.
    info: Mutex<Option<Arc<ServerInfo>>>,
    /// How it has tasks, of its info: looked at by every call.
    tasks: AtomicU8,
}

impl Vitals {
    /// A call begins; it ends where what this returns is dropped.
    pub(crate) fn begin(&self) -> Begun<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Begun(self)
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

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
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
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
