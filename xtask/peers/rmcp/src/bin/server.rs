//! The Rust SDK as a server, in both eras: `stdio`, or `http PORT`.
#![allow(deprecated, reason = "what 2026-07-28 deprecates is tried all the same")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
    CreateMessageRequestParams, ElicitRequestParams, Implementation, InputRequiredResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{Peer, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};

const URI: &str = "demo://resource/dynamic/text/1";

/// What all sessions share.
#[derive(Clone, Default)]
struct Server(Arc<Shared>, u64);

#[derive(Default)]
struct Shared {
    cancelled: AtomicU32,
    sessions: AtomicU64,
    watchers: Mutex<HashMap<u64, Peer<RoleServer>>>,
    updates: tokio::sync::Notify,
}

impl Server {
    fn session(&self) -> Self {
        Self(self.0.clone(), self.0.sessions.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

fn text(text: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResult::success(vec![ContentBlock::text(text.into())]).into())
}

fn tools() -> Value {
    let tool = |name: &str, properties: Value| json!({ "name": name, "inputSchema": { "type": "object", "properties": properties } });
    json!({ "resultType": "complete", "tools": [
        tool("echo", json!({ "message": { "type": "string" } })),
        tool("count-cancelled", json!({})),
        tool("trigger-long-running-operation", json!({ "duration": { "type": "number" }, "steps": { "type": "number" } })),
        tool("trigger-sampling-request", json!({ "prompt": { "type": "string" }, "maxTokens": { "type": "number" } })),
        tool("trigger-elicitation-request", json!({})),
        tool("toggle-subscriber-updates", json!({})),
    ] })
}

/// What a modern client is asked, until it has answered.
fn ask(
    request: &CallToolRequestParams,
    method: &str,
    params: Value,
) -> Result<CallToolResponse, ErrorData> {
    if let Some(answers) = &request.input_responses {
        return text(serde_json::to_string(answers).map_err(internal)?);
    }
    let asked = json!({
        "resultType": "input_required",
        "inputRequests": { "asked": { "method": method, "params": params } },
    });
    Ok(serde_json::from_value::<InputRequiredResult>(asked).map_err(internal)?.into())
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = json!({ "tools": {}, "resources": { "subscribe": true } });
        let capabilities =
            serde_json::from_value::<ServerCapabilities>(capabilities).unwrap_or_default();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("rmcp-server", "1.0.0"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        serde_json::from_value(tools()).map_err(internal)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        serde_json::from_value(
            json!({ "resultType": "complete", "resources": [{ "uri": URI, "name": "text" }] }),
        )
        .map_err(internal)
    }

    async fn read_resource(
        &self,
        _: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents =
            json!({ "resultType": "complete", "contents": [{ "uri": URI, "text": "one" }] });
        Ok(serde_json::from_value::<ReadResourceResult>(contents).map_err(internal)?.into())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let modern =
            context.protocol_version().is_some_and(|version| version.as_str() >= "2026-07-28");
        let argument = |name: &str| request.arguments.as_ref().and_then(|it| it.get(name)).cloned();
        let number = |name: &str| argument(name).and_then(|it| it.as_f64()).unwrap_or_default();
        match request.name.as_ref() {
            "echo" => {
                let message = argument("message").unwrap_or_default();
                text(format!("Echo: {}", message.as_str().unwrap_or_default()))
            }
            "count-cancelled" => text(self.0.cancelled.load(Ordering::SeqCst).to_string()),
            "trigger-long-running-operation" => {
                let (duration, steps) = (number("duration"), number("steps"));
                let mut step = 0.0;
                while step < steps {
                    step += 1.0;
                    tokio::select! {
                        () = context.ct.cancelled() => {
                            self.0.cancelled.fetch_add(1, Ordering::SeqCst);
                            return text("cancelled");
                        }
                        () = tokio::time::sleep(Duration::from_secs_f64(duration / steps)) => {}
                    }
                    if let Some(token) = context.meta.get_progress_token() {
                        let progress =
                            ProgressNotificationParam::new(token, step).with_total(steps);
                        let _ = context.peer.notify_progress(progress).await;
                    }
                }
                text("done")
            }
            "trigger-sampling-request" => {
                let params = json!({
                    "messages": [{ "role": "user", "content": { "type": "text", "text": argument("prompt") } }],
                    "maxTokens": number("maxTokens") as u32,
                });
                if modern {
                    return ask(&request, "sampling/createMessage", params);
                }
                let params: CreateMessageRequestParams =
                    serde_json::from_value(params).map_err(internal)?;
                let given = context.peer.create_message(params).await.map_err(internal)?;
                text(serde_json::to_string(&given).map_err(internal)?)
            }
            "trigger-elicitation-request" => {
                let schema =
                    json!({ "type": "object", "properties": { "name": { "type": "string" } } });
                let params =
                    json!({ "mode": "form", "message": "Who are you?", "requestedSchema": schema });
                if modern {
                    return ask(&request, "elicitation/create", params);
                }
                let params: ElicitRequestParams =
                    serde_json::from_value(params).map_err(internal)?;
                let given = context.peer.create_elicitation(params).await.map_err(internal)?;
                text(serde_json::to_string(&given).map_err(internal)?)
            }
            "toggle-subscriber-updates" => {
                let watchers = self.0.watchers.lock().map_err(internal)?.clone();
                for peer in watchers.into_values() {
                    let _ = peer
                        .notify_resource_updated(ResourceUpdatedNotificationParam::new(URI))
                        .await;
                }
                self.0.updates.notify_waiters();
                text("told")
            }
            other => Err(ErrorData::invalid_params(format!("there is no tool {other}"), None)),
        }
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.watchers.lock().map_err(internal)?.insert(self.1, context.peer);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.watchers.lock().map_err(internal)?.remove(&self.1);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, listening: SubscriptionContext) -> Result<(), ErrorData> {
        loop {
            tokio::select! {
                () = listening.cancelled() => return Ok(()),
                () = self.0.updates.notified() => {
                    if listening.sink().notify_resource_updated(URI).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = Server::default();
    if arguments.next().as_deref() != Some("http") {
        server.serve(rmcp::transport::stdio()).await?.waiting().await?;
        return Ok(());
    }
    let port: u16 = arguments.next().ok_or("the port is missing")?.parse()?;
    let factory = move || Ok(server.session());
    let service = StreamableHttpService::new(
        factory,
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = hyper_util::service::TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}
