//! A server that does what the test says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use toolweir::core::{
    Call, Error, Instant, Kind, Method, Notification, RawJson, Reply, Scope, Server, ServerInfo,
    ServerMessage, Subscriber,
};

/// What it does with a tool's call.
#[derive(Clone)]
pub(crate) enum Does {
    Answer,
    ToolError,
    /// Takes a moment, and gives back what the call carries under `mine` in its `_meta`.
    Echo,
    Fail(Error),
    Hang,
    Panic,
    Give(Box<Reply>),
    Take(Duration),
    Progress {
        every: Duration,
        times: u32,
    },
    /// Asks the caller something first.
    Ask,
}

impl Does {
    async fn run(self) -> Result<(), Error> {
        match self {
            Self::Answer
            | Self::ToolError
            | Self::Echo
            | Self::Give(_)
            | Self::Progress { .. }
            | Self::Ask => Ok(()),
            Self::Fail(error) => Err(error),
            Self::Hang => std::future::pending().await,
            Self::Panic => panic!("as told"),
            Self::Take(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

pub(crate) struct Scripted {
    name: &'static str,
    tools: Mutex<Vec<serde_json::Value>>,
    does: Mutex<Does>,
    /// What it does with the calls of single tools instead.
    pub(crate) tool_does: Mutex<HashMap<&'static str, Does>>,
    down: AtomicBool,
    /// What it does with a list, a probe, and with what concerns subscriptions and log levels.
    pub(crate) lists: Mutex<Does>,
    /// How long its list of tools holds, and who may share it.
    pub(crate) holds: Mutex<(Option<Duration>, Scope)>,
    pub(crate) probes: Mutex<Does>,
    pub(crate) tells: Mutex<Does>,
    told: Mutex<Vec<String>>,
    pub(crate) capabilities: Mutex<serde_json::Value>,
    pub(crate) connecting: Mutex<Duration>,
    pub(crate) calls: AtomicUsize,
    pub(crate) connects: AtomicUsize,
    pub(crate) dropped: Arc<AtomicUsize>,
    seen: Mutex<Vec<String>>,
    /// The params of the last tool's call that it got.
    pub(crate) params: Mutex<Option<RawJson>>,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
}

impl Scripted {
    pub(crate) fn new(name: &'static str, tools: &[&str]) -> Arc<Self> {
        Self::with(name, tools.iter().map(|tool| json!({ "name": tool, "annotations": { "readOnlyHint": tool.starts_with("read") } })).collect())
    }

    /// One that lists these tools.
    pub(crate) fn with(name: &'static str, tools: Vec<serde_json::Value>) -> Arc<Self> {
        Arc::new(Self {
            name,
            tools: Mutex::new(tools),
            does: Mutex::new(Does::Answer),
            tool_does: Mutex::default(),
            down: AtomicBool::new(false),
            lists: Mutex::new(Does::Answer),
            holds: Mutex::default(),
            probes: Mutex::new(Does::Answer),
            tells: Mutex::new(Does::Answer),
            told: Mutex::default(),
            capabilities: Mutex::new(json!({ "tools": {} })),
            connecting: Mutex::default(),
            calls: AtomicUsize::new(0),
            connects: AtomicUsize::new(0),
            dropped: Arc::default(),
            seen: Mutex::default(),
            params: Mutex::default(),
            subscribers: Mutex::default(),
        })
    }

    pub(crate) fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub(crate) fn fails(&self, kind: Kind) {
        self.does(Does::Fail(Error::new(kind)));
    }

    /// Whether it can be connected to and listed.
    pub(crate) fn down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
        if down {
            self.tell(&ServerMessage::Disconnected(Error::new(Kind::Disconnected)));
        }
    }

    /// The arguments of the last tool's call that it got; `null` where there were none.
    pub(crate) fn arguments(&self) -> serde_json::Value {
        let params = self.params.lock().unwrap().clone();
        params.unwrap().get::<serde_json::Value>().unwrap()["arguments"].take()
    }

    /// Has other tools from now on, and tells nobody.
    pub(crate) fn becomes(&self, tools: &[&str]) {
        *self.tools.lock().unwrap() = tools.iter().map(|tool| json!({ "name": tool })).collect();
    }

    pub(crate) fn set_tools(&self, tools: &[&str]) {
        self.becomes(tools);
        self.tell(&ServerMessage::Notification(Notification::new(Method::TOOLS_CHANGED, None)));
    }

    pub(crate) fn tell(&self, message: &ServerMessage) {
        let subscribers = self.subscribers.lock().unwrap().clone();
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.on_message(message.clone());
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The targets of the tools' calls that it got.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// What it was told of subscriptions and log levels, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn unreachable() -> Error {
        Error::new(Kind::Unreachable)
    }
}

/// Counts a call that was dropped before its end.
struct Running(Option<Arc<AtomicUsize>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl Server for Scripted {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Self::unreachable());
        }
        if call.method == Method::TOOLS_LIST {
            let lists = self.lists.lock().unwrap().clone();
            lists.run().await?;
            let tools = self.tools.lock().unwrap().clone();
            let mut page = Reply::new(RawJson::from(json!({ "tools": tools })));
            (page.ttl, page.scope) = *self.holds.lock().unwrap();
            return Ok(page);
        }
        if let "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" =
            call.method.as_str()
        {
            let level = call.params.as_ref().and_then(|params| params.member("level"));
            let level = level.and_then(|level| level.get::<String>().ok());
            let what = call.target.as_deref().map(str::to_owned).or(level).unwrap_or_default();
            self.told.lock().unwrap().push(format!("{} {what}", call.method));
            let tells = self.tells.lock().unwrap().clone();
            return tells.run().await.map(|()| Reply::new(RawJson::EMPTY_OBJECT));
        }
        let count = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.lock().unwrap().push(call.target.as_deref().unwrap_or_default().to_owned());
        self.params.lock().unwrap().clone_from(&call.params);
        let mut running = Running(Some(self.dropped.clone()));
        let own =
            self.tool_does.lock().unwrap().get(call.target.as_deref().unwrap_or_default()).cloned();
        let does = own.unwrap_or_else(|| self.does.lock().unwrap().clone());
        let mut reply = Reply::new(RawJson::from(
            json!({ "content": [{ "type": "text", "text": format!("{} {count}", self.name) }] }),
        ));
        reply.server = Some(self.name.into());
        let result = match does {
            Does::Answer => Ok(reply),
            Does::ToolError => {
                reply.is_error = true;
                Ok(reply)
            }
            Does::Echo => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let params = call.params.as_ref().unwrap();
                let mine = params.member("_meta").unwrap().to_json();
                let mine = mine.member("mine").unwrap().to_json();
                reply.result = RawJson::from(json!({ "content": [], "mine": mine }));
                Ok(reply)
            }
            Does::Fail(error) => Err(error),
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("as told"),
            Does::Give(reply) => Ok(*reply),
            Does::Take(time) => {
                tokio::time::sleep(time).await;
                Ok(reply)
            }
            Does::Progress { every, times } => {
                for _ in 0..times {
                    tokio::time::sleep(every).await;
                    call.peer.as_ref().unwrap().notify(Notification::new(Method::PROGRESS, None));
                }
                Ok(reply)
            }
            Does::Ask => {
                let far = Instant::FAR_FUTURE;
                call.peer.as_ref().unwrap().request(Method::ELICITATION, None, far).await?;
                Ok(reply)
            }
        };
        running.0 = None;
        result
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        let time = *self.connecting.lock().unwrap();
        tokio::time::sleep(time).await;
        if self.down.load(Ordering::SeqCst) {
            return Err(Self::unreachable());
        }
        let capabilities = self.capabilities.lock().unwrap().clone();
        let identity = RawJson::from(json!({ "name": self.name, "version": "0" }));
        Ok(Arc::new(ServerInfo::new(identity, RawJson::from(capabilities))))
    }

    async fn probe(&self, _: Instant) -> Result<(), Error> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Self::unreachable());
        }
        let probes = self.probes.lock().unwrap().clone();
        probes.run().await
    }

    async fn notify(&self, notification: Notification) {
        let tells = self.tells.lock().unwrap().clone();
        if tells.run().await.is_ok() {
            self.told.lock().unwrap().push(notification.method.to_string());
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.lock().unwrap().push(subscriber);
    }
}
