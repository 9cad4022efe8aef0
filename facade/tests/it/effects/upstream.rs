//! A server over HTTP, in this process, that counts its calls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Notify;
use toolweir::core::{Call, Error, Instant, Method, RawJson, Reply, Server, ServerInfo};
use toolweir::wire::{Access, HttpListener, Service};

/// Its tools: `read` (says that it reads only), `plain` (says nothing), `large` (reads 10 kB), `fail`, `hang` (never answers),
/// `gated` (answers once it is let), and `hang_once` (never answers the first of all calls of it, across all that share the count).
pub(crate) struct Upstream {
    listener: HttpListener,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    calls: AtomicUsize,
    arrived: Notify,
    gate: Notify,
    is_open: AtomicBool,
    opened: Notify,
    hung: Arc<AtomicUsize>,
    arguments: Mutex<serde_json::Value>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::behind(Access::default(), Arc::default()).await
    }

    /// One that asks for a token.
    pub(crate) async fn with_token(token: &str) -> Self {
        Self::behind(Access::default().token(token), Arc::default()).await
    }

    /// Two of which the first to be asked to `hang_once` hangs.
    pub(crate) async fn pair() -> [Self; 2] {
        let hung = Arc::<AtomicUsize>::default();
        [
            Self::behind(Access::default(), hung.clone()).await,
            Self::behind(Access::default(), hung).await,
        ]
    }

    async fn behind(access: Access, hung: Arc<AtomicUsize>) -> Self {
        let counts = Arc::new(Counts { hung, ..Counts::default() });
        let service = Service::new(counts.clone()).access(access);
        let listener = HttpListener::bind("127.0.0.1:0", service).await.unwrap();
        Self { listener, counts }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.listener.local_addr())
    }

    /// How many calls of tools it got.
    pub(crate) fn calls(&self) -> usize {
        self.counts.calls.load(Ordering::SeqCst)
    }

    /// The arguments of its last call.
    pub(crate) fn arguments(&self) -> serde_json::Value {
        self.counts.arguments.lock().unwrap().clone()
    }

    /// Waits for a call of `gated`, then does `meanwhile` and lets it go on.
    pub(crate) async fn during(&self, meanwhile: impl Future<Output = ()>) {
        self.counts.arrived.notified().await;
        meanwhile.await;
        self.counts.gate.notify_one();
    }

    /// Lets all calls of `gated` go on from now on.
    pub(crate) fn open(&self) {
        self.counts.is_open.store(true, Ordering::SeqCst);
        self.counts.opened.notify_waiters();
    }

    pub(crate) async fn shutdown(self) {
        self.listener.shutdown(std::time::Duration::from_secs(5)).await;
    }
}

#[async_trait]
impl Server for Counts {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if call.method == Method::TOOLS_LIST {
            let reads = json!({ "readOnlyHint": true });
            let tool = |name: &str, annotations: &serde_json::Value| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": annotations });
            let tools = json!({ "tools": [
                tool("read", &reads), tool("large", &reads), tool("plain", &json!({})),
                tool("fail", &json!({})), tool("gated", &json!({})), tool("hang", &json!({})), tool("hang_once", &json!({})),
            ] });
            return Ok(Reply::new(RawJson::from(tools)));
        }
        assert_eq!(call.method, Method::TOOLS_CALL);
        let count = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let params: serde_json::Value = call.params.as_ref().unwrap().get().unwrap();
        self.arguments.lock().unwrap().clone_from(&params["arguments"]);
        let tool = call.target.as_deref().unwrap();
        if tool == "hang" || tool == "hang_once" && self.hung.fetch_add(1, Ordering::SeqCst) == 0 {
            return std::future::pending().await;
        }
        if tool == "gated" {
            self.arrived.notify_one();
            let opened = self.opened.notified();
            if !self.is_open.load(Ordering::SeqCst) {
                tokio::select! {
                    () = self.gate.notified() => {}
                    () = opened => {}
                }
            }
        }
        let text = if tool == "large" { "x".repeat(10_000) } else { format!("{tool} {count}") };
        let fails = tool == "fail";
        let mut reply = Reply::new(RawJson::from(
            json!({ "content": [{ "type": "text", "text": text }], "isError": fails }),
        ));
        reply.is_error = fails;
        Ok(reply)
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        let identity = json!({ "name": "upstream", "version": "1" });
        let capabilities = json!({ "tools": {} });
        Ok(Arc::new(ServerInfo::new(RawJson::from(identity), RawJson::from(capabilities))))
    }
}
