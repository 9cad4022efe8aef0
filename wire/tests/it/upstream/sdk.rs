//! The Rust SDK on both ends, in this process: its handlers as servers of ours, ours as its handlers.
#![expect(deprecated, reason = "what 2026-07-28 deprecates is carried all the same")]

use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig,
    ContentBlock, CreateMessageRequestParams, CreateMessageResult, Implementation,
    InputRequiredResult, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
    ProtocolVersion, SamplingMessage, ServerCapabilities, ServerConfig, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, SubscriptionContext};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient, RoleServer,
    ServerHandler, ServiceExt,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use toolweir_core::{Client, Principal, ServerInfo};
use toolweir_wire::rmcp::{Relay, RmcpHandler, RmcpServer};

use super::*;
use crate::listen::server::Scripted;

const LEGACY: ClientLifecycleMode = ClientLifecycleMode::Initialize;

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

/// A server as the Rust SDK has them written; does what the tool's name says.
#[derive(Clone, Default)]
struct Handler {
    /// Calls of `hold` that were cancelled, and a way to wait for that.
    cancelled: Arc<AtomicUsize>,
    holding: Arc<Notify>,
    left: Arc<Notify>,
    update: Arc<Notify>,
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities: ServerCapabilities = serde_json::from_value(json!({
            "tools": { "listChanged": true }, "resources": { "subscribe": true }, "logging": {},
        }))
        .unwrap();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("handler", "1"))
            .with_instructions("be kind")
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text =
            |text: String| Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into());
        match request.name.as_ref() {
            "echo" => text(serde_json::to_string(&(&request.arguments, &context.meta.0)).unwrap()),
            "progress" => {
                let token = context.meta.get_progress_token().unwrap();
                for step in 1..=3 {
                    let progress = ProgressNotificationParam::new(token.clone(), f64::from(step));
                    context.peer.notify_progress(progress).await.unwrap();
                }
                text("done".into())
            }
            "log" => {
                let message = LoggingMessageNotificationParam::new(LoggingLevel::Error, json!("x"));
                context.peer.notify_logging_message(message).await.unwrap();
                text("logged".into())
            }
            "ask" => {
                let question = vec![SamplingMessage::user_text("who?")];
                let question = CreateMessageRequestParams::new(question, 10);
                match context.peer.create_message(question).await {
                    Ok(answer) => text(answer.model),
                    Err(error) => text(error.to_string()),
                }
            }
            "change" => {
                context.peer.notify_tool_list_changed().await.unwrap();
                text("changed".into())
            }
            "hold" => {
                self.holding.notify_one();
                context.ct.cancelled().await;
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                self.left.notify_one();
                text("too late".into())
            }
            "input" => match request.input_responses {
                None => {
                    let asked = json!({
                        "resultType": "input_required", "requestState": "s",
                        "inputRequests": { "a": { "method": "roots/list" } },
                    });
                    let asked: InputRequiredResult = serde_json::from_value(asked).unwrap();
                    Ok(asked.into())
                }
                Some(answers) => text(serde_json::to_string(&answers).unwrap()),
            },
            other => Err(ErrorData::new(
                rmcp::model::ErrorCode(-32077),
                format!("no {other}"),
                Some(json!({ "k": [1] })),
            )),
        }
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let update = rmcp::model::ResourceUpdatedNotificationParam::new(request.uri);
        context.peer.notify_resource_updated(update).await.unwrap();
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
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
                () = self.update.notified() => {
                    let _ = listening.sink().notify_tool_list_changed().await;
                    let _ = listening.sink().notify_resource_updated("test://a").await;
                }
            }
        }
    }
}

/// Answers questions as a client of the protocol does.
#[derive(Debug, Default)]
struct Answers(Caller);

#[async_trait]
impl Peer for Answers {
    fn notify(&self, notification: Notification) {
        self.0.notify(notification);
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        _: Instant,
    ) -> Result<RawJson, Error> {
        let params: Value = params.map_or(Value::Null, |params| params.get().unwrap());
        match method.as_str() {
            "sampling/createMessage" => {
                assert_eq!(params["messages"][0]["content"]["text"], "who?");
                let content = json!({ "type": "text", "text": "me" });
                Ok(json!({ "role": "assistant", "content": content, "model": "weir" }).into())
            }
            "roots/list" => Ok(json!({ "roots": [{ "uri": "file:///a", "name": "a" }] }).into()),
            _ => Err(Error::new(Kind::Cancelled)),
        }
    }
}

/// A call of a legacy client that can be asked anything.
fn asked(name: &str, arguments: Value) -> (Call, Arc<Answers>) {
    let caller = Arc::new(Answers::default());
    let mut client = Client::new(Principal::local());
    client.protocol_version = Some("2025-11-25".into());
    client.capabilities = json!({ "sampling": {}, "roots": {}, "elicitation": {} }).into();
    (tool(name, arguments).peer(caller.clone()).client(Arc::new(client)), caller)
}

fn with_token(call: &Call, token: Value) -> Call {
    let params = call.params.clone().unwrap();
    let meta = RawJson::from(json!({ "progressToken": token, "x": 1 }));
    let mut call = call.clone();
    call.params = Some(params.edit().set("_meta", &meta).finish().unwrap());
    call
}

async fn text(server: &RmcpServer, call: &Call) -> String {
    let reply = within(server.call(call)).await.unwrap();
    let result: Value = reply.result.get().unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn in_process(handler: Handler, lifecycle: ClientLifecycleMode) -> RmcpServer {
    within(RmcpServer::in_process("handler", handler, lifecycle)).await.unwrap()
}

#[tokio::test]
async fn a_handler_is_a_server_in_both_eras() {
    for (lifecycle, version) in [(LEGACY, "2025-11-25"), (modern(), "2026-07-28")] {
        let server = in_process(Handler::default(), lifecycle).await;
        let info: Arc<ServerInfo> = server.connect(soon()).await.unwrap();
        assert_eq!(&*info.protocol_version, version);
        assert_eq!(info.identity.get::<Value>().unwrap()["name"], "handler");
        assert_eq!(info.instructions.as_deref(), Some("be kind"));
        assert!(info.capabilities.member("tools").is_some());
        server.probe(soon()).await.unwrap();

        let (call, _) = asked("echo", json!({ "n": 1.5, "deep": { "x": [null] } }));
        let said = text(&server, &with_token(&call, json!("t"))).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said[0], json!({ "n": 1.5, "deep": { "x": [null] } }));
        assert_eq!(said[1]["x"], 1, "what stands in _meta beside the token: {said}");

        let error = within(server.call(&tool("gone", json!({})))).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol { code: -32077 });
        let object: Value = error.rpc().unwrap().get().unwrap();
        assert_eq!(object, json!({ "code": -32077, "message": "no gone", "data": { "k": [1] } }));
        server.close(soon()).await;
    }
}

#[tokio::test]
async fn progress_logs_and_questions_reach_the_caller() {
    let server = in_process(Handler::default(), LEGACY).await;
    let (call, caller) = asked("progress", json!({}));
    assert_eq!(text(&server, &with_token(&call, json!("mine"))).await, "done");
    let heard = caller.0.heard();
    let steps: Vec<_> = heard.iter().map(|(_, params)| params["progress"].as_f64()).collect();
    assert_eq!(steps, [Some(1.0), Some(2.0), Some(3.0)]);
    assert!(heard.iter().all(|(_, params)| params["progressToken"] == "mine"), "{heard:?}");

    let (call, caller) = asked("log", json!({}));
    assert_eq!(text(&server, &call).await, "logged");
    assert_eq!(caller.0.heard()[0].0, "notifications/message");

    let (call, _) = asked("ask", json!({}));
    assert_eq!(text(&server, &call).await, "weir");
    // Two clients have calls in flight: it is never guessed whose question it is.
    let (held, _) = asked("hold", json!({}));
    let holding = tokio::spawn({
        let server = server.clone();
        async move { server.call(&held).await }
    });
    let refused = text(&server, &asked("ask", json!({})).0).await;
    assert!(refused.contains("it cannot be told which client's call"), "{refused}");
    holding.abort();
}

#[tokio::test]
async fn a_modern_handler_asks_a_legacy_caller() {
    let server = in_process(Handler::default(), modern()).await;
    let (call, _) = asked("input", json!({}));
    assert!(text(&server, &call).await.contains("file:///a"));
}

#[tokio::test]
async fn what_a_handler_says_unasked_reaches_subscribers() {
    let server = in_process(Handler::default(), LEGACY).await;
    let listener = Listener::at(&server);
    text(&server, &tool("change", json!({}))).await;
    listener.hears("notifications/tools/list_changed", 1).await;
    let watch = Call::new(Method::RESOURCES_SUBSCRIBE, Some(json!({ "uri": "test://a" }).into()));
    within(server.call(&watch.clone().target("test://a"))).await.unwrap();
    listener.hears("notifications/resources/updated", 1).await;

    let handler = Handler::default();
    let server = in_process(handler.clone(), modern()).await;
    let listener = Listener::at(&server);
    handler.update.notify_one();
    listener.hears("notifications/tools/list_changed", 1).await;
    within(server.call(&watch.target("test://a"))).await.unwrap();
    within(async {
        while !listener.heard().iter().any(|text| text == "notifications/resources/updated") {
            handler.update.notify_one(); // until the stream has been opened anew with the wish
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Writes down the params of what a server says without being asked.
#[derive(Default)]
struct Params(Mutex<Vec<Value>>);

impl Subscriber for Params {
    fn on_message(&self, message: ServerMessage) {
        if let ServerMessage::Notification(Notification { params: Some(params), .. }) = message {
            self.0.lock().unwrap().push(params.get().unwrap());
        }
    }
}

/// rmcp hands a notification's `_meta` over in another place than a request's, where nobody looked: it was dropped, and so
/// was the name of the subscription that a server acknowledged.
#[tokio::test(start_paused = true)]
async fn the_meta_of_a_handlers_notification_is_read() {
    let handler = Handler::default();
    let server = in_process(handler.clone(), modern()).await;
    let params = Arc::new(Params::default());
    let subscriber: Arc<dyn Subscriber> = params.clone();
    server.subscribe(Arc::downgrade(&subscriber));
    let before = tokio::time::Instant::now();
    let watch = Call::new(Method::RESOURCES_SUBSCRIBE, Some(json!({ "uri": "test://a" }).into()));
    within(server.call(&watch.target("test://a"))).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "it is not known to be acknowledged");
    tokio::time::sleep(Duration::from_secs(1)).await; // the stream before it has ended
    handler.update.notify_one();
    within(async {
        while params.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let told = params.0.lock().unwrap().pop().unwrap();
    assert_eq!(told, json!({ "uri": "test://a" }), "the name is our stream's, and goes no further");
}

#[tokio::test]
async fn leaving_and_the_deadline_cancel_at_the_handler() {
    let handler = Handler::default();
    let server = in_process(handler.clone(), LEGACY).await;
    let call = tool("hold", json!({}));
    let holding = tokio::spawn({
        let (server, call) = (server.clone(), call.clone());
        async move { server.call(&call).await }
    });
    within(handler.holding.notified()).await;
    holding.abort();
    within(handler.left.notified()).await;

    tokio::time::pause();
    let call = call.deadline(TokioClock.now() + Duration::from_secs(5));
    let error = server.call(&call).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, false));
    within(handler.left.notified()).await;
    assert_eq!(handler.cancelled.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_end_of_a_connection_tells_how_far_calls_came() {
    let (ours, theirs) = tokio::io::duplex(65_536);
    // Answers the handshake, takes one call, and is gone.
    let peer = tokio::spawn(async move {
        let mut theirs = tokio::io::BufReader::new(theirs);
        loop {
            let mut line = String::new();
            theirs.read_line(&mut line).await.unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["method"] == "initialize" {
                let result = json!({
                    "protocolVersion": "2025-11-25", "capabilities": {},
                    "serverInfo": { "name": "peer", "version": "1" },
                });
                let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
                theirs.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            } else if message["method"] == "tools/call" {
                return;
            }
        }
    });
    let service: RunningService<RoleClient, Relay> =
        within(Relay::new().serve(ours)).await.unwrap();
    let server = RmcpServer::new("handler", service);
    let listener = Listener::at(&server);
    let error = within(server.call(&tool("hold", json!({})))).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
    within(peer).await.unwrap();
    listener.hears("disconnected", 1).await;
    let error = within(server.call(&tool("echo", json!({})))).await.unwrap_err();
    assert!(error.is_unsent(), "{error}");
    assert_eq!(server.connect(soon()).await.unwrap_err().kind(), Kind::Unreachable);
    within(server.close(soon())).await;
    let error = within(server.call(&tool("echo", json!({})))).await.unwrap_err();
    assert!(error.is_unsent(), "{error}");
}

#[tokio::test]
async fn a_service_with_a_handler_of_its_own_carries_calls() {
    let (ours, theirs) = tokio::io::duplex(65_536);
    let serving =
        tokio::spawn(
            async move { Handler::default().serve(theirs).await.unwrap().waiting().await },
        );
    let service = within(().serve(ours)).await.unwrap();
    let server = RmcpServer::calls_only("handler", service);
    assert!(text(&server, &tool("echo", json!({ "a": 1 }))).await.contains(r#""a":1"#));
    within(server.close(soon())).await;
    within(serving).await.unwrap().unwrap();
}

/// A client as the Rust SDK has them written.
#[derive(Clone, Default)]
struct SdkClient {
    heard: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
}

impl SdkClient {
    async fn hears(&self, wanted: &str) {
        within(async {
            loop {
                let changed = self.changed.notified();
                if self.heard.lock().unwrap().iter().any(|text| text == wanted) {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    fn hear(&self, text: String) {
        self.heard.lock().unwrap().push(text);
        self.changed.notify_waiters();
    }
}

impl ClientHandler for SdkClient {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_sampling().build();
        ClientConfig::new(capabilities, Implementation::new("sdk", "1"))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let message = SamplingMessage::assistant_text("me");
        Ok(CreateMessageResult::new(message, "weir".into()))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.hear(format!("progress {}", params.progress));
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.hear("changed".into());
    }

    async fn on_resource_updated(
        &self,
        params: rmcp::model::ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.hear(format!("updated {}", params.uri));
    }
}

/// An SDK client of the scripted server, through the adapter.
async fn through(
    server: &Arc<Scripted>,
    client: SdkClient,
    lifecycle: ClientLifecycleMode,
) -> (RunningService<RoleClient, SdkClient>, tokio::task::JoinHandle<()>) {
    let handler = within(RmcpHandler::connect(server.clone())).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(65_536);
    let serving = tokio::spawn(async move {
        let _ = handler.serve(theirs).await.unwrap().waiting().await;
    });
    (within(client.serve_with_lifecycle(ours, lifecycle)).await.unwrap(), serving)
}

fn params(name: &str, arguments: Value) -> CallToolRequestParams {
    let arguments = arguments.as_object().unwrap().clone();
    CallToolRequestParams::new(name.to_owned()).with_arguments(arguments)
}

/// What the client got, whole: rmcp's models leave out what they do not know.
async fn raw(
    client: &RunningService<RoleClient, SdkClient>,
    name: &str,
    arguments: Value,
) -> Result<Value, rmcp::ServiceError> {
    let request = rmcp::model::CallToolRequest::new(params(name, arguments));
    let result = within(client.send_request(request.into())).await?;
    Ok(serde_json::to_value(&result).unwrap())
}

#[tokio::test]
async fn a_server_is_a_handler_in_both_eras() {
    for lifecycle in [LEGACY, modern()] {
        let (server, client) = (Scripted::new(), SdkClient::default());
        server
            .tools
            .lock()
            .unwrap()
            .push(json!({ "name": "echo", "inputSchema": { "type": "object" } }));
        let (running, serving) = through(&server, client.clone(), lifecycle.clone()).await;
        let info = running.peer_info().unwrap();
        assert_eq!(info.server_info.as_ref().unwrap().name, "scripted");
        assert_eq!(info.instructions.as_deref(), Some("be kind"));
        assert_eq!(within(running.list_all_tools()).await.unwrap()[0].name, "echo");
        let content =
            json!({ "content": [{ "type": "text", "text": "a" }], "_meta": { "k": 1.5 } });
        let said = raw(&running, "echo", content).await.unwrap();
        assert_eq!((&said["content"][0]["text"], &said["_meta"]["k"]), (&json!("a"), &json!(1.5)));
        if lifecycle == LEGACY {
            let who = raw(&running, "who", json!({})).await.unwrap();
            assert_eq!(
                (&who["version"], &who["info"]["name"]),
                (&json!("2025-11-25"), &json!("sdk"))
            );
        }
        match raw(&running, "fail", json!({ "code": -31_999 })).await.unwrap_err() {
            rmcp::ServiceError::McpError(error) => {
                assert_eq!((error.code.0, error.data), (-31_999, Some(json!({ "k": [1] }))));
            }
            other => panic!("{other:?}"),
        }
        raw(&running, "burst", json!({ "count": 20 })).await.unwrap();
        client.hears("progress 19").await;
        let heard = client.heard.lock().unwrap().clone();
        assert_eq!(heard, (0..20).map(|n| format!("progress {n}")).collect::<Vec<_>>());
        within(running.cancel()).await.unwrap();
        within(serving).await.unwrap();
    }
}

#[tokio::test]
async fn a_servers_questions_and_changes_reach_an_sdk_client() {
    let (server, client) = (Scripted::new(), SdkClient::default());
    let (running, _serving) = through(&server, client.clone(), LEGACY).await;
    let question = json!({ "method": "ping" });
    assert!(raw(&running, "ask", question).await.is_ok());
    let questions = json!({ "rounds": [[{ "method": "sampling/createMessage",
        "params": { "messages": [], "maxTokens": 1 } }, { "method": "roots/list" }]] });
    // The result has no shape that rmcp knows, so its model keeps nothing of it; what was answered is what counts.
    let call = running.send_request(rmcp::model::ClientRequest::CustomRequest(
        rmcp::model::CustomRequest::new(
            "tools/call",
            Some(json!({ "name": "interview", "arguments": questions })),
        ),
    ));
    let said = format!("{:?}", within(call).await.unwrap());
    assert!(said.contains("weir") && said.contains("did not declare `roots`"), "{said}");

    server.say(Method::TOOLS_CHANGED, None);
    client.hears("changed").await;
    let watch = SubscribeRequestParams::new("test://a");
    within(running.subscribe(watch)).await.unwrap();
    server.say(Method::RESOURCE_UPDATED, Some(json!({ "uri": "test://b" })));
    server.say(Method::RESOURCE_UPDATED, Some(json!({ "uri": "test://a" })));
    client.hears("updated test://a").await;
    assert!(!client.heard.lock().unwrap().iter().any(|text| text == "updated test://b"));
    // Its subscription is given up once it has gone.
    within(running.cancel()).await.unwrap();
    server.has_seen("resources/unsubscribe", Some("test://a")).await;
}

#[tokio::test]
async fn a_modern_sdk_client_listens() {
    let (server, client) = (Scripted::new(), SdkClient::default());
    let (running, _serving) = through(&server, client, modern()).await;
    let filter = SubscriptionFilter::builder()
        .tools_list_changed()
        .resource_subscriptions(vec!["test://a".to_owned()])
        .build();
    let mut stream = within(running.listen(filter)).await.unwrap();
    server.has_seen("resources/subscribe", Some("test://a")).await;
    server.say(Method::RESOURCE_UPDATED, Some(json!({ "uri": "test://b" })));
    server.say(Method::TOOLS_CHANGED, None);
    let first = format!("{:?}", within(stream.next()).await.unwrap());
    assert!(first.contains("ToolListChanged"), "{first}");
    drop(stream);
    server.has_seen("resources/unsubscribe", Some("test://a")).await;
}

#[tokio::test(start_paused = true)] // rmcp waits for 5 s for what runs when a connection ends
async fn an_sdk_client_that_cancels_drops_the_call() {
    let server = Scripted::new();
    let (running, _serving) = through(&server, SdkClient::default(), LEGACY).await;
    let request = rmcp::model::CallToolRequest::new(params("hold", json!({})));
    let options = rmcp::service::PeerRequestOptions::no_options();
    let handle = within(running.send_cancellable_request(request.into(), options)).await.unwrap();
    server.holds(1).await;
    within(handle.cancel(None)).await.unwrap();
    server.holds(0).await;
    // And one whose connection ends.
    let request = rmcp::model::CallToolRequest::new(params("hold", json!({})));
    let options = rmcp::service::PeerRequestOptions::no_options();
    let _handle = within(running.send_cancellable_request(request.into(), options)).await.unwrap();
    server.holds(1).await;
    within(running.cancel()).await.unwrap();
    server.holds(0).await;
}

/// There and back again: every member that rmcp has no model for is there, as are the numbers' values.
#[tokio::test]
async fn values_survive_both_adapters() {
    let scripted = Scripted::new();
    let handler = within(RmcpHandler::connect(scripted.clone())).await.unwrap();
    let server = within(RmcpServer::in_process("both", handler, LEGACY)).await.unwrap();
    let arguments = json!({
        "content": [{ "type": "text", "text": "\u{2028}" }], "isError": false,
        "structuredContent": { "n": 1e22, "deep": [[{}, null]], "big": 9_007_199_254_740_993_u64 },
        "_meta": { "vendor/x": { "y": [1] } },
    });
    let reply = within(server.call(&tool("echo", arguments.clone()))).await.unwrap();
    assert_eq!(reply.result.get::<Value>().unwrap(), arguments);
    assert_eq!(reply.server.as_deref(), Some("both"));
}
