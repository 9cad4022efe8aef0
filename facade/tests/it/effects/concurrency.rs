//! `concurrency`: so many calls at once, and who waits.

use std::time::Duration;

use tokio::task::JoinSet;
use toolweir::core::{Error, Kind, Reply};
use toolweir::{Occupancy, Orchestrator};

use super::upstream::Upstream;
use super::{FIVE_SECONDS, at_url, call, later, read, started};

/// Six calls that are never answered, once each of them is in flight, waits, or was refused.
struct Six {
    upstream: Upstream,
    orchestrator: Orchestrator,
    calls: JoinSet<Result<Reply, Error>>,
    refused: usize,
}

impl Six {
    async fn calls(entry: &str, settings: &str) -> Self {
        let upstream = Upstream::start().await;
        let orchestrator = started(&at_url(entry, settings), &upstream.url()).await;
        let mut calls = JoinSet::new();
        for _ in 0..6 {
            let orchestrator = orchestrator.clone();
            calls.spawn(async move { call(&orchestrator, "s__hang").await });
        }
        let mut six = Self { upstream, orchestrator, calls, refused: 0 };
        let all = async {
            while six.upstream.calls() + six.waiting() + six.refused < 6 {
                tokio::select! {
                    Some(refused) = six.calls.join_next() => six.count(refused.unwrap()),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
        };
        tokio::time::timeout(FIVE_SECONDS * 4, all).await.expect("each stands somewhere");
        six
    }

    fn count(&mut self, result: Result<Reply, Error>) {
        assert_eq!(result.unwrap_err().kind(), Kind::Overloaded);
        self.refused += 1;
    }

    fn waiting(&self) -> usize {
        occupancy(&self.orchestrator).map_or(0, |occupancy| occupancy.waiting)
    }

    /// How many are in flight, wait, and were refused.
    async fn stand(entry: &str, settings: &str) -> (usize, usize, usize) {
        let six = Self::calls(entry, settings).await;
        let stand = (six.upstream.calls(), six.waiting(), six.refused);
        six.orchestrator.shutdown(FIVE_SECONDS).await;
        stand
    }
}

fn occupancy(orchestrator: &Orchestrator) -> Option<Occupancy> {
    orchestrator.servers()[0].concurrency
}

#[tokio::test]
pub(super) async fn so_many_calls_at_once() {
    assert_eq!(Six::stand("", "").await, (6, 0, 0));
    assert_eq!(Six::stand("", r#""concurrency":true"#).await, (6, 0, 0));
    let two = r#""concurrency":{"maxInFlight":2,"maxWaitMs":0}"#;
    assert_eq!(Six::stand("", two).await, (2, 0, 4));
    assert_eq!(Six::stand(r#""concurrency":{"maxInFlight":3}"#, two).await, (3, 0, 3));
}

#[tokio::test]
pub(super) async fn a_server_can_have_any_number_of_calls() {
    let one = r#""concurrency":{"maxInFlight":1,"maxWaitMs":0}"#;
    assert_eq!(Six::stand(r#""concurrency":false"#, one).await, (6, 0, 0));
}

#[tokio::test]
pub(super) async fn so_many_may_wait() {
    let two = r#""concurrency":{"maxInFlight":1,"maxWaitMs":3600000,"maxWaiting":2}"#;
    assert_eq!(Six::stand("", two).await, (1, 2, 3));
    assert_eq!(Six::stand(r#""concurrency":{"maxWaiting":4}"#, two).await, (1, 4, 1));
}

#[tokio::test]
pub(super) async fn so_long_may_one_wait() {
    async fn refused_after(wait: u64, entry: &str, settings: &str) -> usize {
        let mut six = Six::calls(entry, settings).await;
        assert_eq!((six.upstream.calls(), six.waiting()), (1, 5));
        later(Duration::from_millis(wait)).await;
        let all = async {
            while let Some(refused) = six.calls.join_next().await {
                six.count(refused.unwrap());
            }
        };
        let _one_hangs = tokio::time::timeout(Duration::from_millis(50), all).await;
        six.orchestrator.shutdown(FIVE_SECONDS).await;
        six.refused
    }
    let settings = r#""concurrency":{"maxInFlight":1,"maxWaitMs":7000},"timeoutMs":86400000"#;
    assert_eq!(refused_after(7_000, "", settings).await, 5);
    assert_eq!(refused_after(7_000, r#""concurrency":{"maxWaitMs":3600000}"#, settings).await, 0);
}

#[tokio::test]
pub(super) async fn a_slow_answer_lowers_an_adaptive_bound() {
    async fn limit_after_seven_seconds(entry: &str, settings: &str) -> usize {
        let upstream = Upstream::start().await;
        let orchestrator = started(&at_url(entry, settings), &upstream.url()).await;
        let slow = call(&orchestrator, "s__gated");
        let (reply, ()) = tokio::join!(slow, upstream.during(later(Duration::from_secs(7))));
        reply.unwrap();
        let limit = occupancy(&orchestrator).unwrap().limit;
        orchestrator.shutdown(FIVE_SECONDS).await;
        limit
    }
    let own = |inside: &str| format!(r#""concurrency":{{"maxInFlight":10{inside}}}"#);
    for (inside, limit) in [
        ("", 10),
        (r#","adaptive":true"#, 9),
        (r#","adaptive":false"#, 10),
        (r#","adaptive":true,"slowMs":8000"#, 10),
    ] {
        assert_eq!(limit_after_seven_seconds("", &own(inside)).await, limit, "{inside}");
        assert_eq!(limit_after_seven_seconds(&own(inside), "").await, limit, "{inside}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for settings in [
        r#""concurrency":7"#,
        r#""concurrency":{"maxInFlight":0}"#,
        r#""concurrency":{"adaptive":"yes"}"#,
        r#""concurrency":{"maxWaiting":-1}"#,
        r#""concurrency":{"slowMs":0}"#,
        r#""concurrency":{"inFlight":7}"#,
    ] {
        assert!(read(&at_url("", settings), "http://h/mcp").is_err(), "{settings}");
    }
}
