//! What may be done with a call besides sending it once: one table for the cache, sharing, hedging, repeating and
//! failover.
//!
//! | what is believed of it | keep, share, hedge | send again where it may have been carried out | elsewhere where nothing was sent |
//! |---|---|---|---|
//! | it only reads | yes | yes | yes |
//! | it is idempotent | no | yes | yes |
//! | it is destructive, or nothing is known | no | never | yes |
//! | it goes on with an exchange (`inputResponses`, `requestState`) | no | never | no: only who asked can go on |

use std::fmt;
use std::time::Duration;

use toolweir_core::{Call, Hints, Method, RawJson};

use crate::endpoint::Endpoint;

/// Whether something may be done, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) why: Why,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    ReadsOnly,
    Idempotent,
    Destructive,
    MayWrite,
    GoesOn,
    NotThisMethod,
    CacheOff,
    Isolated,
    NoTime,
    Kept(Duration),
    ServersTime,
    WantsProgress,
    NothingSent,
    Sticky,
}

const fn yes(why: Why) -> Decision {
    Decision { allowed: true, why }
}

const fn no(why: Why) -> Decision {
    Decision { allowed: false, why }
}

/// Whether what was certainly not sent may be given to another server.
pub(crate) fn elsewhere(call: &Call) -> Decision {
    if goes_on(call) { no(Why::GoesOn) } else { yes(Why::NothingSent) }
}

/// Whether a call that may have been carried out may be sent again, to the same server or to another.
pub(crate) fn repeat(call: &Call) -> Decision {
    if goes_on(call) {
        return no(Why::GoesOn);
    }
    match effect(call.hints) {
        why @ (Why::ReadsOnly | Why::Idempotent) => yes(why),
        why => no(why),
    }
}

/// Whether a second server may be asked before the first has answered.
pub(crate) fn hedge(call: &Call) -> Decision {
    if goes_on(call) {
        return no(Why::GoesOn);
    }
    match effect(call.hints) {
        // Progress goes to the caller from one server only.
        Why::ReadsOnly if wants_progress(call) => no(Why::WantsProgress),
        Why::ReadsOnly => yes(Why::ReadsOnly),
        why => no(why),
    }
}

/// The same among the members of a pool.
pub(crate) fn hedge_among(call: &Call, is_sticky: bool) -> Decision {
    if is_sticky { no(Why::Sticky) } else { hedge(call) }
}

/// Whether those who ask the same at one time may share one call to `endpoint`.
pub(crate) fn share(endpoint: &Endpoint, call: &Call) -> Decision {
    if !matches!(call.method.as_str(), "tools/call" | "resources/read") {
        return no(Why::NotThisMethod);
    }
    if goes_on(call) {
        return no(Why::GoesOn);
    }
    match effect(call.hints) {
        Why::ReadsOnly if endpoint.settings.isolated.is_some() => no(Why::Isolated),
        Why::ReadsOnly if !endpoint.settings.cached => no(Why::CacheOff),
        // Progress goes to the caller whose call it is: one that asked for it shares no call merely because another
        // asks the same at this moment.
        Why::ReadsOnly if time_to_live(endpoint, call).is_none() && wants_progress(call) => {
            no(Why::WantsProgress)
        }
        Why::ReadsOnly => yes(Why::ReadsOnly),
        why => no(why),
    }
}

/// Whether the reply of `endpoint` may be kept, and for how long.
pub(crate) fn keep(endpoint: &Endpoint, call: &Call) -> Decision {
    let may = share(endpoint, call);
    match time_to_live(endpoint, call) {
        _ if !may.allowed && may.why != Why::WantsProgress => may,
        Some(ttl) => yes(Why::Kept(ttl)),
        None if call.method == Method::RESOURCES_READ => yes(Why::ServersTime),
        None => no(Why::NoTime),
    }
}

/// How long the reply is kept where it does not say so itself; `None`: not at all.
pub(crate) fn time_to_live(endpoint: &Endpoint, call: &Call) -> Option<Duration> {
    if call.method != Method::TOOLS_CALL {
        return None;
    }
    let rule = call.target.as_deref().map(|tool| endpoint.rule(tool));
    rule.and_then(|rule| rule.ttl).or(endpoint.settings.ttl)
}

/// Whether the call may have changed what its server would answer to a read.
pub(crate) fn may_write(call: &Call) -> bool {
    call.method == Method::TOOLS_CALL && !call.hints.is_read_only()
}

/// Whether the call carries on an exchange that a server began.
pub(crate) fn goes_on(call: &Call) -> bool {
    let has = |params: &RawJson, name| params.member(name).is_some();
    call.params
        .as_ref()
        .is_some_and(|params| has(params, "inputResponses") || has(params, "requestState"))
}

fn effect(hints: Hints) -> Why {
    match hints {
        _ if hints.is_read_only() => Why::ReadsOnly,
        _ if hints.is_repeatable() => Why::Idempotent,
        _ if hints.destructive == Some(true) => Why::Destructive,
        _ => Why::MayWrite,
    }
}

fn wants_progress(call: &Call) -> bool {
    let meta = call.params.as_ref().and_then(|params| params.member("_meta"));
    meta.is_some_and(|meta| meta.to_json().member("progressToken").is_some())
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::ReadsOnly => "it only reads",
            Self::Idempotent => "it is idempotent: once more changes nothing further",
            Self::Destructive => "it is destructive",
            Self::MayWrite => "it may change something, as far as is known",
            Self::GoesOn => "it goes on with an exchange that one server began",
            Self::NotThisMethod => "requests of its kind are not",
            Self::CacheOff => "the configuration switches the cache off for this server",
            Self::Isolated => "each client has an instance of its own there",
            Self::NoTime => {
                "the configuration gives no `ttlMs` for it; only for the time that the server itself states"
            }
            Self::Kept(ttl) => {
                return write!(f, "for {} ms, as the configuration says", ttl.as_millis());
            }
            Self::ServersTime => "for the time that the server states",
            Self::WantsProgress => "it asks for progress, which goes to one caller",
            Self::NothingSent => "nothing can have happened",
            Self::Sticky => "the pool's members keep state: one is asked at a time",
        };
        f.write_str(text)
    }
}
