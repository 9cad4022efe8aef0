//! Servers that have not been tried yet, and whoever waits for them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::{Inner, Orchestrator};
use crate::endpoint::Endpoint;

/// How long a list waits, once after the start, for servers that have not been tried yet.
pub(super) const LIST_PATIENCE: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// Waits until `enough` holds or every server has been tried once or is known from before, `patience` after the start at the latest.
    pub(super) async fn settled(&self, patience: Duration, enough: impl Fn() -> bool) {
        self.none_left(&self.0.unlisted, patience, enough).await;
    }

    /// The same, until every server has been tried: those that are known from before, too.
    pub(super) async fn tried(&self, patience: Duration, enough: impl Fn() -> bool) {
        self.none_left(&self.0.untried, patience, enough).await;
    }

    async fn none_left(
        &self,
        left: &watch::Sender<usize>,
        patience: Duration,
        enough: impl Fn() -> bool,
    ) {
        if *left.borrow() == 0 {
            return;
        }
        let mut left = left.subscribe();
        let latest = self.0.started + patience;
        let all = left.wait_for(|count| *count == 0 || enough());
        tokio::select! {
            _ = tokio::time::timeout_at(latest.into_std().into(), all) => {}
            () = self.0.stop.cancelled() => {}
        }
    }
}

/// A server that has not been tried yet, for those who wait for all.
pub(super) struct Untried {
    inner: Weak<Inner>,
    /// Its lists are not known from before.
    unlisted: bool,
}

impl Untried {
    pub(super) fn of(inner: &Arc<Inner>, endpoint: &Endpoint) -> Self {
        let unlisted = !endpoint.is_listed();
        inner.untried.send_modify(|count| *count += 1);
        if unlisted {
            inner.unlisted.send_modify(|count| *count += 1);
        }
        Self { inner: Arc::downgrade(inner), unlisted }
    }
}

impl Drop for Untried {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            if self.unlisted {
                inner.unlisted.send_modify(|count| *count = count.saturating_sub(1));
            }
            inner.untried.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}
