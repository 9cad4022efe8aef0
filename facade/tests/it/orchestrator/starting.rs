//! Many servers at once, and one that comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use toolweir::core::{
    Call, Clock, Error, Instant, Kind, Method, RawJson, Reply, Server, ServerInfo, TokioClock,
};
use toolweir::wire::{Options, StdioServer};
use toolweir::{Member, Orchestrator, Readiness};

use super::started;
use crate::peer::script::Step;
use crate::peer::server::streams;

/// How many are started at once.
const AT_ONCE: usize = 8;

/// Takes a second to be there, or is never there.
struct Slow {
    is_dead: bool,
    starting: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// Counts one less, whatever ends it.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Server for Slow {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let tools = json!({ "tools": [{ "name": "work" }] });
        let result = if call.method == Method::TOOLS_LIST { tools } else { json!({}) };
        Ok(Reply::new(RawJson::from(result)))
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        if self.is_dead {
            return std::future::pending().await;
        }
        let now = self.starting.fetch_add(1, Ordering::SeqCst) + 1;
        let _counted = Counted(&self.starting);
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let capabilities = json!({ "tools": {} });
        Ok(Arc::new(ServerInfo::new(json!({}).into(), RawJson::from(capabilities))))
    }
}

/// A stampede of a hundred left most of them out; here a few start at a time, and all are there. One that does
/// not come keeps its turn for a while and no longer.
#[tokio::test(start_paused = true)]
async fn a_hundred_servers_start_a_few_at_a_time() {
    for dead in [0, 5] {
        let (starting, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut builder = Orchestrator::builder();
        for number in 0..100 {
            let is_dead = number < dead;
            let server = Slow { is_dead, starting: starting.clone(), most: most.clone() };
            builder = builder.member(Member::new(format!("s{number}"), Arc::new(server)));
        }
        let begun = TokioClock.now();
        let orchestrator = builder.start().unwrap();
        let count = || {
            let servers = orchestrator.servers();
            servers.iter().filter(|it| it.health_status == Readiness::Healthy).count()
        };
        while count() < 100 - dead {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let took = TokioClock.now() - begun;
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        // In turn they take 13 s; those that do not come hold five of the turns for ten of them.
        let bound = if dead == 0 { 14 } else { 24 };
        assert!(took <= Duration::from_secs(bound), "{dead} dead: {took:?}");
        orchestrator.shutdown(Duration::from_secs(1)).await;
    }
}

/// FAULTS 3: from the end of its output to the error of the call, and from there to the first call that succeeds.
#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_success_is_there_within_a_second() {
    let (mut told, mut back) = (Duration::ZERO, Duration::ZERO);
    for script in ["legacy", "modern"] {
        for _ in 0..20 {
            let server = StdioServer::over("s", streams(script), Options::default());
            let member = Member::new("s", Arc::new(server)).rate_limit(None);
            let orchestrator = started(Orchestrator::builder().member(member)).await;
            let call = async |tool: &str, arguments: serde_json::Value| {
                let call = Call::tool(tool, &RawJson::from(arguments)).unwrap();
                orchestrator.call(&call).await
            };
            let begun = TokioClock.now();
            let half = Step::Cut(vec![Step::result("{}")], 20);
            let crash = json!({ "say": [Step::Pause(50), half, Step::Close] });
            let error = call("s__say", crash).await.unwrap_err();
            assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
            let crashed = TokioClock.now();
            told = told.max(crashed - begun - Duration::from_millis(50));
            while let Err(error) = call("s__echo", json!({})).await {
                assert!(error.is_unsent(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            back = back.max(TokioClock.now() - crashed);
            orchestrator.shutdown(Duration::from_secs(1)).await;
        }
    }
    let figure = format!(
        "40 crashes: the error after {} ms, the next success after {} ms at the latest",
        told.as_millis(),
        back.as_millis()
    );
    let met = told <= Duration::from_millis(50) && back <= Duration::from_secs(1);
    crate::peer::measured("3", &figure, met);
}
