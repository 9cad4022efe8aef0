//! How many children there are, and for how long.

use serde_json::json;
use toolweir::core::{Kind, Server};

use super::{Asked, end, ends, is_alive, isolated, started_as};

#[tokio::test]
async fn children_are_started_when_they_are_needed_and_end_with_their_client() {
    let orchestrator = isolated().await;
    let count = || orchestrator.servers()[0].instances;
    assert_eq!(count(), Some(0), "lists come from the shared one");
    let [one, other] = ["one", "other"].map(Asked::legacy);
    let (first, second) = (one.state(&orchestrator).await.0, other.state(&orchestrator).await.0);
    assert_eq!(one.state(&orchestrator).await.0, first, "it stays the same");
    assert_eq!(count(), Some(2));
    Server::forget(&orchestrator, &one.client);
    assert_eq!(count(), Some(1));
    ends(first).await;
    assert!(is_alive(second));
    end(orchestrator).await;
    ends(second).await;
}

#[tokio::test]
async fn at_the_bound_the_idle_one_makes_room_and_one_at_work_never() {
    let orchestrator =
        started_as("plain", json!({ "isolate": { "by": "client", "max": 1 } })).await;
    let [one, other] = ["one", "other"].map(Asked::legacy);
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let busy = Asked::new("busy", "2025-11-25", Some(gate.clone()));
    let asking = busy.calls(&orchestrator, "ask", json!({ "question": "?" }));
    let meanwhile = async {
        while busy.told().is_empty() {
            tokio::task::yield_now().await;
        }
        let refused = other.calls(&orchestrator, "state", json!({})).await.unwrap_err();
        assert_eq!((refused.kind(), refused.is_unsent()), (Kind::Overloaded, true), "{refused}");
        let text = refused.to_string();
        assert!(text.starts_with("s: ") && text.contains("all 1 are at work"), "{text}");
        gate.wait().await;
    };
    let (asked, ()) = tokio::join!(asking, meanwhile);
    let (process, answer) = asked.unwrap();
    assert_eq!(answer["content"]["name"], "busy");
    let (second, _) = one.state(&orchestrator).await;
    ends(process).await;
    assert!(is_alive(second));
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"), "a refusal is no failure");
    end(orchestrator).await;
}

#[tokio::test]
async fn one_that_is_idle_ends_and_its_client_gets_another() {
    let orchestrator =
        started_as("plain", json!({ "isolate": { "by": "client", "idleMs": 50 } })).await;
    let client = Asked::legacy("one");
    let (first, _) = client.state(&orchestrator).await;
    ends(first).await;
    assert_eq!(orchestrator.servers()[0].instances, Some(0));
    assert_ne!(client.state(&orchestrator).await.0, first);
    end(orchestrator).await;
}

/// Calls that follow each other find what the call before left behind.
#[tokio::test]
async fn a_principal_keeps_its_child_from_call_to_call() {
    let orchestrator = isolated().await;
    let mut processes = Vec::new();
    for name in ["one", "other"] {
        let client = Asked::new(name, "2026-07-28", None);
        processes.push(client.state(&orchestrator).await.0);
    }
    assert_eq!(processes[0], processes[1]);
    end(orchestrator).await;
}
