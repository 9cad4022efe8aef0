//! What concerns all servers, or all clients, at once.

use toolweir_core::Clock;
use toolweir_core::{Call, Error, Kind as ErrorKind, Method, RawJson, Reply, TokioClock};

use super::{Orchestrator, is_up};
use crate::catalogue::{Catalogue, Kind};

/// The notifications for the lists that differ, each once.
pub(super) fn changed(old: &Catalogue, new: &Catalogue) -> Vec<Method> {
    let mut methods: Vec<Method> = Kind::ALL
        .into_iter()
        .filter(|kind| old.list(*kind) != new.list(*kind))
        .map(Kind::changed)
        .collect();
    methods.dedup();
    methods
}

impl Orchestrator {
    /// `logging/setLevel`: every server that is up is told; one that fails or has no log costs nothing.
    pub(super) async fn set_level(&self, call: &Call) -> Result<Reply, Error> {
        let mut telling = tokio::task::JoinSet::new();
        for endpoint in self.0.endpoints.iter().filter(|endpoint| is_up(&endpoint.status())) {
            let mut call = call.clone();
            let deadline = TokioClock.now() + endpoint.timeout;
            call.deadline = Some(call.deadline.map_or(deadline, |own| own.min(deadline)));
            let server = endpoint.server.clone();
            telling.spawn(async move { server.call(&call).await });
        }
        let mut refusal = None;
        while let Some(result) = telling.join_next().await {
            if let Ok(Err(error)) = result
                && matches!(error.kind(), ErrorKind::Protocol { code: -32602 })
            {
                refusal = Some(error); // the level itself is wrong
            }
        }
        refusal.map_or_else(|| Ok(Reply::new(RawJson::EMPTY_OBJECT)), Err)
    }
}
