//! What clients see of all servers together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolweir::core::{
    Call, Clock, Error, Kind, Method, RawJson, Scope, Server, ServerMessage, Subscriber, TokioClock,
};
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
    async fn call(&self, _: &Call) -> Result<toolweir::core::Reply, Error> {
        std::future::pending().await
    }
    async fn connect(
        &self,
        _: toolweir::core::Instant,
    ) -> Result<Arc<toolweir::core::ServerInfo>, Error> {
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

#[tokio::test(start_paused = true)]
async fn a_long_list_comes_in_pages_until_it_changes() {
    let names: Vec<String> = (0..2_500).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let [long, other] = [Scripted::new("long", &names), Scripted::new("other", &["work"])];
    let builder = Orchestrator::builder()
        .member(Member::new("long", long.clone()).prefix(""))
        .member(Member::new("other", other.clone()).prefix(""));
    let orchestrator = started(builder).await;
    let page = |cursor: &serde_json::Value| {
        let params = serde_json::json!({ "cursor": cursor });
        let call = Call::new(Method::TOOLS_LIST, Some(RawJson::from(params)));
        let orchestrator = orchestrator.clone();
        async move {
            let reply = orchestrator.call(&call).await?;
            Ok::<serde_json::Value, Error>(reply.result.get().unwrap())
        }
    };
    let (mut seen, mut cursors) = (Vec::new(), vec![serde_json::Value::Null]);
    loop {
        let tools = page(cursors.last().unwrap()).await.unwrap();
        let tools_of = tools["tools"].as_array().unwrap().iter();
        seen.extend(tools_of.map(|tool| tool["name"].as_str().unwrap().to_owned()));
        match tools.get("nextCursor") {
            Some(next) => cursors.push(next.clone()),
            None => break,
        }
    }
    assert_eq!(
        (cursors.len(), seen.len(), &*seen[2_499], &*seen[2_500]),
        (3, 2_501, "t2499", "work")
    );
    // The catalogue is put together anew, but the list is the same.
    other.set_tools(&["work"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    other.set_tools(&["work"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cursor = page(&serde_json::Value::Null).await.unwrap()["nextCursor"].clone();
    page(&cursor).await.unwrap();
    other.set_tools(&["more"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    for unknown in [cursor, "".into(), "x-1".into(), "0-99".into(), 7.into()] {
        let error = page(&unknown).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidRequest, "{unknown}");
        assert!(error.to_string().contains("list again"), "{error}");
    }
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

/// It was told to clients as a list that holds for no time.
#[tokio::test(start_paused = true)]
async fn a_merged_list_holds_as_long_as_each_of_its_parts() {
    let seconds = Duration::from_secs;
    let minute = (Some(seconds(60)), Scope::Public);
    for (other, ttl, scope) in [
        ((Some(seconds(30)), Scope::Public), 30, Scope::Public),
        ((Some(seconds(90)), Scope::Private), 60, Scope::Private),
        ((None, Scope::Private), 0, Scope::Private),
    ] {
        let servers = [Scripted::new("a", &["work"]), Scripted::new("b", &["work"])];
        *servers[0].holds.lock().unwrap() = minute;
        *servers[1].holds.lock().unwrap() = other;
        let [a, b] = servers;
        let builder =
            Orchestrator::builder().member(Member::new("a", a)).member(Member::new("b", b));
        let orchestrator = started(builder).await;
        for passed in [0, 10, 15] {
            tokio::time::sleep(seconds(passed)).await;
            let list = orchestrator.call(&Call::new(Method::TOOLS_LIST, None)).await.unwrap();
            let left = list.ttl.unwrap();
            let before = if passed == 15 { 25 } else { passed };
            let expected = seconds(ttl).saturating_sub(seconds(before));
            assert!(left.abs_diff(expected) < Duration::from_millis(100), "{left:?}");
            assert_eq!(list.scope, scope);
        }
    }
}

/// A server that does not tell of changes said how long its list holds; it was never asked again.
#[tokio::test(start_paused = true)]
async fn a_list_whose_changes_are_not_told_is_fetched_again_when_it_is_over() {
    let tells = serde_json::json!({ "tools": { "listChanged": true } });
    let silent = serde_json::json!({ "tools": {} });
    for (capabilities, ttl, after, is_seen) in [
        (&silent, Some(100), 99, false),
        (&silent, Some(100), 101, true),
        (&silent, Some(1), 29, false), // not that often
        (&silent, Some(1), 31, true),
        (&silent, None, 3_600, false),
        (&tells, Some(1), 3_600, false),
    ] {
        let server = Scripted::new("s", &["work"]);
        *server.holds.lock().unwrap() = (ttl.map(Duration::from_secs), Scope::Public);
        *server.capabilities.lock().unwrap() = capabilities.clone();
        let builder = Orchestrator::builder().member(Member::new("s", server.clone()));
        let orchestrator = started(builder).await;
        server.becomes(&["other"]);
        tokio::time::sleep(Duration::from_secs(after)).await;
        let expected = if is_seen { "s__other" } else { "s__work" };
        assert_eq!(tools(&orchestrator).await, [expected], "{ttl:?} after {after}");
    }
}
