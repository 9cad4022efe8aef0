//! Another configuration takes effect while calls run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use toolweir::core::{
    Call, Clock, Error, Instant, Kind, Method, RawJson, Reply, Server, ServerMessage, Subscriber,
    TokioClock,
};
use toolweir::{BuildError, Builder, Member, Orchestrator, Readiness};

use super::scripted::{Does, Scripted};
use super::{call, started, text};
use crate::fidelity::in_flight;
use crate::ledger::Ledger;

/// Knows how many calls it works on, and holds it against whoever closes it under one or calls it afterwards.
struct Witness {
    running: AtomicUsize,
    connects: AtomicUsize,
    closed: AtomicBool,
    wrongs: Arc<Mutex<Vec<&'static str>>>,
}

impl Witness {
    fn new(wrongs: &Arc<Mutex<Vec<&'static str>>>) -> Arc<Self> {
        Arc::new(Self {
            running: AtomicUsize::new(0),
            connects: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            wrongs: wrongs.clone(),
        })
    }

    fn wrong(&self, what: &'static str) {
        self.wrongs.lock().unwrap().push(what);
    }
}

struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn at(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Server for Witness {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if call.method == Method::TOOLS_LIST {
            let tools = json!({ "tools": [{ "name": "work" }] });
            return Ok(Reply::new(RawJson::from(tools)));
        }
        if self.closed.load(Ordering::SeqCst) {
            self.wrong("called after its end");
            return Err(Error::new(Kind::Closed));
        }
        let _running = Running::at(&self.running);
        tokio::time::sleep(Duration::from_millis(7)).await;
        Ok(Reply::new(RawJson::EMPTY_OBJECT))
    }

    async fn connect(&self, _: Instant) -> Result<Arc<toolweir::core::ServerInfo>, Error> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::default())
    }

    async fn close(&self, _: Instant) {
        if self.running.load(Ordering::SeqCst) > 0 {
            self.wrong("closed under a call");
        }
        if self.closed.swap(true, Ordering::SeqCst) {
            self.wrong("closed twice");
        }
    }
}

/// FAULTS 22: a call goes on with what it began with, and what is the same stays.
#[tokio::test(start_paused = true)]
async fn a_thousand_reloads_under_load_fail_no_call() {
    const RELOADS: u32 = 1_000;
    let wrongs = Arc::default();
    let (stays, adjusted) = (Witness::new(&wrongs), Witness::new(&wrongs));
    let mut changed = Vec::new();
    let mut guests = Vec::new();
    let mut configuration = |round: u32| {
        changed.push(Witness::new(&wrongs));
        let mut builder = Orchestrator::builder()
            .member(Member::new("stays", stays.clone()))
            .member(Member::new("changes", changed.last().unwrap().clone()))
            .member(
                // The same server under other terms.
                Member::new("adjusted", adjusted.clone())
                    .timeout(Duration::from_secs(60 + u64::from(round % 7))),
            );
        if round.is_multiple_of(2) {
            guests.push(Witness::new(&wrongs));
            builder = builder.member(Member::new("guest", guests.last().unwrap().clone()));
        }
        builder
    };
    let orchestrator = started(configuration(0)).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let calling = ["stays__work", "changes__work", "adjusted__work", "guest__work"]
        .into_iter()
        .cycle()
        .take(16)
        .map(|tool| {
            let (orchestrator, answered) = (orchestrator.clone(), answered.clone());
            tokio::spawn(async move {
                loop {
                    match call(&orchestrator, tool).await {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::SeqCst)),
                        // One that is not configured is not there; whoever reached it is answered.
                        Err(error) if tool == "guest__work" && error.kind() == Kind::NotFound => {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        Err(error) => panic!("{tool}: {error}"),
                    }
                }
            })
        })
        .collect::<Vec<_>>();
    for round in 1..=RELOADS {
        tokio::time::sleep(Duration::from_millis(u64::from(round % 5))).await;
        let reloaded = orchestrator.reload_with(configuration(round)).unwrap();
        assert_eq!(reloaded.kept, 1, "{reloaded}");
        assert_eq!(reloaded.restarted, ["changes"]);
        assert_eq!(reloaded.adjusted, ["adjusted"]);
    }
    for task in calling {
        assert!(!task.is_finished(), "a call failed: {:?}", task.await);
        task.abort();
    }
    assert!(answered.load(Ordering::SeqCst) > 2_000);
    assert_eq!(orchestrator.reloads(), (u64::from(RELOADS), 0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let open = |witnesses: &[Arc<Witness>]| {
        witnesses.iter().filter(|witness| !witness.closed.load(Ordering::SeqCst)).count()
    };
    assert_eq!(open(&changed), 1, "all but the last have ended");
    assert_eq!(open(&guests), 1, "it is configured in the last");
    assert_eq!(open(&[stays, adjusted]), 2);
    assert_eq!(*wrongs.lock().unwrap(), [""; 0]);
    let ledger = Ledger::default();
    ledger.at_rest("calls in flight", 0, in_flight(&orchestrator));
    ledger.balances();
    let figure = format!("{RELOADS} reloads, {} calls, 0 failed", answered.load(Ordering::SeqCst));
    crate::peer::measured("22", &figure, true);
}

fn one(name: &'static str, server: &Arc<Scripted>) -> Builder {
    Orchestrator::builder().member(Member::new(name, server.clone()))
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_keeps_its_state() {
    let server = Scripted::new("s", &["work"]);
    let configuration = || one("s", &server);
    let orchestrator = started(configuration()).await;
    server.fails(Kind::Disconnected);
    for _ in 0..10 {
        assert!(call(&orchestrator, "s__work").await.is_err());
    }
    assert_eq!(orchestrator.servers()[0].breaker, Some("open"));
    let other = Scripted::new("other", &["work"]);
    let more = configuration().member(Member::new("other", other.clone()));
    let reloaded = orchestrator.reload_with(more).unwrap();
    assert_eq!((reloaded.kept, &reloaded.started[..]), (1, &["other".to_owned()][..]));
    assert_eq!(orchestrator.servers()[0].breaker, Some("open"));
    assert_eq!(server.connects.load(Ordering::SeqCst), 1);
    orchestrator.ready(Duration::from_secs(60)).await;
    assert_eq!(text(&call(&orchestrator, "other__work").await.unwrap()), "other 1");
    assert_eq!(orchestrator.reload_with(configuration()).unwrap().ended, ["other"]);
    let error = call(&orchestrator, "other__work").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    // Other terms are another breaker, at the same process.
    let member = Member::new("s", server.clone()).timeout(Duration::from_secs(1));
    let reloaded = orchestrator.reload_with(Orchestrator::builder().member(member)).unwrap();
    assert_eq!(reloaded.adjusted, ["s"]);
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_at_the_server_that_it_began_with() {
    let (old, new) = (Scripted::new("old", &["work"]), Scripted::new("new", &["work"]));
    let weak = Arc::downgrade(&old);
    old.does(Does::Take(Duration::from_secs(20)));
    let orchestrator = started(one("s", &old)).await;
    let began = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__work").await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(old);
    assert_eq!(orchestrator.reload_with(one("s", &new)).unwrap().restarted, ["s"]);
    assert_eq!(text(&call(&orchestrator, "s__work").await.unwrap()), "new 1");
    assert!(weak.upgrade().is_some());
    assert_eq!(text(&began.await.unwrap().unwrap()), "old 1");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(weak.upgrade().is_none(), "it ended with its last call");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_not_waited_for_without_an_end() {
    let (old, new) = (Scripted::new("old", &["work"]), Scripted::new("new", &["work"]));
    old.does(Does::Hang);
    let orchestrator = started(one("s", &old)).await;
    let began = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__work").await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    orchestrator.reload_with(one("s", &new)).unwrap();
    let begun = TokioClock.now();
    assert_eq!(began.await.unwrap().unwrap_err().kind(), Kind::Timeout);
    assert!(TokioClock.now() - begun <= Duration::from_secs(60));
}

struct Heard(Mutex<Vec<String>>);

impl Subscriber for Heard {
    fn on_message(&self, message: ServerMessage) {
        if let ServerMessage::Notification(notification) = message {
            self.0.lock().unwrap().push(notification.method.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clients_hear_that_the_lists_changed_and_see_no_gap() {
    let (old, new) = (Scripted::new("old", &["work"]), Scripted::new("new", &["work"]));
    *new.connecting.lock().unwrap() = Duration::from_secs(30);
    let orchestrator = started(one("s", &old)).await;
    let heard = Arc::new(Heard(Mutex::default()));
    let weak = Arc::downgrade(&heard);
    orchestrator.subscribe(weak);
    let list = || async {
        let call = Call::new(Method::TOOLS_LIST, None);
        orchestrator.call(&call).await.unwrap().result.as_str().to_owned()
    };
    let before = list().await;
    orchestrator.reload_with(one("s", &new)).unwrap();
    assert_eq!(list().await, before, "the last known list stays until the new one is there");
    assert_eq!(orchestrator.servers()[0].health_status, Readiness::Starting);
    assert!(heard.0.lock().unwrap().is_empty());
    orchestrator.reload_with(one("other", &new)).unwrap();
    assert_eq!(heard.0.lock().unwrap().len(), 1);
    orchestrator.ready(Duration::from_secs(60)).await;
    assert!(list().await.contains("other__work"));
    assert_eq!(*heard.0.lock().unwrap(), ["notifications/tools/list_changed"; 2]);
}

/// What a program says of its tools' effects was believed of the one that took its place.
#[tokio::test(start_paused = true)]
async fn what_one_program_claims_is_not_believed_of_the_next() {
    let (old, new) = (Scripted::new("old", &["read"]), Scripted::new("new", &["read"]));
    *new.connecting.lock().unwrap() = Duration::from_secs(30);
    let trusted = |server: &Arc<Scripted>| {
        Orchestrator::builder().member(Member::new("s", server.clone()).trusted())
    };
    let orchestrator = started(trusted(&old)).await;
    let read = Call::tool("s__read", &RawJson::EMPTY_OBJECT).unwrap();
    let believed = || async { orchestrator.explain(&read).await.unwrap().servers[0].believed };
    assert_eq!(believed().await.read_only, Some(true));
    orchestrator.reload_with(trusted(&new)).unwrap();
    assert_eq!(believed().await.read_only, None);
    orchestrator.ready(Duration::from_secs(60)).await;
    assert_eq!(believed().await.read_only, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_moves_to_the_server_that_takes_the_place() {
    let servers = ["old", "new"].map(|name| Scripted::new(name, &[]));
    for server in &servers {
        *server.capabilities.lock().unwrap() = json!({ "resources": { "subscribe": true } });
    }
    let orchestrator = started(one("s", &servers[0])).await;
    let params = RawJson::from(json!({ "uri": "a:b" }));
    let subscribe = Call::new(Method::RESOURCES_SUBSCRIBE, Some(params)).target("a:b");
    orchestrator.call(&subscribe).await.unwrap();
    orchestrator.reload_with(one("s", &servers[1])).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(servers[1].told(), ["resources/subscribe a:b"]);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_changes_nothing() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator = started(one("s", &server)).await;
    let twice = one("x", &server).member(Member::new("x", server.clone()));
    let error = orchestrator.reload_with(twice).unwrap_err();
    assert!(matches!(error, BuildError::DuplicateName(_)));
    assert_eq!(orchestrator.reloads(), (0, 1));
    call(&orchestrator, "s__work").await.unwrap();
    orchestrator.shutdown(Duration::from_secs(1)).await;
    let error = orchestrator.reload_with(one("s", &server)).unwrap_err();
    assert!(matches!(error, BuildError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_hundred_reloads_is_left_behind() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let orchestrator = started(one("s", &Scripted::new("s", &["work"]))).await;
    let running = alive();
    for round in 0..100 {
        let name = if i32::rem_euclid(round, 3) == 0 { "t" } else { "s" };
        orchestrator.reload_with(one(name, &Scripted::new("s", &["work"]))).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(alive(), running);
    assert_eq!(orchestrator.router().len(), 1);
    orchestrator.shutdown(Duration::from_secs(1)).await;
    assert_eq!(alive(), before);
}
