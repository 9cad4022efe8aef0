//! A server that is no longer wanted: its calls end first, then it ends.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Clock, TokioClock};

use super::Orchestrator;
use crate::endpoint::Endpoint;

/// How long it gets to end in good order: two steps of a child's ladder, and a little.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// Lets go of `endpoint`, whose place in the view another has, or nobody. With `ends`, its server is closed as
    /// soon as no call has it any more, after its timeout at the latest.
    pub(super) fn retire(&self, endpoint: Arc<Endpoint>, ends: bool) {
        endpoint.retired.cancel();
        if !ends {
            return;
        }
        let (server, gone) = (endpoint.server.clone(), endpoint.gone());
        let (name, patience) = (endpoint.name.clone(), endpoint.settings.timeout);
        drop(endpoint);
        let (inner, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = gone.cancelled() => {}
                () = stop.cancelled() => {}
                () = tokio::time::sleep(patience) => {
                    tracing::warn!(server = &*name, "ended with calls in flight: their time is over");
                }
            }
            // Where the orchestrator was dropped, the server ends by being dropped, too.
            let Some(inner) = inner.upgrade() else { return };
            let soon = TokioClock.now() + CLOSE_PATIENCE;
            let deadline = inner.end.get().map_or(soon, |end| soon.min(*end));
            drop(inner);
            server.close(deadline).await;
        });
    }
}
