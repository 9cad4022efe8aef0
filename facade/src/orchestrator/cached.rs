//! One server's answer, from the cache where that is allowed.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    CacheUse, Call, Clock, Error, Event, Freshness, Lookup, Method, Reply, Store, TokioClock,
};

use super::Orchestrator;
use crate::endpoint::Endpoint;

impl Orchestrator {
    /// The answer of `endpoint` to `call`: remembered, shared with others who ask the same, or fetched.
    pub(super) async fn answer(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Call,
        paid: bool,
    ) -> Result<Reply, Error> {
        let Some(lookup) = lookup(endpoint, call) else {
            self.observe_cache(CacheUse::Bypass);
            let mut write = Write { orchestrator: self, endpoint, may_have_run: may_write(call) };
            let result = self.asked(endpoint, call, paid).await;
            write.may_have_run &= !result.as_ref().is_err_and(Error::is_unsent);
            return result;
        };
        let fetch = {
            let (this, endpoint, mut call) = (self.clone(), endpoint.clone(), call.clone());
            // Others may wait for the same longer than this caller does.
            call.deadline = None;
            async move { this.asked(&endpoint, &call, paid).await }
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
    async fn asked(&self, endpoint: &Endpoint, call: &Call, paid: bool) -> Result<Reply, Error> {
        tokio::select! {
            biased;
            result = endpoint.call(call, &self.0.observers, paid) => result,
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

/// Where the reply may be shared and remembered: reads of resources and results of read-only tools, for the time that
/// the server states, or else the configuration. Nothing that continues an exchange.
fn lookup(endpoint: &Endpoint, call: &Call) -> Option<Lookup> {
    if !endpoint.settings.cached || !call.hints.is_read_only() {
        return None;
    }
    let continues = |params: &toolweir_core::RawJson| {
        params.member("inputResponses").is_some() || params.member("requestState").is_some()
    };
    if call.params.as_ref().is_some_and(continues) {
        return None;
    }
    let ttl = match call.method.as_str() {
        "tools/call" => tool_ttl(endpoint, call),
        "resources/read" => None,
        _ => return None,
    };
    // Progress goes to the caller whose call it is: one that asked for it shares no call merely because another
    // asks the same at this moment.
    if ttl.is_none() && wants_progress(call) {
        return None;
    }
    let lookup = Lookup::new(toolweir_cache::call_key(endpoint.name.clone(), call).ok()?);
    Some(match ttl {
        Some(ttl) => lookup.ttl(ttl),
        None => lookup,
    })
}

fn tool_ttl(endpoint: &Endpoint, call: &Call) -> Option<Duration> {
    let rule = call.target.as_deref().map(|tool| endpoint.rule(tool));
    rule.and_then(|rule| rule.ttl).or(endpoint.settings.ttl)
}

fn wants_progress(call: &Call) -> bool {
    let meta =
        call.params.as_ref().and_then(|params| params.member("_meta")).map(|meta| meta.to_json());
    meta.is_some_and(|meta| meta.member("progressToken").is_some())
}

/// Whether the call may have changed what the server would answer to a read.
fn may_write(call: &Call) -> bool {
    call.method == Method::TOOLS_CALL && !call.hints.is_read_only()
}
