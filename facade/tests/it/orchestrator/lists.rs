//! What clients see of all servers together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolweir::core::{Call, Clock, Kind, Method, Server, ServerMessage, Subscriber, TokioClock};
use toolweir::{Member, Orchestrator};

use super::scripted::Scripted;
use super::{call, started};

async fn tools(orchestrator: &Orchestrator) -> Vec<String> {
    let reply = orchestrator.call(&Call::new(Method::TOOLS_LIST, None)).await.unwrap();
    let value: serde_json::Value = reply.result.get().unwrap();
    let tools = value["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn tools_stand_under_their_servers_prefix_and_reach_it_under_their_own_name() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Scripted::new(name, &["work"]));
    let builder = Orchestrator::builder()
        .member(Member::new("a", a.clone()))
        .member(Member::new("b", b.clone()).prefix("other"))
        .member(Member::new("c", c.clone()).prefix(""));
    let orchestrator = started(builder).await;
    assert_eq!(tools(&orchestrator).await, ["a__work", "other__work", "work"]);
    for (name, server) in [("a__work", &a), ("other__work", &b), ("work", &c)] {
        call(&orchestrator, name).await.unwrap();
        assert_eq!(server.seen(), ["work"]);
    }
    let error = call(&orchestrator, "b__work").await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::NotFound, true));
}

#[tokio::test(start_paused = true)]
async fn two_tools_of_one_name_are_told_of_and_the_first_stays() {
    let [a, b] = ["a", "b"].map(|name| Scripted::new(name, &["work"]));
    let builder = Orchestrator::builder()
        .member(Member::new("a", a.clone()).prefix(""))
        .member(Member::new("b", b).prefix(""));
    let orchestrator = started(builder).await;
    assert_eq!(tools(&orchestrator).await, ["work"]);
    assert!(
        orchestrator.problems().iter().any(|problem| problem.contains("b: `work`")),
        "{:?}",
        orchestrator.problems()
    );
    call(&orchestrator, "work").await.unwrap();
    assert_eq!(a.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_neither_blocks_nor_empties_the_others_and_is_tried_again() {
    let [dead, alive] = ["dead", "alive"].map(|name| Scripted::new(name, &["work"]));
    dead.down(true);
    let builder = Orchestrator::builder()
        .member(Member::new("dead", dead.clone()))
        .member(Member::new("alive", alive));
    let orchestrator = started(builder).await;
    assert_eq!(tools(&orchestrator).await, ["alive__work"]);
    assert_eq!(call(&orchestrator, "dead__work").await.unwrap_err().kind(), Kind::Unreachable);
    dead.down(false);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(tools(&orchestrator).await, ["dead__work", "alive__work"]);
}

/// A server that never finishes connecting.
struct Hanging;

#[async_trait::async_trait]
impl Server for Hanging {
    async fn call(&self, _: &Call) -> Result<toolweir::core::Reply, toolweir::core::Error> {
        std::future::pending().await
    }
    async fn connect(
        &self,
        _: toolweir::core::Instant,
    ) -> Result<Arc<toolweir::core::ServerInfo>, toolweir::core::Error> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_at_start_holds_the_lists_up_once_and_calls_not_at_all() {
    let alive = Scripted::new("alive", &["work"]);
    let builder = Orchestrator::builder()
        .member(Member::new("hanging", Arc::new(Hanging)))
        .member(Member::new("alive", alive.clone()));
    let orchestrator = builder.start().unwrap();
    let start = TokioClock.now();
    call(&orchestrator, "alive__work").await.unwrap();
    assert!(TokioClock.now() - start < Duration::from_secs(1));
    assert_eq!(tools(&orchestrator).await, ["alive__work"]);
    assert!(TokioClock.now() - start <= Duration::from_secs(6));
    let again = TokioClock.now();
    assert_eq!(tools(&orchestrator).await, ["alive__work"]);
    assert_eq!(TokioClock.now(), again);
}

#[tokio::test(start_paused = true)]
async fn the_last_known_list_stays_while_a_server_is_away() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.down(true);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(tools(&orchestrator).await, ["s__work"]);
}

#[derive(Default)]
struct Heard(Mutex<Vec<Method>>);

impl Subscriber for Heard {
    fn on_message(&self, message: ServerMessage) {
        if let ServerMessage::Notification(notification) = message {
            self.0.lock().unwrap().push(notification.method);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_list_changes_is_one_or_two() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    let heard = Arc::new(Heard::default());
    let subscriber: Arc<dyn Subscriber> = heard.clone();
    orchestrator.subscribe(Arc::downgrade(&subscriber));
    for _ in 0..1_000 {
        server.set_tools(&["work", "new"]);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(tools(&orchestrator).await, ["s__work", "s__new"]);
    assert_eq!(*heard.0.lock().unwrap(), [Method::TOOLS_CHANGED]);
}
