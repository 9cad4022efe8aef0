//! The server: one `match` over the methods.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde_json::{Value, json};
use toolweir_core::{Call, Error, Instant, Kind, RawJson, Reply, Server, ServerInfo, Subscriber};

use crate::changes::Changes;
use crate::state::Seal;
use crate::tasks::Tasks;
use crate::{prompts, resources, tools};

/// All that the suite asks for.
pub(crate) struct Fixture {
    pub(crate) changes: Arc<Changes>,
    pub(crate) tasks: Tasks,
    pub(crate) seal: Seal,
    info: Arc<ServerInfo>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let identity = json!({
            "name": "toolweir-conformance",
            "title": "Conformance fixture",
            "version": env!("CARGO_PKG_VERSION"),
        });
        let capabilities = json!({
            "completions": {},
            "logging": {},
            "prompts": { "listChanged": true },
            "resources": { "subscribe": true, "listChanged": true },
            "tools": { "listChanged": true },
            // Of 2025-11-25, and since 2026-07-28: clients see the one of their era.
            "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } },
            "extensions": { "io.modelcontextprotocol/tasks": {} },
        });
        let mut info = ServerInfo::new(RawJson::from(identity), RawJson::from(capabilities));
        info.instructions = Some("Offers what the MCP conformance suite calls.".to_owned());
        Self {
            changes: Arc::default(),
            tasks: Tasks::default(),
            seal: Seal::default(),
            info: Arc::new(info),
        }
    }

    /// A list that fits one page.
    fn page(call: &Call, name: &str, items: Value) -> Result<Reply, Error> {
        let cursor = call.params.as_ref().and_then(|params| params.member("cursor"));
        if cursor.is_some() {
            return Err(Error::new(Kind::InvalidRequest).message("there is no such page"));
        }
        Ok(reply(json!({ name: items, "ttlMs": 0, "cacheScope": "public" })))
    }
}

#[async_trait]
impl Server for Fixture {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        match call.method.as_str() {
            "tools/list" => Self::page(call, "tools", tools::list(&self.changes)),
            "tools/call" => tools::call(self, call).await,
            "prompts/list" => Self::page(call, "prompts", prompts::list(&self.changes)),
            "prompts/get" => prompts::get(call).await,
            "resources/list" => Self::page(call, "resources", resources::list()),
            "resources/templates/list" => {
                Self::page(call, "resourceTemplates", resources::templates())
            }
            "resources/read" => resources::read(call),
            "resources/subscribe" => resources::subscribe(&self.changes, call),
            "resources/unsubscribe" => resources::unsubscribe(&self.changes, call),
            "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" | "tasks/list" => {
                self.tasks.answer(call).await
            }
            "completion/complete" => Ok(prompts::complete(call)),
            "logging/setLevel" => Ok(reply(json!({}))), // the listener keeps to it
            _ => Err(Kind::NotFound.into()),
        }
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        Ok(self.info.clone())
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.changes.subscribe(subscriber);
    }
}

/// A success.
pub(crate) fn reply(result: Value) -> Reply {
    Reply::new(RawJson::from(result))
}

/// A JSON-RPC error of the server's own.
pub(crate) fn refuse(code: i64, message: &'static str, data: Value) -> Error {
    let object = json!({ "code": code, "message": message, "data": data });
    Error::protocol(code, RawJson::from(object))
}

/// An argument of a tool or prompt, as text; empty where it is missing.
pub(crate) fn argument(call: &Call, name: &str) -> String {
    let arguments = call.params.as_ref().and_then(|params| params.member("arguments"));
    let argument = arguments.and_then(|arguments| arguments.to_json().member(name)?.get().ok());
    argument.unwrap_or_default()
}
