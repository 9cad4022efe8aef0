//! Telling a server again what it was told before it was lost.

use std::time::Duration;

use toolweir_core::{Clock, TokioClock};

use super::fan::Levels;
use super::supervise::Supervisor;
use crate::endpoint::bounded;

/// How often it is looked whether clients have left whose level holds.
const LEVEL_SWEEP: Duration = Duration::from_secs(30);
/// How long a server has to take the level of its log messages.
const LEVEL_PATIENCE: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Tells a server what it was told before: nothing of that outlives its connection. Never ends.
    pub(super) async fn remind(&self, is_back: bool) {
        let renewals = self
            .inner
            .upgrade()
            .filter(|_| is_back)
            .map(|inner| inner.subscriptions.of(self.endpoint.id));
        let renewing = async {
            if let Some(renewals) = renewals {
                renewals.tell(&self.endpoint).await;
            }
        };
        tokio::join!(renewing, self.keep_level());
        std::future::pending::<()>().await;
    }

    /// Tells the level of log messages, now and whenever it changes.
    async fn keep_level(&self) {
        let levels = self.inner.upgrade().map(|inner| inner.levels.subscribe());
        let Some(mut levels) = levels else { return };
        loop {
            let level = *levels.borrow_and_update();
            let info = self.endpoint.vitals.info();
            let logs = info.is_some_and(|info| info.capabilities.member("logging").is_some());
            if let (Some(level), true) = (level, logs) {
                let deadline = TokioClock.now() + LEVEL_PATIENCE;
                let call = Levels::telling(level).deadline(deadline);
                let told = bounded(deadline, async { self.endpoint.server.call(&call).await });
                if let Err(error) = told.await {
                    tracing::debug!(server = &*self.endpoint.name, %error, "the log level was not taken");
                }
            }
            // A client that leaves says nothing of its level.
            loop {
                match tokio::time::timeout(LEVEL_SWEEP, levels.changed()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => return,
                    Err(_) => match self.inner.upgrade() {
                        Some(inner) => inner.levels.sweep(),
                        None => return,
                    },
                }
            }
        }
    }
}
