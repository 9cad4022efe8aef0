//! Breakers as a tree: of a tool, of its server, of its host.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use toolweir::core::{Error, Kind};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started};

const MINUTE: Duration = Duration::from_secs(60);

/// A server with the tools `bad`, `worse`, `good` and `read`, nothing of which is repeated.
async fn server() -> (Arc<Scripted>, Orchestrator) {
    let server = Scripted::new("s", &["bad", "worse", "good", "read"]);
    let member = Member::new("s", server.clone()).retry(1, 0).trusted();
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    (server, orchestrator)
}

fn tool_fails(server: &Scripted, tool: &'static str, kind: Kind) {
    let does = if kind == Kind::Timeout { Does::Hang } else { Does::Fail(Error::new(kind)) };
    server.tool_does.lock().unwrap().insert(tool, does);
}

async fn kind(orchestrator: &Orchestrator, tool: &str) -> Option<Kind> {
    call(orchestrator, tool).await.err().map(|error| error.kind())
}

fn breaker(orchestrator: &Orchestrator) -> &'static str {
    orchestrator.servers()[0].breaker.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_broken_tool_leaves_the_rest_of_its_server_in_use() {
    for kind_of_failure in [Kind::Timeout, Kind::InvalidReply, Kind::Protocol { code: -32603 }] {
        let (server, orchestrator) = server().await;
        tool_fails(&server, "bad", kind_of_failure);
        for _ in 0..3 {
            assert_eq!(kind(&orchestrator, "s__bad").await, Some(kind_of_failure));
        }
        let refused = call(&orchestrator, "s__bad").await.unwrap_err();
        let Kind::CircuitOpen { retry_after } = refused.kind() else { panic!("{refused}") };
        assert!(refused.is_unsent() && refused.to_string().contains("`bad`"), "{refused}");
        let report = orchestrator.servers().remove(0);
        assert_eq!(
            (report.breaker, &report.failing_tools[..]),
            (Some("closed"), &["bad".to_owned()][..])
        );
        call(&orchestrator, "s__good").await.unwrap();
        // Its trials fail for an hour, with no other call between them: the server stays in use.
        let mut wait = retry_after;
        for _ in 0..10 {
            tokio::time::advance(wait).await;
            assert_eq!(kind(&orchestrator, "s__bad").await, Some(kind_of_failure));
            let Some(Kind::CircuitOpen { retry_after }) = kind(&orchestrator, "s__bad").await
            else {
                panic!("its breaker is open again");
            };
            wait = retry_after;
        }
        assert_eq!(breaker(&orchestrator), "closed");
        server.tool_does.lock().unwrap().clear();
        tokio::time::advance(wait).await;
        call(&orchestrator, "s__bad").await.unwrap();
        assert!(orchestrator.servers()[0].failing_tools.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn many_calls_of_one_tool_that_time_out_together_say_nothing_of_the_others() {
    let (server, orchestrator) = server().await;
    tool_fails(&server, "bad", Kind::Timeout);
    let mut calls: JoinSet<_> = (0..50)
        .map(|_| {
            let orchestrator = orchestrator.clone();
            async move { kind(&orchestrator, "s__bad").await }
        })
        .collect();
    while let Some(ended) = calls.join_next().await {
        assert_eq!(ended.unwrap(), Some(Kind::Timeout));
    }
    assert_eq!(breaker(&orchestrator), "closed");
    assert!(matches!(kind(&orchestrator, "s__bad").await, Some(Kind::CircuitOpen { .. })));
}

#[tokio::test(start_paused = true)]
async fn several_broken_tools_are_a_broken_server() {
    let (server, orchestrator) = server().await;
    tool_fails(&server, "bad", Kind::Timeout);
    tool_fails(&server, "worse", Kind::Timeout);
    for tool in ["bad", "worse", "bad", "worse", "bad"] {
        assert_eq!(kind(&orchestrator, &format!("s__{tool}")).await, Some(Kind::Timeout));
    }
    assert_eq!(breaker(&orchestrator), "open");
    assert!(matches!(kind(&orchestrator, "s__good").await, Some(Kind::CircuitOpen { .. })));
    assert_eq!(server.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_may_have_effects_finds_out_whether_a_server_is_well_again() {
    let (server, orchestrator) = server().await;
    server.fails(Kind::Disconnected);
    for _ in 0..5 {
        assert_eq!(kind(&orchestrator, "s__good").await, Some(Kind::Disconnected));
    }
    server.does(Does::Answer);
    *server.probes.lock().unwrap() = Does::Hang;
    tokio::time::advance(MINUTE).await;
    let error = call(&orchestrator, "s__good").await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent(), server.calls()), (Kind::Unreachable, true, 5));
    assert_eq!(breaker(&orchestrator), "open");
    // A read is a probe itself.
    tokio::time::advance(10 * MINUTE).await;
    call(&orchestrator, "s__read").await.unwrap();
    assert_eq!(breaker(&orchestrator), "closed");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_answers_at_an_address_all_that_is_there_is_left_alone() {
    for (cause, both) in [
        (io::ErrorKind::ConnectionRefused, true),
        // Whatever else is wrong with the one says nothing of the other.
        (io::ErrorKind::InvalidData, false),
    ] {
        let [one, two] = ["one", "two"].map(|name| Scripted::new(name, &["work"]));
        let member = |name: &'static str, server: &Arc<Scripted>| {
            Member::new(name, server.clone()).host("h:80").retry(1, 0)
        };
        let builder = Orchestrator::builder()
            .member(member("one", &one))
            .member(member("two", &two))
            .member(Member::new("alone", Scripted::new("alone", &["work"])).host("other:80"));
        let orchestrator = started(builder).await;
        one.does(Does::Fail(Error::new(Kind::Unreachable).caused_by(io::Error::from(cause))));
        for _ in 0..5 {
            assert_eq!(kind(&orchestrator, "one__work").await, Some(Kind::Unreachable));
        }
        assert!(matches!(kind(&orchestrator, "one__work").await, Some(Kind::CircuitOpen { .. })));
        let other = kind(&orchestrator, "two__work").await;
        assert_eq!(matches!(other, Some(Kind::CircuitOpen { .. })), both, "{other:?}");
        assert_eq!(two.calls(), usize::from(!both));
        call(&orchestrator, "alone__work").await.unwrap();
        tokio::time::advance(MINUTE).await;
        call(&orchestrator, "two__work").await.unwrap();
    }
}
