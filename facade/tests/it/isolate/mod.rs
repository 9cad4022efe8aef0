//! `isolate`: real children, one for each client.

mod bounds;
mod peer;
mod whose;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use toolweir::config::Config;
use toolweir::core::{
    Call, Client, Clock, Error, Instant, Kind, Method, Notification, Peer, Principal, RawJson,
    Reply, TokioClock,
};
use toolweir::{Builder, Orchestrator};

use crate::fidelity::in_flight;
use crate::ledger::{Asker, End, Ledger, Scope};

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server, `s`, this test binary playing `script`; `more` is added to its entry.
async fn started_as(script: &str, more: Value) -> Orchestrator {
    let mut entry = json!({
        "command": std::env::current_exe().unwrap(),
        "args": ["--exact", "isolate::peer::peer", "--nocapture"],
        "env": { peer::SCRIPT: script },
        "trusted": true,
    });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text = json!({ "mcpServers": { "s": entry } }).to_string();
    let (config, _) = Config::from_str(&text, "test.jsonc", &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}"));
    let orchestrator = Builder::from_config(&config).unwrap().start().unwrap();
    orchestrator.ready(PATIENCE).await;
    orchestrator
}

/// One whose clients share nothing.
async fn isolated() -> Orchestrator {
    started_as("plain", json!({ "isolate": "client" })).await
}

/// A client that writes down what it is told and asked, and answers with its name.
#[derive(Debug)]
struct Asked {
    name: &'static str,
    client: Arc<Client>,
    told: Mutex<Vec<String>>,
    /// It answers only when so many have been asked.
    together: Option<Arc<Barrier>>,
    asker: Asker,
    ledger: Ledger,
}

impl Asked {
    /// One of `version`; all are of one principal.
    fn new(name: &'static str, version: &str, together: Option<Arc<Barrier>>) -> Arc<Self> {
        let mut client = Client::new(Principal::new("everyone"));
        client.protocol_version = Some(version.into());
        client.info = Some(RawJson::from(json!({ "name": name, "version": "1" })));
        client.capabilities = RawJson::from(json!({ "elicitation": {}, "roots": {} }));
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let asker = Asker { client: COUNT.fetch_add(1, Ordering::Relaxed), principal: 0 };
        let (told, ledger) = (Mutex::default(), Ledger::default());
        Arc::new(Self { name, client: Arc::new(client), told, together, asker, ledger })
    }

    fn legacy(name: &'static str) -> Arc<Self> {
        Self::new(name, "2025-11-25", None)
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn call(self: &Arc<Self>, tool: &str, arguments: Value) -> Call {
        let call = Call::tool(&format!("s__{tool}"), &RawJson::from(arguments)).unwrap();
        let peer: Arc<dyn Peer> = self.clone();
        call.client(self.client.clone()).peer(peer).deadline(TokioClock.now() + PATIENCE)
    }

    /// Where the tool ran, and what it said, to this very call.
    async fn calls(
        self: &Arc<Self>,
        orchestrator: &Orchestrator,
        tool: &str,
        mut arguments: Value,
    ) -> Result<(u64, Value), Error> {
        let nonce = self.ledger.asks(self.asker, tool, Scope::Own);
        arguments["nonce"] = nonce.into();
        let result = orchestrator.call(&self.call(tool, arguments)).await;
        let text = result.as_ref().map(|reply| reply.result.as_str());
        self.ledger.ends(self.asker, tool, text.map_or(End::Error, End::Answer));
        assert_eq!(self.ledger.told(), [""; 0]);
        let reply: Reply = result?;
        let result: Value = reply.result.get().unwrap();
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        Ok((text["process"].as_u64().unwrap(), text["said"].clone()))
    }

    async fn state(self: &Arc<Self>, orchestrator: &Orchestrator) -> (u64, Value) {
        self.calls(orchestrator, "state", json!({})).await.unwrap()
    }

    /// A request about a resource, or the log level.
    async fn asks(&self, orchestrator: &Orchestrator, method: Method, params: Value) {
        let uri = params["uri"].as_str().map(str::to_owned);
        let mut call = Call::new(method, Some(RawJson::from(params))).client(self.client.clone());
        call.target = uri.map(Arc::from);
        orchestrator.call(&call).await.unwrap();
    }
}

#[async_trait]
impl Peer for Asked {
    fn notify(&self, notification: Notification) {
        let params: Value = notification.params.map_or(Value::Null, |params| params.get().unwrap());
        self.told.lock().unwrap().push(params["data"].as_str().unwrap_or("?").to_owned());
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        _: Instant,
    ) -> Result<RawJson, Error> {
        if method == *"roots/list" {
            let uri = format!("file:///{}", self.name);
            return Ok(RawJson::from(json!({ "roots": [{ "uri": uri }] })));
        }
        let params: Value = params.ok_or(Kind::InvalidRequest)?.get().unwrap();
        self.told.lock().unwrap().push(params["message"].as_str().unwrap().to_owned());
        if let Some(together) = &self.together {
            together.wait().await;
        }
        Ok(RawJson::from(json!({ "action": "accept", "content": { "name": self.name } })))
    }
}

fn is_alive(process: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
    })
}

/// Waits for a child's end.
async fn ends(process: u64) {
    let ended = async {
        while is_alive(process) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the child ends");
}

async fn end(orchestrator: Orchestrator) {
    orchestrator.shutdown(Duration::from_secs(10)).await;
    assert_eq!(in_flight(&orchestrator), 0);
}
