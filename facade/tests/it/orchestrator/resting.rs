//! A server is let go of when nobody needs it, and never under a call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use toolweir::core::{Call, Error, Instant, Kind, Method, RawJson, Reply, Server, ServerInfo};
use toolweir::{Member, Orchestrator, Readiness};

use super::{call, started};

/// Is up from its first call on, and holds it against whoever lets go of it under one.
#[derive(Default)]
struct Rests {
    running: AtomicUsize,
    rests: AtomicUsize,
    is_up: AtomicBool,
    /// How long letting go takes.
    takes: Mutex<Duration>,
    wrong: AtomicBool,
}

#[async_trait]
impl Server for Rests {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        self.is_up.store(true, Ordering::SeqCst);
        if call.method != Method::TOOLS_CALL {
            let tools = json!({ "tools": [{ "name": "work" }] });
            return Ok(Reply::new(RawJson::from(tools)));
        }
        self.running.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        match self.is_up.load(Ordering::SeqCst) {
            true => Ok(Reply::new(RawJson::EMPTY_OBJECT)),
            false => Err(Error::new(Kind::Disconnected)),
        }
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        self.is_up.store(true, Ordering::SeqCst);
        let capabilities = json!({ "tools": {}, "resources": { "subscribe": true } });
        let identity = json!({ "name": "rests", "version": "0" });
        Ok(Arc::new(ServerInfo::new(RawJson::from(identity), RawJson::from(capabilities))))
    }

    async fn rest(&self, _: Instant) -> bool {
        let takes = *self.takes.lock().unwrap();
        for _ in 0..2 {
            let under_a_call = self.running.load(Ordering::SeqCst) > 0;
            self.wrong.fetch_or(under_a_call, Ordering::SeqCst);
            tokio::time::sleep(takes).await;
        }
        self.is_up.store(false, Ordering::SeqCst);
        self.rests.fetch_add(1, Ordering::SeqCst);
        true
    }
}

async fn with(idle: Duration) -> (Arc<Rests>, Orchestrator) {
    let server = Arc::<Rests>::default();
    let member = Member::new("s", server.clone()).idle_stop(idle);
    (server, started(Orchestrator::builder().member(member)).await)
}

#[tokio::test(start_paused = true)]
async fn never_under_a_call() {
    for takes in [0, 1, 40] {
        let (server, orchestrator) = with(Duration::from_millis(100)).await;
        *server.takes.lock().unwrap() = Duration::from_millis(takes);
        // Gaps around the time after which it is let go of.
        for round in 0_u64..500 {
            tokio::time::sleep(Duration::from_millis(60 + round * 7 % 90)).await;
            let (one, two) =
                tokio::join!(call(&orchestrator, "s__work"), call(&orchestrator, "s__work"));
            one.and(two).unwrap();
        }
        assert!(!server.wrong.load(Ordering::SeqCst));
        let rests = server.rests.load(Ordering::SeqCst);
        assert!((50..450).contains(&rests), "{rests}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_rests_is_not_probed_and_says_so() {
    let (server, orchestrator) = with(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(orchestrator.servers()[0].health_status, Readiness::Resting);
    assert_eq!(server.rests.load(Ordering::SeqCst), 1);
    assert!(!server.is_up.load(Ordering::SeqCst), "nothing woke it");
    call(&orchestrator, "s__work").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(orchestrator.servers()[0].health_status, Readiness::Healthy);
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_hear_of_a_resource_keeps_it() {
    let (server, orchestrator) = with(Duration::from_secs(1)).await;
    let params = || Some(RawJson::from(json!({ "uri": "a:b" })));
    let ask = |method| Call::new(method, params()).target("a:b");
    orchestrator.call(&ask(Method::RESOURCES_SUBSCRIBE)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(server.rests.load(Ordering::SeqCst), 0);
    orchestrator.call(&ask(Method::RESOURCES_UNSUBSCRIBE)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(server.rests.load(Ordering::SeqCst), 1);
}
