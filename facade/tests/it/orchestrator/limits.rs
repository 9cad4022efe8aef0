//! Breakers, rate limits, pauses and deadlines around one server.

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::{
    Call, Clock, Error, Instant, Kind, Method, Notification, Peer, RawJson, TokioClock,
};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started};

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_on_failures_and_recovers_by_one_probe() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.fails(Kind::Disconnected);
    for _ in 0..5 {
        assert_eq!(call(&orchestrator, "s__work").await.unwrap_err().kind(), Kind::Disconnected);
    }
    let refused = call(&orchestrator, "s__work").await.unwrap_err();
    let Kind::CircuitOpen { retry_after } = refused.kind() else { panic!("{refused}") };
    assert!(refused.is_unsent() && retry_after > Duration::from_secs(50));
    assert_eq!(server.calls(), 5);
    assert_eq!(orchestrator.servers()[0].breaker, Some("open"));
    tokio::time::advance(retry_after).await;
    server.does(Does::Answer);
    call(&orchestrator, "s__work").await.unwrap();
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
}

#[tokio::test(start_paused = true)]
async fn tools_that_fail_and_requests_that_are_wrong_trip_no_breaker() {
    let server = Scripted::new("s", &["work"]);
    let member = Member::new("s", server.clone()).retry(1, 0);
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let ways = [
        Does::ToolError,
        Does::Fail(Error::new(Kind::Protocol { code: -32602 })),
        Does::Fail(Error::new(Kind::Status { status: 404 })),
        Does::Fail(Error::new(Kind::Throttled { retry_after: None })),
    ];
    for way in ways {
        server.does(way);
        for _ in 0..20 {
            let _ = call(&orchestrator, "s__work").await;
        }
        assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
    }
    // The last way pauses the server for a second, so that one call of its twenty is made.
    assert_eq!(server.calls(), 61);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_pause_gets_it() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.fails(Kind::Throttled { retry_after: Some(Duration::from_secs(7)) });
    assert!(call(&orchestrator, "s__work").await.is_err());
    server.does(Does::Answer);
    let error = call(&orchestrator, "s__work").await.unwrap_err();
    assert!(error.is_unsent());
    assert!(
        matches!(error.kind(), Kind::Throttled { retry_after: Some(pause) } if pause <= Duration::from_secs(7))
    );
    assert_eq!(server.calls(), 1);
    tokio::time::advance(Duration::from_secs(7)).await;
    call(&orchestrator, "s__work").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_limited_call_waits_for_its_turn_and_no_longer_than_allowed() {
    let server = Scripted::new("s", &["work"]);
    let limit = toolweir_ratelimit::Config::default()
        .requests_per_second(1.0)
        .burst(1)
        .max_wait(Duration::from_secs(2));
    let member = Member::new("s", server.clone()).rate_limit(limit);
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let start = TokioClock.now();
    for _ in 0..3 {
        call(&orchestrator, "s__work").await.unwrap();
    }
    assert!(TokioClock.now() - start >= Duration::from_secs(2));
    let (a, b, c, d) = tokio::join!(
        call(&orchestrator, "s__work"),
        call(&orchestrator, "s__work"),
        call(&orchestrator, "s__work"),
        call(&orchestrator, "s__work"),
    );
    let refused = [a, b, c, d].into_iter().filter_map(Result::err).map(|error| error.kind());
    assert!(refused.inspect(|kind| assert!(matches!(kind, Kind::RateLimited { .. }))).count() >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_is_cancelled_at_the_server() {
    let server = Scripted::new("s", &["work"]);
    let member = Member::new("s", server.clone()).timeout(Duration::from_secs(3));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    server.does(Does::Hang);
    let start = TokioClock.now();
    let error = call(&orchestrator, "s__work").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_unsent(), error.server_name()),
        (Kind::Timeout, false, Some("s"))
    );
    assert!(
        (TokioClock.now() - start).abs_diff(Duration::from_secs(3)) < Duration::from_millis(10)
    );
    assert_eq!(server.dropped.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hung_call_slows_nobody_else() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.does(Does::Hang);
    let hung = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__work").await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.does(Does::Take(Duration::from_millis(5)));
    let start = TokioClock.now();
    for _ in 0..100 {
        call(&orchestrator, "s__work").await.unwrap();
    }
    assert!(TokioClock.now() - start < Duration::from_millis(700));
    hung.abort();
    assert!(hung.await.unwrap_err().is_cancelled());
    assert_eq!(server.dropped.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_server_fails_its_call_alone() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.does(Does::Panic);
    let error = call(&orchestrator, "s__work").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    server.does(Does::Answer);
    call(&orchestrator, "s__work").await.unwrap();
}

/// A caller that hears of progress.
#[derive(Debug)]
struct Listening;

#[async_trait::async_trait]
impl Peer for Listening {
    fn notify(&self, _: Notification) {}
    async fn request(&self, _: Method, _: Option<RawJson>, _: Instant) -> Result<RawJson, Error> {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Ok(RawJson::EMPTY_OBJECT)
    }
}

/// A call with a way back, at a server with 3 s; returns how long it took and how it ended.
async fn with_signs(does: Does) -> (Duration, Option<Kind>) {
    let server = Scripted::new("s", &["work"]);
    let member = Member::new("s", server.clone()).timeout(Duration::from_secs(3));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    server.does(does);
    let call = Call::tool("s__work", &RawJson::EMPTY_OBJECT).unwrap().peer(Arc::new(Listening));
    let start = TokioClock.now();
    let result = orchestrator.call(&call).await;
    (TokioClock.now() - start, result.err().map(|error| error.kind()))
}

#[tokio::test(start_paused = true)]
async fn progress_resets_the_time_without_a_sign_of_life_but_not_the_total() {
    let every = Duration::from_secs(2);
    let (took, failure) = with_signs(Does::Progress { every, times: 5 }).await;
    assert_eq!(failure, None);
    assert!(took >= every * 5);
    let (took, failure) = with_signs(Does::Progress { every, times: 1_000 }).await;
    assert_eq!(failure, Some(Kind::Timeout));
    assert!(took.abs_diff(Duration::from_secs(30)) < Duration::from_millis(10), "{took:?}");
    let (took, failure) = with_signs(Does::Hang).await;
    assert_eq!(failure, Some(Kind::Timeout));
    assert!(took.abs_diff(Duration::from_secs(3)) < Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_thinks_is_no_reason_to_time_a_server_out() {
    let (took, failure) = with_signs(Does::Ask).await;
    assert_eq!(failure, None);
    assert!(took >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn an_impatient_caller_trips_no_breaker() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.does(Does::Hang);
    for _ in 0..20 {
        let soon = TokioClock.now() + Duration::from_millis(1);
        let call = Call::tool("s__work", &RawJson::EMPTY_OBJECT).unwrap().deadline(soon);
        assert_eq!(orchestrator.call(&call).await.unwrap_err().kind(), Kind::Timeout);
    }
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
}
