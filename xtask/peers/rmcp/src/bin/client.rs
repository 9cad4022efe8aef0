//! The Rust SDK as a client: era, prefix of tools, steps, and `http URL` or `stdio COMMAND…` in; one line of JSON out.
#![allow(deprecated, reason = "what 2026-07-28 deprecates is tried all the same")]

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientCapabilities, ClientConfig,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
    Implementation, ProgressNotificationParam, ProtocolVersion, ResourceUpdatedNotificationParam,
    SamplingMessage, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

const URI: &str = "demo://resource/dynamic/text/1";
const PATIENCE: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;
type Running = RunningService<RoleClient, Handler>;

/// What the server lacks, so that nothing can be tried.
#[derive(Debug)]
struct Absent(String);

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server has no tool `{}`", self.0)
    }
}

impl Error for Absent {}

#[derive(Clone, Default)]
struct Handler {
    progress: Arc<Mutex<Vec<f64>>>,
    progressed: Arc<Notify>,
    updated: Arc<Notify>,
}

impl Handler {
    /// Waits until there is progress since that was last cleared.
    async fn first_progress(&self) {
        while self.progress.lock().expect("no holder panics").is_empty() {
            self.progressed.notified().await;
        }
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities =
            ClientCapabilities::builder().enable_sampling().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("rmcp-client", "1.0.0"))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let message = SamplingMessage::assistant_text("sampled by the client");
        Ok(CreateMessageResult::new(message, "weir".into()))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let given = json!({ "action": "accept", "content": { "name": "a weir" } });
        serde_json::from_value(given)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.progress.lock().expect("no holder panics").push(params.progress);
        self.progressed.notify_one();
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        if params.uri == URI {
            self.updated.notify_one();
        }
    }
}

struct Client {
    running: Running,
    handler: Handler,
    modern: bool,
    prefix: String,
    tools: Vec<String>,
    text: String,
}

impl Client {
    fn tool(&self, name: &str) -> Result<String, Failure> {
        let full = format!("{}{name}", self.prefix);
        if self.tools.contains(&full) { Ok(full) } else { Err(Absent(name.to_owned()).into()) }
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<String, Failure> {
        let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
        let params = CallToolRequestParams::new(self.tool(name)?).with_arguments(arguments);
        let result = serde_json::to_value(&self.running.call_tool(params).await?)?;
        let texts = result["content"].as_array().into_iter().flatten();
        Ok(texts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" "))
    }

    async fn step(&mut self, name: &str) -> Result<(), Failure> {
        match name {
            "list" => {
                // A gateway that has just been started lists what is there by then, and tells when there is more.
                while self.tools.is_empty() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let tools = self.running.list_all_tools().await?;
                    self.tools = tools.iter().map(|tool| tool.name.to_string()).collect();
                }
                if self.tools.is_empty() { Err("no tools".into()) } else { Ok(()) }
            }
            "call" => {
                self.text = self.call("echo", json!({ "message": "from rust" })).await?;
                expect(&self.text, "from rust")
            }
            "progress" => {
                self.handler.progress.lock().expect("no holder panics").clear();
                self.call("trigger-long-running-operation", json!({ "duration": 0.4, "steps": 4 }))
                    .await?;
                let seen = self.handler.progress.lock().expect("no holder panics").clone();
                if seen == [1.0, 2.0, 3.0, 4.0] {
                    Ok(())
                } else {
                    Err(format!("progress {seen:?}").into())
                }
            }
            "cancel" => self.cancel().await,
            "sampling" => {
                let arguments = json!({ "prompt": "who?", "maxTokens": 10 });
                expect(
                    &self.call("trigger-sampling-request", arguments).await?,
                    "sampled by the client",
                )
            }
            "elicitation" => {
                expect(&self.call("trigger-elicitation-request", json!({})).await?, "a weir")
            }
            "subscribe" => self.subscribe().await,
            other => Err(format!("there is no step {other}").into()),
        }
    }

    async fn cancel(&self) -> Result<(), Failure> {
        let count = async || -> Result<u32, Failure> {
            Ok(self.call("count-cancelled", json!({})).await?.parse()?)
        };
        let before = count().await?;
        let arguments =
            json!({ "duration": 20, "steps": 100 }).as_object().cloned().unwrap_or_default();
        let tool = self.tool("trigger-long-running-operation")?;
        let request =
            CallToolRequest::new(CallToolRequestParams::new(tool).with_arguments(arguments));
        let options = PeerRequestOptions::no_options();
        self.handler.progress.lock().expect("no holder panics").clear();
        let handle = self.running.send_cancellable_request(request.into(), options).await?;
        self.handler.first_progress().await;
        handle.cancel(Some("no longer wanted".to_owned())).await?;
        while count().await? <= before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<(), Failure> {
        self.tool("toggle-subscriber-updates")?;
        if self.modern {
            let filter =
                SubscriptionFilter::builder().resource_subscriptions(vec![URI.to_owned()]).build();
            let mut listening = self.running.listen(filter).await?;
            self.call("toggle-subscriber-updates", json!({})).await?;
            let told = format!("{:?}", listening.next().await?);
            return expect(&told, URI);
        }
        self.running.subscribe(SubscribeRequestParams::new(URI)).await?;
        self.call("toggle-subscriber-updates", json!({})).await?;
        self.handler.updated.notified().await;
        self.call("toggle-subscriber-updates", json!({})).await?;
        Ok(self.running.unsubscribe(UnsubscribeRequestParams::new(URI)).await?)
    }
}

fn expect(seen: &str, part: &str) -> Result<(), Failure> {
    if seen.contains(part) {
        Ok(())
    } else {
        Err(format!("{part:?} does not stand in {seen:?}").into())
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs()).into()),
    }
}

fn outcome(done: &Result<(), Failure>) -> Value {
    match done {
        Ok(()) => json!({ "is": "ok" }),
        Err(error) => {
            let is = if error.is::<Absent>() { "absent" } else { "failed" };
            json!({ "is": is, "detail": error.to_string() })
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("{what} is missing"));
    let (era, prefix, steps) = (next("the era")?, next("the prefix")?, next("the steps")?);
    let (way, target) = (next("the way")?, next("the target")?);
    let modern = era != "legacy";
    let mode = match modern {
        false => ClientLifecycleMode::Initialize,
        true => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
    };
    let handler = Handler::default();
    let connect = async {
        Ok(match way.as_str() {
            "http" => {
                let transport = StreamableHttpClientTransport::from_uri(target);
                handler.clone().serve_with_lifecycle(transport, mode).await?
            }
            _ => {
                let mut command = tokio::process::Command::new(target);
                command.args(arguments);
                let (transport, _) = TokioChildProcess::builder(command)
                    .stderr(std::process::Stdio::null())
                    .spawn()?;
                handler.clone().serve_with_lifecycle(transport, mode).await?
            }
        })
    };
    let mut said = json!({ "steps": {} });
    match within(connect).await {
        Err(error) => said["steps"]["initialise"] = outcome(&Err(error)),
        Ok(running) => {
            said["steps"]["initialise"] = outcome(&Ok(()));
            let info = running.peer_info().ok_or("the server has not said who it is")?;
            let mut client =
                Client { running, handler, modern, prefix, tools: Vec::new(), text: String::new() };
            for step in steps.split(',').filter(|step| *step != "initialise") {
                said["steps"][step] = outcome(&within(client.step(step)).await);
            }
            said["server"] = serde_json::to_value(&*info)?["serverInfo"]["name"].take();
            said["version"] = serde_json::to_value(&info.protocol_version)?;
            said["tools"] = client.tools.clone().into();
            said["text"] = client.text.clone().into();
            let _ = tokio::time::timeout(Duration::from_secs(2), client.running.cancel()).await;
        }
    }
    println!("{said}");
    Ok(())
}
