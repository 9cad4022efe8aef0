//! What the tests share.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    Call, CallEnd, CallStart, Event, Instant, Method, Observer, Outcome, ServerId, ServerRef,
};
use toolweir_router::{Config, Explanation, Router, Standing};

/// When every test begins.
pub(crate) const START: Instant = Instant::from_nanos(3_600_000_000_000);

pub(crate) fn at(millis: u64) -> Instant {
    START + ms(millis)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn router(config: Config) -> Router {
    Router::new(config.seed(7)).unwrap()
}

/// A router with this many servers of capability `x`.
pub(crate) fn pool(config: Config, servers: usize) -> (Router, Vec<ServerId>) {
    let router = router(config);
    let ids = fill(&router, servers);
    (router, ids)
}

/// Adds this many servers of capability `x`.
pub(crate) fn fill(router: &Router, servers: usize) -> Vec<ServerId> {
    (0..servers).map(|n| router.add(format!("s{n}"), ["x"])).collect()
}

pub(crate) fn call() -> Call {
    Call::new(Method::TOOLS_CALL, None)
}

pub(crate) fn send(router: &Router, id: ServerId, call: &Call, now: Instant) {
    let name: Arc<str> = Arc::from("s");
    let server = ServerRef { id, name: &name };
    router.on_event(&Event::CallStart(CallStart { server, call }), now);
}

pub(crate) fn end(
    router: &Router,
    id: ServerId,
    call: &Call,
    outcome: Outcome,
    elapsed: Duration,
    now: Instant,
) {
    let name: Arc<str> = Arc::from("s");
    let server = ServerRef { id, name: &name };
    let end = CallEnd { server, call, outcome, elapsed, reply_size: 0, error: None };
    router.on_event(&Event::CallEnd(end), now);
}

pub(crate) fn probe(router: &Router, id: ServerId, healthy: bool, now: Instant) {
    let name: Arc<str> = Arc::from("s");
    let server = ServerRef { id, name: &name };
    router.on_event(&Event::Health { server, healthy, reason: "probe" }, now);
}

/// One whole call of `elapsed`, ending at `now`.
pub(crate) fn success(router: &Router, id: ServerId, elapsed: Duration, now: Instant) {
    router.start_at(id, now - elapsed).unwrap().succeed(now);
}

/// `times` failures at `now`, each at once.
pub(crate) fn fail(router: &Router, id: ServerId, times: usize, now: Instant) {
    for _ in 0..times {
        router.start_at(id, now).unwrap().fail(now);
    }
}

pub(crate) fn standing(router: &Router, id: ServerId, now: Instant) -> Standing {
    let Explanation { servers, .. } = router.explain_at::<&str>(&[], now);
    servers.into_iter().find(|standing| standing.server() == id).unwrap()
}
