//! When a call moves on to another server, and when it must not.

use std::sync::Arc;

use toolweir::core::{Error, Kind, RawJson, Reply};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::started;

/// Two servers of one capability, of which the router tries the healthy ones first.
async fn two(tool: &str, hints_believed: bool) -> (Orchestrator, [Arc<Scripted>; 2]) {
    let servers = [Scripted::new("one", &[tool]), Scripted::new("two", &[tool])];
    let mut builder = Orchestrator::builder();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        let member = Member::new(name, server.clone()).capabilities(["weir"]).breaker(None);
        builder = builder.member(if hints_believed { member.trusted() } else { member });
    }
    let routes = toolweir_router::Routes::default().with("work", ["weir"]);
    builder = builder.router(toolweir_router::Config::default().routes(routes));
    (started(builder).await, servers)
}

async fn route(orchestrator: &Orchestrator, tool: &str) -> Result<Reply, Error> {
    let arguments = RawJson::from(serde_json::json!({ "tool": tool, "arguments": {} }));
    orchestrator.route("work", &arguments).await
}

/// With every server failing as `kind`, how many of the two are asked.
async fn asked(tool: &str, trusted: bool, kind: Kind) -> usize {
    let (orchestrator, servers) = two(tool, trusted).await;
    for server in &servers {
        server.fails(kind);
    }
    assert_eq!(route(&orchestrator, tool).await.unwrap_err().kind(), kind);
    servers.iter().map(|server| server.calls()).sum()
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_goes_elsewhere_whatever_it_does() {
    assert_eq!(asked("write", false, Kind::Unreachable).await, 2);
    assert_eq!(asked("read", true, Kind::Unreachable).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_carried_out_is_repeated_only_where_that_is_harmless() {
    // A lost connection is soon there again, so that the first is asked once more.
    for (kind, times) in [(Kind::Disconnected, 3), (Kind::Timeout, 2), (Kind::InvalidReply, 2)] {
        assert_eq!(asked("write", true, kind).await, 1, "{kind}");
        assert_eq!(asked("read", true, kind).await, times, "{kind}");
        assert_eq!(
            asked("read", false, kind).await,
            1,
            "an annotation of a server that is not trusted: {kind}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_an_answer() {
    for code in [-32601, -32602] {
        assert_eq!(asked("read", true, Kind::Protocol { code }).await, 1, "{code}");
    }
    let (orchestrator, servers) = two("read", true).await;
    for server in &servers {
        server.does(Does::ToolError);
    }
    assert!(route(&orchestrator, "read").await.unwrap().is_error);
    assert_eq!(servers[0].calls() + servers[1].calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_other_server_answers_when_one_is_gone() {
    let (orchestrator, [one, two]) = two("write", false).await;
    one.down(true);
    for _ in 0..10 {
        assert_eq!(route(&orchestrator, "write").await.unwrap().server.as_deref(), Some("two"));
    }
    assert_eq!((one.calls(), two.calls()), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_server_can_take_names_what_is_missing() {
    let (orchestrator, _) = two("write", false).await;
    let error = orchestrator.route("notifications", &RawJson::EMPTY_OBJECT).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::NoServer, true));
    assert!(error.to_string().contains("slack"), "{error}");
    let error = orchestrator.route("no such type", &RawJson::EMPTY_OBJECT).await.unwrap_err();
    assert!(error.to_string().contains("no such type"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_routed_write_is_not_tried_out_on_a_sick_server() {
    let (orchestrator, [one, two]) = two("write", false).await;
    one.fails(Kind::Disconnected);
    for _ in 0..20 {
        let _ = route(&orchestrator, "write").await; // until the router thinks it sick
    }
    tokio::time::sleep(std::time::Duration::from_secs(6)).await; // its trial is due, but not with a write
    for _ in 0..20 {
        assert_eq!(route(&orchestrator, "write").await.unwrap().server.as_deref(), Some("two"));
    }
    assert!(one.calls() <= 4 && two.calls() >= 36, "{} {}", one.calls(), two.calls());
}

#[tokio::test(start_paused = true)]
async fn a_capable_server_that_never_came_up_says_why() {
    let server = Scripted::new("one", &["write"]);
    server.down(true);
    let routes = toolweir_router::Routes::default().with("work", ["weir"]);
    let builder = Orchestrator::builder()
        .member(Member::new("one", server).capabilities(["weir"]))
        .router(toolweir_router::Config::default().routes(routes));
    let orchestrator = started(builder).await;
    let error = route(&orchestrator, "write").await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
}

#[tokio::test(start_paused = true)]
async fn servers_of_one_prefix_stand_in_for_each_other() {
    let servers = [Scripted::new("one", &["write"]), Scripted::new("two", &["write"])];
    let mut builder = Orchestrator::builder();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        builder = builder.member(Member::new(name, server.clone()).prefix("pool"));
    }
    let orchestrator = started(builder).await;
    assert!(orchestrator.problems().is_empty());
    super::call(&orchestrator, "pool__write").await.unwrap();
    servers[0].down(true);
    for _ in 0..10 {
        let reply = super::call(&orchestrator, "pool__write").await.unwrap();
        assert_eq!(reply.server.as_deref(), Some("two"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_limited_server_is_waited_for_where_the_other_cannot_answer() {
    let servers = [Scripted::new("one", &["write"]), Scripted::new("two", &["write"])];
    servers[1].fails(Kind::Unreachable);
    let limit = toolweir_ratelimit::Config::default().requests_per_second(1.0).burst(1);
    let builder = Orchestrator::builder()
        .member(
            Member::new("one", servers[0].clone())
                .prefix("pool")
                .rate_limit(limit.max_wait(std::time::Duration::from_secs(5))),
        )
        .member(Member::new("two", servers[1].clone()).prefix("pool"));
    let orchestrator = started(builder).await;
    for _ in 0..4 {
        assert_eq!(
            super::call(&orchestrator, "pool__write").await.unwrap().server.as_deref(),
            Some("one")
        );
    }
}
