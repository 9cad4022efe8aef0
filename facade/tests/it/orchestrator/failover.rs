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
    for kind in [Kind::Disconnected, Kind::Timeout, Kind::InvalidReply] {
        assert_eq!(asked("write", true, kind).await, 1, "{kind}");
        assert_eq!(asked("read", true, kind).await, 2, "{kind}");
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
