//! The side that faces servers.

mod calls;
mod eras;
mod faults;
mod hostile;
mod http;
mod life;
mod linear;
mod over;

mod resume;
#[cfg(feature = "rmcp")]
mod sdk;
mod shake;
mod sse;
mod streams;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;
use toolweir_core::{
    Call, Clock, Error, Instant, Kind, Method, Notification, Peer, RawJson, Reply, Server,
    ServerMessage, Subscriber, TokioClock,
};
use toolweir_wire::{Endpoint, HttpServer, Limits, Options, Program, StdioServer, Watchdog};

use crate::peer::server::program;
use crate::peer::within;

fn soon() -> Instant {
    TokioClock.now() + Duration::from_secs(20)
}

fn stdio(script: &str) -> StdioServer {
    StdioServer::new("peer", program(script), Options::default())
}

fn tool(name: &str, arguments: Value) -> Call {
    Call::tool(name, &RawJson::from(arguments)).unwrap()
}

/// Calls a tool and waits for it, within the test's own patience.
async fn call(server: &dyn Server, name: &str, arguments: Value) -> Result<Reply, Error> {
    within(server.call(&tool(name, arguments))).await
}

async fn value(server: &dyn Server, name: &str, arguments: Value) -> Value {
    call(server, name, arguments).await.unwrap().result.get().unwrap()
}

/// What the peer has read since the handshake.
async fn seen(server: &dyn Server) -> Vec<Value> {
    value(server, "seen", json!({}))
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap())
        .collect()
}

/// Writes down what comes back for a caller, and answers what it is asked.
#[derive(Debug, Default)]
struct Caller {
    heard: Mutex<Vec<Notification>>,
    changed: Notify,
}

impl Caller {
    fn heard(&self) -> Vec<(String, Value)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard
            .iter()
            .map(|note| {
                let params =
                    note.params.as_ref().map_or(Value::Null, |params| params.get().unwrap());
                (note.method.as_str().to_owned(), params)
            })
            .collect()
    }
}

#[async_trait]
impl Peer for Caller {
    fn notify(&self, notification: Notification) {
        self.heard.lock().unwrap().push(notification);
        self.changed.notify_waiters();
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        _: Instant,
    ) -> Result<RawJson, Error> {
        match params.as_ref().and_then(|params| params.member("refuse")) {
            Some(_) => Err(Error::new(Kind::Cancelled)),
            None => Ok(RawJson::from(json!({ "answered": method.as_str() }))),
        }
    }
}

/// Writes down what a server says without being asked.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<String>>,
    losses: Mutex<Vec<Error>>,
    changed: Notify,
}

impl Listener {
    fn at(server: &dyn Server) -> Arc<Self> {
        let listener = Arc::new(Self::default());
        let weak: std::sync::Weak<dyn Subscriber> = {
            let listener: Arc<dyn Subscriber> = listener.clone();
            Arc::downgrade(&listener)
        };
        server.subscribe(weak);
        listener
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until `wanted` was heard `count` times.
    async fn hears(&self, wanted: &str, count: usize) {
        within(async {
            loop {
                let changed = self.changed.notified();
                if self.heard().iter().filter(|text| *text == wanted).count() >= count {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }
}

impl Subscriber for Listener {
    fn on_message(&self, message: ServerMessage) {
        let text = match message {
            ServerMessage::Connected(info) => format!("connected {}", info.protocol_version),
            ServerMessage::Disconnected(error) => {
                self.losses.lock().unwrap().push(error);
                "disconnected".to_owned()
            }
            ServerMessage::Notification(note) => note.method.as_str().to_owned(),
            _ => "?".to_owned(),
        };
        self.heard.lock().unwrap().push(text);
        self.changed.notify_waiters();
    }
}
