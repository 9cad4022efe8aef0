//! The side that faces servers.

mod bridge;
mod child;
mod crossing;
mod handshake;
mod http;
mod keeper;
mod listening;
mod outgoing;
mod parameters;
#[cfg(feature = "rmcp")]
pub(crate) mod rmcp;
mod salvage;
mod source;
mod stdio;
mod subscribers;
mod waiting;
mod watchdog;
mod web;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Client, Error, Instant, Kind, Method, Peer};

pub use self::{
    child::Program,
    http::{Endpoint, HttpServer},
    stdio::StdioServer,
    watchdog::Watchdog,
    web::WebServer,
};
#[cfg(feature = "fuzzing")]
pub(crate) use self::{
    parameters::headers,
    salvage::{Meant, ends, meant},
};
use crate::Limits;

/// How a server is reached, whatever its transport.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// How long starting, connecting and the handshake may take together (60 s: `npx` may fetch a package first).
    pub connect_timeout: Duration,
    /// How long a server may leave the modern handshake unanswered before the legacy one is tried too (3 s).
    pub probe_timeout: Duration,
    /// The one client that the connection is for, and the way back to it, where it is for one alone.
    pub owner: Option<Owner>,
}

/// The one client that a connection is for: what names no call there (a question, a log message) is always its.
#[derive(Clone, Debug)]
pub struct Owner {
    pub(crate) client: Arc<Client>,
    pub(crate) peer: Arc<dyn Peer>,
}

impl Owner {
    /// `client`, told and asked by way of `peer`. A legacy server hears of what this client can be asked, and by
    /// its name, where it is a legacy client.
    #[must_use]
    pub fn new(client: Arc<Client>, peer: Arc<dyn Peer>) -> Self {
        Self { client, peer }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(60),
            probe_timeout: Duration::from_secs(3),
            owner: None,
        }
    }
}

impl Options {
    /// The same options with other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same options for one client alone.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// The same options with another limit on connecting.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }
}

/// Whether a notification belongs to no call, but to whoever wants to hear of it.
fn concerns_all(method: &Method) -> bool {
    let name = method.as_str();
    name.ends_with("/list_changed")
        || matches!(
            name,
            "notifications/resources/updated"
                | "notifications/tasks/status"
                | "notifications/tasks"
        )
}

/// Waits for `future` until `deadline`, or without an end where there is none.
async fn until<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into_std().into(), future)
            .await
            .unwrap_or_else(|_| Err(Error::new(Kind::Timeout))),
        None => future.await,
    }
}

/// Runs a part that somebody else wrote; its panic costs the message that it was given, not the connection.
fn guarded(part: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)).is_err() {
        tracing::error!("a panic in a part that hears messages");
    }
}

/// A failure to connect, as those see it who wanted to call: nothing was sent.
fn unreachable(error: Error) -> Error {
    match error.kind() {
        Kind::Unreachable | Kind::Throttled { .. } | Kind::Closed => error.unsent(),
        kind => {
            let text = match error.details() {
                Some(details) => format!("{kind}: {details}"),
                None => kind.to_string(),
            };
            Error::new(Kind::Unreachable).message(text).caused_by(error)
        }
    }
}
