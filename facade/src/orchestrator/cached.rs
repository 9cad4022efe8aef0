//! One server's answer, from the cache where that is allowed.

use std::sync::Arc;

use toolweir_core::{
    CacheUse, Call, Clock, Error, Event, Freshness, Lookup, Reply, Store, TokioClock,
};

use super::Orchestrator;
use crate::endpoint::{Endpoint, Turn};
use crate::policy;

impl Orchestrator {
    /// The answer of `endpoint` to `call`: remembered, shared with others who ask the same, or fetched.
    pub(super) async fn answer(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Call,
        turn: Turn,
    ) -> Result<Reply, Error> {
        let Some(lookup) = lookup(endpoint, call) else {
            self.observe_cache(CacheUse::Bypass);
            let mut write =
                Write { orchestrator: self, endpoint, may_have_run: policy::may_write(call) };
            let result = self.asked(endpoint, call, turn).await;
            write.may_have_run &= !result.as_ref().is_err_and(Error::is_unsent);
            return result;
        };
        let fetch = {
            let (this, endpoint, mut call) = (self.clone(), endpoint.clone(), call.clone());
            // Others may wait for the same longer than this caller does.
            call.deadline = None;
            async move { this.asked(&endpoint, &call, turn).await }
        };
        let fetched = self.0.store.get_or_fetch(lookup, Box::pin(fetch));
        let result = match call.deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into_std().into(), fetched).await.unwrap_or_else(
                    |_| Err(Error::new(toolweir_core::Kind::Timeout).server(endpoint.name.clone())),
                )
            }
            None => fetched.await,
        };
        self.observe_cache(match &result {
            Ok(reply) => match reply.freshness {
                Freshness::Cached => CacheUse::Hit,
                Freshness::Coalesced => CacheUse::Coalesced,
                Freshness::Stale => CacheUse::Stale,
                _ => CacheUse::Miss,
            },
            Err(_) => CacheUse::Miss,
        });
        result
    }

    /// The endpoint's own answer; where the orchestrator ends first, the call ends with it.
    async fn asked(&self, endpoint: &Endpoint, call: &Call, turn: Turn) -> Result<Reply, Error> {
        let names = self.task_names(endpoint, call);
        let named = names.as_ref().map(|names| names.call(call));
        let sent = named.as_ref().unwrap_or(call);
        tokio::select! {
            biased;
            result = endpoint.call(sent, &self.0.observers, turn) => {
                let mut reply = result?;
                if let Some(names) = names {
                    reply = names.reply(call, reply);
                }
                self.learn_links(endpoint, call, &reply);
                Ok(reply)
            }
            () = self.0.ended.cancelled() => {
                Err(Error::new(toolweir_core::Kind::Closed).server(endpoint.name.clone()).ambiguous())
            }
        }
    }

    fn observe_cache(&self, result: CacheUse) {
        let now = TokioClock.now();
        for observer in &self.0.observers {
            observer.on_event(&Event::Cache { result }, now);
        }
    }
}

/// A call that may write: once it ends, or its caller leaves, what was read before counts no more.
struct Write<'a> {
    orchestrator: &'a Orchestrator,
    endpoint: &'a Endpoint,
    may_have_run: bool,
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if self.may_have_run {
            self.orchestrator.0.store.invalidate(&self.endpoint.name);
        }
    }
}

/// Where the reply may be shared and remembered: for the time that the server states, or else the configuration.
fn lookup(endpoint: &Endpoint, call: &Call) -> Option<Lookup> {
    if !policy::share(endpoint, call).allowed {
        return None;
    }
    let lookup = Lookup::new(toolweir_cache::call_key(endpoint.name.clone(), call).ok()?);
    Some(match policy::time_to_live(endpoint, call) {
        Some(ttl) => lookup.ttl(ttl),
        None => lookup,
    })
}
