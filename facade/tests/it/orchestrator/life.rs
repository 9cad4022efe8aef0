//! Start, end, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::Kind;
use toolweir::{BuildError, Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started, text};

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_after_shutdown() {
    let before = alive_tasks();
    let server = Scripted::new("s", &["work"]);
    let weak = Arc::downgrade(&server);
    let orchestrator = started(Orchestrator::builder().member(Member::new("s", server))).await;
    assert!(alive_tasks() > before);
    orchestrator.shutdown(Duration::from_secs(1)).await;
    assert_eq!(alive_tasks(), before);
    assert_eq!(call(&orchestrator, "s__work").await.unwrap_err().kind(), Kind::Closed);
    drop(orchestrator);
    assert!(weak.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_its_tasks() {
    let before = alive_tasks();
    let server = Scripted::new("s", &["work"]);
    let weak = Arc::downgrade(&server);
    drop(started(Orchestrator::builder().member(Member::new("s", server))).await);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(alive_tasks(), before);
    assert!(weak.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn several_live_side_by_side() {
    let servers = ["a", "b"].map(|name| Scripted::new(name, &["work"]));
    let [one, two] =
        servers.clone().map(|server| Orchestrator::builder().member(Member::new("s", server)));
    let (one, two) = (started(one).await, started(two).await);
    servers[0].does(Does::Fail(Kind::Disconnected.into()));
    for _ in 0..10 {
        assert!(call(&one, "s__work").await.is_err());
        call(&two, "s__work").await.unwrap();
    }
    one.shutdown(Duration::from_secs(1)).await;
    assert_eq!(text(&call(&two, "s__work").await.unwrap()), "b 11");
    assert_eq!(two.dashboard().total_operations, 11);
}

#[tokio::test(start_paused = true)]
async fn the_dashboard_counts_what_happened() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    for _ in 0..95 {
        call(&orchestrator, "s__work").await.unwrap();
    }
    server.does(Does::ToolError);
    for _ in 0..5 {
        call(&orchestrator, "s__work").await.unwrap();
    }
    let value = serde_json::to_value(orchestrator.standing()).unwrap();
    assert_eq!(value["total_operations"], 100);
    assert_eq!(value["servers"]["s"]["failed"], 5);
    assert_eq!(value["system_health"], "good");
    assert_eq!(value["upstreams"][0]["health_status"], "healthy");
}

#[tokio::test]
async fn two_servers_of_one_name_are_refused() {
    let member = || Member::new("s", Scripted::new("s", &[]));
    let refused = Orchestrator::builder().member(member()).member(member()).start().unwrap_err();
    assert!(matches!(refused, BuildError::DuplicateName(name) if name == "s"));
}
