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
            let result = endpoint.call(call, &self.0.observers, paid).await;
            let sent = result.as_ref().err().is_none_or(|error| !error.is_unsent());
            if sent && may_write(call) {
                self.0.store.invalidate(&endpoint.name);
            }
            return result;
        };
        let fetch = {
            let (this, endpoint, call) = (self.clone(), endpoint.clone(), call.clone());
            async move { endpoint.call(&call, &this.0.observers, paid).await }
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

    fn observe_cache(&self, result: CacheUse) {
        let now = TokioClock.now();
        for observer in &self.0.observers {
            observer.on_event(&Event::Cache { result }, now);
        }
    }
}

/// Where the reply may be remembered: reads of resources for the time that the server states, results of read-only
/// tools for the time that the configuration gives. Nothing that continues an exchange.
fn lookup(endpoint: &Endpoint, call: &Call) -> Option<Lookup> {
    if !endpoint.cached || !call.hints.is_read_only() {
        return None;
    }
    let continues = |params: &toolweir_core::RawJson| {
        params.member("inputResponses").is_some() || params.member("requestState").is_some()
    };
    if call.params.as_ref().is_some_and(continues) {
        return None;
    }
    let ttl = match call.method.as_str() {
        "tools/call" => Some(tool_ttl(endpoint, call)?),
        "resources/read" => None,
        _ => return None,
    };
    // Whose progress it is cannot be shared, and the token differs with every call.
    let call = without_meta(call)?;
    let key = toolweir_cache::call_key(endpoint.name.clone(), &call).ok()?;
    let lookup = Lookup::new(key);
    Some(match ttl {
        Some(ttl) => lookup.ttl(ttl),
        None => lookup,
    })
}

fn tool_ttl(endpoint: &Endpoint, call: &Call) -> Option<Duration> {
    let rule = call.target.as_deref().map(|tool| endpoint.rule(tool));
    rule.and_then(|rule| rule.ttl).or(endpoint.ttl)
}

fn without_meta(call: &Call) -> Option<Call> {
    let mut call = call.clone();
    if let Some(params) = &call.params
        && params.member("_meta").is_some()
    {
        call.params = Some(params.edit().remove("_meta").finish().ok()?);
    }
    Some(call)
}

/// Whether the call may have changed what the server would answer to a read.
fn may_write(call: &Call) -> bool {
    call.method == Method::TOOLS_CALL && !call.hints.is_read_only()
}
