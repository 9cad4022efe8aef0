//! What is asked again, how often, and what never is.

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::{Call, Clock, Error, Kind, RawJson, Reply, TokioClock};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started};

async fn with(member: impl FnOnce(Member) -> Member) -> (Orchestrator, Arc<Scripted>) {
    let server = Scripted::new("s", &["read", "write"]);
    let member = member(Member::new("s", server.clone()).trusted().breaker(None));
    (started(Orchestrator::builder().member(member)).await, server)
}

/// The answer to a call of `tool` at a server that fails as `error` says, and is well again right afterwards; and how
/// often it was asked.
async fn once_failing(tool: &'static str, error: Error) -> (Result<Reply, Error>, usize) {
    let (orchestrator, server) = with(|member| member).await;
    server.does(Does::Fail(error));
    let called = tokio::spawn(async move { call(&orchestrator, &format!("s__{tool}")).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    server.does(Does::Answer);
    (called.await.unwrap(), server.calls())
}

#[tokio::test(start_paused = true)]
async fn what_is_soon_well_again_is_asked_once_more_where_that_is_harmless() {
    let status = |status| Error::new(Kind::Status { status });
    let pause = |millis| {
        let retry_after = Some(Duration::from_millis(millis));
        Error::new(Kind::Throttled { retry_after })
    };
    let harmless =
        [Error::new(Kind::Disconnected).ambiguous(), status(502), status(503), pause(1_500)];
    for error in harmless {
        let (answer, times) = once_failing("read", error.clone()).await;
        assert!(answer.is_ok() && times == 2, "{error}: {times}");
    }
    let (answer, times) = once_failing("write", Error::new(Kind::Disconnected).ambiguous()).await;
    assert_eq!((answer.unwrap_err().kind(), times), (Kind::Disconnected, 1), "it may have run");
    let (answer, times) = once_failing("write", Error::new(Kind::Disconnected).unsent()).await;
    assert!(answer.is_ok() && times == 2, "nothing had been sent: {times}");
    for error in
        [pause(30_000), status(500), status(401), Error::new(Kind::Protocol { code: -32603 })]
    {
        let (answer, times) = once_failing("read", error.clone()).await;
        assert!(answer.is_err() && times == 1, "{error}: {times}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_asked_three_times() {
    for (attempts, expected) in [(3, 3), (1, 1), (5, 5)] {
        let (orchestrator, server) = with(|member| member.retry(attempts, 10)).await;
        server.fails(Kind::Disconnected);
        call(&orchestrator, "s__read").await.unwrap_err();
        assert_eq!(server.calls(), expected);
    }
    let (orchestrator, server) = with(|member| member.retry(3, 0)).await;
    server.fails(Kind::Disconnected);
    call(&orchestrator, "s__read").await.unwrap_err();
    assert_eq!(server.calls(), 1, "no budget");
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_multiply_the_load() {
    let (orchestrator, server) = with(|member| member).await;
    server.fails(Kind::Disconnected);
    let started = tokio::time::Instant::now();
    for _ in 0..1_000 {
        call(&orchestrator, "s__read").await.unwrap_err();
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    let most = 1_000 + 100 + 10 + seconds + 1;
    let figure = format!("1,000 calls, sent {} times in {seconds} s of outage", server.calls());
    crate::peer::measured("17", &figure, server.calls() <= most);
    assert!(server.calls() > 1_050, "the budget is used: {}", server.calls());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_kept_waiting_past_the_deadline() {
    let (orchestrator, server) = with(|member| member).await;
    server.fails(Kind::Disconnected);
    let call = Call::tool("s__read", &RawJson::EMPTY_OBJECT).unwrap();
    let soon = TokioClock.now() + Duration::from_millis(40);
    let error = orchestrator.call(&call.deadline(soon)).await.unwrap_err();
    assert_eq!((error.kind(), server.calls()), (Kind::Disconnected, 1));
    assert!(TokioClock.now() < soon);
}
