//! Serves a system's tools, prompts and resources.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use toolweir_core::{
    Call, Error, Instant, Kind, Method, Notification, RawJson, Reply, Server, ServerInfo,
};

use super::tool::{Answer, Arguments, Parameter, Tool};

/// Arguments larger than this are refused: what is kept in memory stays small.
const MAX_PARAMS: usize = 64 * 1024;

const INVALID_PARAMS: i64 = -32602;
const METHOD_NOT_FOUND: i64 = -32601;
const RESOURCE_NOT_FOUND: i64 = -32002;

/// A system's data and what can be done with it.
pub(super) trait System: Send + Sized + 'static {
    const KIND: &'static str;
    const INSTRUCTIONS: &'static str;
    const TOOLS: &'static [Tool<Self>];
    const PROMPTS: &'static [Prompt<Self>] = &[];
    const RESOURCES: &'static [Resource<Self>] = &[];

    /// The data before the first call.
    fn new() -> Self;
}

/// A prompt that is filled in from the data.
pub(super) struct Prompt<S> {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) write: fn(&S, &Arguments<'_>) -> Result<String, super::tool::Refusal>,
}

/// A part of the data that can be read as a text.
pub(super) struct Resource<S> {
    pub(super) uri: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) mime_type: &'static str,
    pub(super) read: fn(&S) -> String,
}

/// A [`System`] as a server.
pub(super) struct InMemory<S> {
    state: Mutex<S>,
    info: Arc<ServerInfo>,
    tools: RawJson,
}

impl<S: System> InMemory<S> {
    pub(super) fn new() -> Self {
        let mut capabilities = json!({"tools": {}});
        if !S::PROMPTS.is_empty() {
            capabilities["prompts"] = json!({});
        }
        if !S::RESOURCES.is_empty() {
            capabilities["resources"] = json!({});
        }
        let identity = json!({
            "name": format!("toolweir-demo-{}", S::KIND),
            "title": format!("{} (demonstration, in memory)", S::KIND),
            "version": env!("CARGO_PKG_VERSION"),
        });
        let mut info = ServerInfo::new(identity.into(), capabilities.into());
        info.instructions = Some(S::INSTRUCTIONS.to_owned());
        let tools: Vec<Value> = S::TOOLS.iter().map(Tool::listed).collect();
        Self {
            state: Mutex::new(S::new()),
            info: Arc::new(info),
            tools: json!({"tools": tools}).into(),
        }
    }

    /// Tools check before they change, so data behind a poisoned lock is still whole.
    fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call_tool(&self, call: &Call, params: &Map<String, Value>) -> Result<Reply, Error> {
        let name = target(call, params, "name")?;
        let tool = S::TOOLS
            .iter()
            .find(|tool| tool.name == name)
            .ok_or_else(|| protocol(INVALID_PARAMS, &format!("unknown tool: {name}")))?;
        if call.size() > MAX_PARAMS {
            return Ok(failed(&format!("the arguments are larger than {MAX_PARAMS} bytes")));
        }
        let given = arguments(params)?;
        let answer = Arguments::check(given, tool.parameters)
            .and_then(|arguments| (tool.run)(&mut self.state(), &arguments));
        match answer {
            Ok(answer) => {
                take_steps(call, params, &answer).await?;
                Ok(Reply::new(json!({"content": [{"type": "text", "text": answer.text}]}).into()))
            }
            Err(refusal) => Ok(failed(&refusal.0)),
        }
    }

    fn get_prompt(&self, call: &Call, params: &Map<String, Value>) -> Result<Reply, Error> {
        let name = target(call, params, "name")?;
        let prompt = S::PROMPTS
            .iter()
            .find(|prompt| prompt.name == name)
            .ok_or_else(|| protocol(INVALID_PARAMS, &format!("unknown prompt: {name}")))?;
        let text = Arguments::check(arguments(params)?, prompt.parameters)
            .and_then(|arguments| (prompt.write)(&self.state(), &arguments))
            .map_err(|refusal| protocol(INVALID_PARAMS, &refusal.0))?;
        Ok(Reply::new(
            json!({
                "description": prompt.description,
                "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
            })
            .into(),
        ))
    }

    fn read_resource(&self, call: &Call, params: &Map<String, Value>) -> Result<Reply, Error> {
        let uri = target(call, params, "uri")?;
        let resource = S::RESOURCES
            .iter()
            .find(|resource| resource.uri == uri)
            .ok_or_else(|| protocol(RESOURCE_NOT_FOUND, &format!("unknown resource: {uri}")))?;
        let text = (resource.read)(&self.state());
        Ok(Reply::new(
            json!({"contents": [{"uri": uri, "mimeType": resource.mime_type, "text": text}]})
                .into(),
        ))
    }
}

#[async_trait]
impl<S: System> Server for InMemory<S> {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let params: Map<String, Value> = match &call.params {
            Some(params) => params
                .get()
                .map_err(|_| protocol(INVALID_PARAMS, "the params must be an object"))?,
            None => Map::new(),
        };
        match call.method.as_str() {
            "ping" => Ok(Reply::new(RawJson::EMPTY_OBJECT)),
            "tools/call" => self.call_tool(call, &params).await,
            "tools/list" => one_page(&params, || self.tools.clone()),
            "prompts/list" if !S::PROMPTS.is_empty() => one_page(&params, prompts::<S>),
            "prompts/get" if !S::PROMPTS.is_empty() => self.get_prompt(call, &params),
            "resources/list" if !S::RESOURCES.is_empty() => one_page(&params, resources::<S>),
            "resources/templates/list" if !S::RESOURCES.is_empty() => {
                one_page(&params, || json!({"resourceTemplates": []}).into())
            }
            "resources/read" if !S::RESOURCES.is_empty() => self.read_resource(call, &params),
            other => Err(protocol(METHOD_NOT_FOUND, &format!("unknown method: {other}"))),
        }
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        Ok(self.info.clone())
    }
}

/// Takes the answer's time, and tells its steps where the caller asked for progress.
async fn take_steps(
    call: &Call,
    params: &Map<String, Value>,
    answer: &Answer,
) -> Result<(), Error> {
    let token = params.get("_meta").and_then(|meta| meta.get("progressToken"));
    let total = u32::try_from(answer.steps.len().max(1)).unwrap_or(u32::MAX);
    let pause = answer.takes / total;
    for done in 1..=total {
        if !pause.is_zero() {
            sleep_within(pause, call.deadline).await?;
        }
        let message = usize::try_from(done).ok().and_then(|done| answer.steps.get(done - 1));
        if let (Some(peer), Some(token), Some(message)) = (&call.peer, token, message) {
            let progress = json!({
                "progressToken": token, "progress": done, "total": total, "message": message,
            });
            peer.notify(Notification::new(Method::PROGRESS, Some(progress.into())));
        }
    }
    Ok(())
}

async fn sleep_within(time: Duration, deadline: Option<Instant>) -> Result<(), Error> {
    let sleep = tokio::time::sleep(time);
    let Some(deadline) = deadline else {
        sleep.await;
        return Ok(());
    };
    tokio::time::timeout_at(deadline.into_std().into(), sleep)
        .await
        .map_err(|_elapsed| Error::new(Kind::Timeout))
}

/// The name stands beside the params, where it may be another than in them.
fn target(call: &Call, params: &Map<String, Value>, member: &str) -> Result<String, Error> {
    let named = call.target.as_deref().or_else(|| params.get(member).and_then(Value::as_str));
    named
        .map(str::to_owned)
        .ok_or_else(|| protocol(INVALID_PARAMS, &format!("`{member}` is missing")))
}

fn arguments(params: &Map<String, Value>) -> Result<&Map<String, Value>, Error> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match params.get("arguments") {
        None => Ok(&NONE),
        Some(Value::Object(arguments)) => Ok(arguments),
        Some(_) => Err(protocol(INVALID_PARAMS, "`arguments` must be an object")),
    }
}

fn one_page(params: &Map<String, Value>, list: impl FnOnce() -> RawJson) -> Result<Reply, Error> {
    if params.contains_key("cursor") {
        return Err(protocol(INVALID_PARAMS, "unknown cursor: the list has one page"));
    }
    Ok(Reply::new(list()))
}

fn prompts<S: System>() -> RawJson {
    let argument = |parameter: &Parameter| {
        json!({
            "name": parameter.name,
            "description": parameter.description,
            "required": parameter.is_required,
        })
    };
    let listed = |prompt: &Prompt<S>| {
        let arguments: Vec<Value> = prompt.parameters.iter().map(argument).collect();
        json!({"name": prompt.name, "description": prompt.description, "arguments": arguments})
    };
    json!({"prompts": S::PROMPTS.iter().map(listed).collect::<Vec<_>>()}).into()
}

fn resources<S: System>() -> RawJson {
    let listed = |resource: &Resource<S>| {
        json!({
            "uri": resource.uri,
            "name": resource.name,
            "description": resource.description,
            "mimeType": resource.mime_type,
        })
    };
    json!({"resources": S::RESOURCES.iter().map(listed).collect::<Vec<_>>()}).into()
}

/// The tool's own failure: a result, not an error of the protocol.
fn failed(message: &str) -> Reply {
    let mut reply =
        Reply::new(json!({"content": [{"type": "text", "text": message}], "isError": true}).into());
    reply.is_error = true;
    reply
}

fn protocol(code: i64, message: &str) -> Error {
    Error::protocol(code, json!({"code": code, "message": message}).into())
        .message(message.to_owned())
}
