//! How servers are looked after: their lists, their health, their start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use toolweir::core::{
    Call, Clock, Error, Instant, Kind, Method, Notification, RawJson, Reply, Server, ServerMessage,
    TokioClock,
};
use toolweir::{Member, Orchestrator, Readiness};

use super::scripted::{Does, Scripted};
use super::{call, started};

async fn one(server: &Arc<Scripted>) -> Orchestrator {
    started(Orchestrator::builder().member(Member::new("s", server.clone()))).await
}

fn is_healthy(orchestrator: &Orchestrator) -> bool {
    orchestrator.servers()[0].health_status == Readiness::Healthy
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// A server whose first list failed counted as listed, with nothing: its tools were unknown until the next probe.
#[tokio::test(start_paused = true)]
async fn a_server_is_listed_when_its_tools_came_and_is_asked_again_soon() {
    let ways = [Does::Fail(Error::new(Kind::Status { status: 500 })), Does::Panic, Does::Hang];
    for way in ways {
        let server = Scripted::new("s", &["work"]);
        *server.lists.lock().unwrap() = way;
        let orchestrator = one(&server).await;
        assert!(!orchestrator.servers()[0].is_listed);
        call(&orchestrator, "s__work").await.unwrap();
        *server.lists.lock().unwrap() = Does::Answer;
        seconds(1.5).await;
        assert_eq!(orchestrator.servers()[0].tools, ["s__work"]);
        assert!(orchestrator.servers()[0].is_listed);
    }
}

/// A panic in a list ended the supervisor: no probe, no return, ever.
#[tokio::test(start_paused = true)]
async fn a_server_whose_lists_panic_is_still_looked_after() {
    let server = Scripted::new("s", &["work"]);
    *server.lists.lock().unwrap() = Does::Panic;
    let orchestrator = one(&server).await;
    server.down(true);
    seconds(10.0).await;
    assert!(!is_healthy(&orchestrator));
    server.down(false);
    seconds(6.0).await;
    assert!(is_healthy(&orchestrator));
}

/// Lost while it connects, it was held to be up and its loss was forgotten.
#[tokio::test(start_paused = true)]
async fn a_loss_during_the_connect_is_not_swallowed() {
    let server = Scripted::new("s", &["work"]);
    *server.connecting.lock().unwrap() = Duration::from_secs(1);
    let builder = Orchestrator::builder().member(Member::new("s", server.clone()));
    let orchestrator = builder.start().unwrap();
    seconds(0.5).await;
    server.tell(&ServerMessage::Disconnected(Error::new(Kind::Disconnected)));
    seconds(0.6).await;
    assert!(!is_healthy(&orchestrator));
    seconds(5.0).await;
    assert!(is_healthy(&orchestrator));
    assert_eq!(server.connects.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_throttled_is_no_ill_health() {
    let kinds =
        [Kind::Throttled { retry_after: None }, Kind::Overloaded, Kind::Protocol { code: -32601 }];
    for kind in kinds {
        let server = Scripted::new("s", &["work"]);
        let orchestrator = one(&server).await;
        *server.probes.lock().unwrap() = Does::Fail(Error::new(kind));
        seconds(65.0).await;
        assert!(is_healthy(&orchestrator), "{kind:?}");
    }
    let server = Scripted::new("s", &["work"]);
    let orchestrator = one(&server).await;
    *server.probes.lock().unwrap() = Does::Fail(Error::new(Kind::Unreachable));
    seconds(65.0).await;
    assert!(!is_healthy(&orchestrator));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_misses_a_probe_while_it_works_is_well() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator = one(&server).await;
    *server.probes.lock().unwrap() = Does::Hang;
    server.does(Does::Take(Duration::from_secs(45)));
    call(&orchestrator, "s__work").await.unwrap();
    assert!(is_healthy(&orchestrator));
    seconds(14.0).await; // its answer spares it one probe
    assert!(is_healthy(&orchestrator));
    seconds(61.0).await;
    assert!(!is_healthy(&orchestrator));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_shows_that_a_server_is_back() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator = one(&server).await;
    *server.probes.lock().unwrap() = Does::Hang;
    seconds(45.0).await;
    assert!(!is_healthy(&orchestrator));
    call(&orchestrator, "s__work").await.unwrap();
    seconds(0.01).await;
    assert!(is_healthy(&orchestrator));
}

/// It came back, and what it had changed meanwhile was not seen.
#[tokio::test(start_paused = true)]
async fn a_server_that_answers_probes_again_is_listed_again() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator = one(&server).await;
    *server.probes.lock().unwrap() = Does::Hang;
    *server.lists.lock().unwrap() = Does::Hang;
    seconds(45.0).await;
    server.set_tools(&["work", "new"]);
    seconds(45.0).await;
    assert_eq!(orchestrator.servers()[0].tools, ["s__work"]);
    *server.lists.lock().unwrap() = Does::Answer;
    *server.probes.lock().unwrap() = Does::Answer;
    seconds(40.0).await;
    assert!(is_healthy(&orchestrator));
    assert_eq!(orchestrator.servers()[0].tools, ["s__new", "s__work"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_tried_every_few_seconds() {
    let server = Scripted::new("s", &["work"]);
    server.down(true);
    let orchestrator = one(&server).await;
    seconds(600.0).await;
    server.down(false);
    seconds(5.5).await;
    assert!(is_healthy(&orchestrator));
    let connects = server.connects.load(Ordering::SeqCst);
    assert!((100..300).contains(&connects), "{connects}");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_servers_start_at_once_and_a_slow_one_holds_nobody_up_for_long() {
    let servers: Vec<_> = (0..20).map(|_| Scripted::new("s", &["work"])).collect();
    let mut builder = Orchestrator::builder().connect_timeout(Duration::from_secs(40));
    for (index, server) in servers.iter().enumerate() {
        *server.connecting.lock().unwrap() = Duration::from_secs(30);
        builder = builder.member(Member::new(format!("s{index}"), server.clone()));
    }
    let orchestrator = builder.start().unwrap();
    let begun = || servers.iter().filter(|one| one.connects.load(Ordering::SeqCst) > 0).count();
    for expected in [8, 16, 20] {
        seconds(9.0).await;
        assert_eq!(begun(), expected);
        seconds(1.5).await;
    }
    seconds(30.0).await;
    assert!(orchestrator.servers().iter().all(|one| one.health_status == Readiness::Healthy));
    assert!(servers.iter().all(|one| one.connects.load(Ordering::SeqCst) == 1));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_keeps_no_notification_from_the_others() {
    let [frozen, well] = ["frozen", "well"].map(|name| Scripted::new(name, &[]));
    let builder = Orchestrator::builder()
        .member(Member::new("frozen", frozen.clone()))
        .member(Member::new("well", well.clone()));
    let orchestrator = started(builder).await;
    *frozen.tells.lock().unwrap() = Does::Hang;
    let start = TokioClock.now();
    orchestrator.notify(Notification::new(Method::ROOTS_CHANGED, None)).await;
    assert!(TokioClock.now() - start <= Duration::from_millis(5_010));
    assert_eq!(well.told(), ["notifications/roots/list_changed"]);
}

async fn offers(orchestrator: &Orchestrator) -> serde_json::Value {
    let info = orchestrator.connect(Instant::FAR_FUTURE).await.unwrap();
    info.capabilities.get().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_is_what_the_servers_offer() {
    let [a, b] = ["a", "b"].map(|name| Scripted::new(name, &[]));
    *a.capabilities.lock().unwrap() = serde_json::json!({ "tools": {}, "logging": {} });
    let builder = Orchestrator::builder()
        .member(Member::new("a", a.clone()))
        .member(Member::new("b", b.clone()));
    let orchestrator = builder.start().unwrap();
    let all = offers(&orchestrator).await;
    assert_eq!(all["resources"]["subscribe"], true);
    assert!(all["completions"].is_object() && all["logging"].is_object());
    orchestrator.ready(Duration::from_secs(1)).await;
    let listed = serde_json::json!({ "listChanged": true });
    let expected = serde_json::json!({ "tools": listed, "prompts": listed, "resources": listed, "logging": {} });
    assert_eq!(offers(&orchestrator).await, expected);
    *b.capabilities.lock().unwrap() = serde_json::json!({ "resources": { "subscribe": true } });
    b.down(true);
    b.down(false);
    seconds(6.0).await;
    assert_eq!(offers(&orchestrator).await["resources"]["subscribe"], true);
}

/// Gives the same two cursors for ever.
#[derive(Default)]
struct Circling(AtomicUsize);

#[async_trait::async_trait]
impl Server for Circling {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let cursor = call.params.as_ref().and_then(|params| params.member("cursor"));
        let next = if cursor.is_some_and(|cursor| cursor.as_bytes() == b"1") { 2 } else { 1 };
        Ok(Reply::new(RawJson::from(serde_json::json!({ "tools": [], "nextCursor": next }))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_comes_again_ends_the_list() {
    let server = Arc::new(Circling::default());
    started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    assert_eq!(server.0.load(Ordering::SeqCst), 3);
}
