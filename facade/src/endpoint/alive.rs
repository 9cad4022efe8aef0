//! Signs of life of a running call: while there are any, it is not timed out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use toolweir_core::{Clock, Error, Instant, Method, Notification, Peer, RawJson, TokioClock};

/// The way back to a caller, which notes that the server used it.
#[derive(Debug)]
pub(super) struct Alive {
    peer: Arc<dyn Peer>,
    last_sign: AtomicU64,
    /// Questions that the caller has not answered yet: meanwhile nothing is asked of the server.
    questions: AtomicUsize,
    answered: Notify,
}

impl Alive {
    pub(super) fn new(peer: Arc<dyn Peer>, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            peer,
            last_sign: AtomicU64::new(now.as_nanos()),
            questions: AtomicUsize::new(0),
            answered: Notify::new(),
        })
    }

    fn sign(&self) {
        self.last_sign.store(TokioClock.now().as_nanos(), Ordering::Relaxed);
    }

    /// Ends when the server gave no sign for `patience`.
    pub(super) async fn silent(&self, patience: Duration) {
        loop {
            let answered = self.answered.notified();
            if self.questions.load(Ordering::Acquire) > 0 {
                answered.await;
                continue;
            }
            let last = Instant::from_nanos(self.last_sign.load(Ordering::Relaxed));
            let until = last + patience;
            if TokioClock.now() >= until {
                return;
            }
            tokio::time::sleep_until(until.into_std().into()).await;
        }
    }
}

/// An open question; closed also where the server withdraws it.
struct Question<'a>(&'a Alive);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.sign();
        self.0.questions.fetch_sub(1, Ordering::Release);
        self.0.answered.notify_one();
    }
}

#[async_trait]
impl Peer for Alive {
    fn notify(&self, notification: Notification) {
        self.sign();
        self.peer.notify(notification);
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        self.questions.fetch_add(1, Ordering::Acquire);
        let _open = Question(self);
        self.peer.request(method, params, deadline).await
    }

    fn lasting(&self) -> Option<Arc<dyn Peer>> {
        self.peer.lasting()
    }
}
