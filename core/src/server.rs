//! Something that answers calls.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Call, Client, Error, Instant, Notification, RawJson, Reply};

/// Answers MCP calls: a child process, an HTTP endpoint, a part of this program, or a whole gateway.
///
/// The same trait stands on both sides: what is called *through* (an upstream server) and what is *served* (the
/// gateway behind a listener), so gateways compose. Only [`call`](Server::call) is required.
#[async_trait]
pub trait Server: Send + Sync {
    /// Carries out one call and returns its result.
    ///
    /// Connects first where that is needed. Ends by [`Call::deadline`] at the latest where one is set.
    ///
    /// # Errors
    /// [`Error::is_unsent`] tells whether the call may be given to another server.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: the server is told, and everything held for it is freed.
    async fn call(&self, call: &Call) -> Result<Reply, Error>;

    /// Makes the server ready to be called, and tells what it is and offers. Does nothing where it is
    /// ready; called again after a loss it connects again.
    ///
    /// # Errors
    /// Fails with [`Kind::Unreachable`](crate::Kind::Unreachable) where it cannot be started or reached by
    /// `deadline`.
    async fn connect(&self, deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        let _ = deadline;
        Ok(Arc::new(ServerInfo::default()))
    }

    /// Asks whether the server still answers, without any effect.
    ///
    /// # Errors
    /// Fails where no answer came by `deadline`; an answer that is an error is an answer.
    async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        self.connect(deadline).await.map(drop)
    }

    /// Takes a notification from a client (such as `notifications/roots/list_changed`).
    async fn notify(&self, notification: Notification) {
        let _ = notification;
    }

    /// Takes a notification of this client; where it is not told from others, as [`notify`](Self::notify) does.
    async fn notify_from(&self, client: &Arc<Client>, notification: Notification) {
        let _ = client;
        self.notify(notification).await;
    }

    /// Takes note that `client` has gone for good: what is held for it alone can end. Never waits.
    fn forget(&self, client: &Arc<Client>) {
        let _ = client;
    }

    /// Tells `subscriber` from now on what the server says without being asked. Subscribers are held weakly.
    fn subscribe(&self, subscriber: std::sync::Weak<dyn Subscriber>) {
        let _ = subscriber;
    }

    /// The process that it runs in, where that is a child of this one and running.
    fn process_id(&self) -> Option<u32> {
        None
    }

    /// Lets go of the connection, and of the process where it has one, until the next call begins anew: to be asked
    /// for where no call is in flight. Says whether there was anything to let go of; what was ends by `deadline`, in the
    /// background.
    async fn rest(&self, deadline: Instant) -> bool {
        let _ = deadline;
        false
    }

    /// How long it is left alone yet, where it failed so often in a row that it is tried more seldom than usual.
    fn quarantined(&self) -> Option<std::time::Duration> {
        None
    }

    /// Ends the connection and what belongs to it by `deadline`; calls after this fail as closed.
    async fn close(&self, deadline: Instant) {
        let _ = deadline;
    }
}

/// What a server is and offers, as it said when it was connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The protocol revision agreed upon.
    pub protocol_version: Arc<str>,
    /// Its name and version (`serverInfo`).
    pub identity: RawJson,
    /// What it offers (`capabilities`).
    pub capabilities: RawJson,
    /// How to use it, for the model (`instructions`).
    pub instructions: Option<String>,
}

impl ServerInfo {
    /// A server of this identity and these capabilities.
    #[must_use]
    pub fn new(identity: RawJson, capabilities: RawJson) -> Self {
        Self { protocol_version: Arc::from(""), identity, capabilities, instructions: None }
    }

    /// Whether it tells of changes to `list`: to its `tools`, `prompts` or `resources` (`listChanged`).
    ///
    /// ```
    /// use toolweir_core::{RawJson, ServerInfo};
    ///
    /// let offers = serde_json::json!({"tools": {"listChanged": true}, "prompts": {}});
    /// let info = ServerInfo::new(RawJson::EMPTY_OBJECT, RawJson::from(offers));
    /// assert!(info.tells_of("tools") && !info.tells_of("prompts") && !info.tells_of("resources"));
    /// ```
    #[must_use]
    pub fn tells_of(&self, list: &str) -> bool {
        let list = self.capabilities.member(list).map(|list| list.to_json());
        let told = list.as_ref().and_then(|list| list.member("listChanged"));
        told.is_some_and(|told| told.as_bytes() == b"true")
    }
}

impl Default for ServerInfo {
    fn default() -> Self {
        Self::new(
            RawJson::from(serde_json::json!({"name": "in-process", "version": "0"})),
            RawJson::from(serde_json::json!({"tools": {}})),
        )
    }
}

/// Hears what a server says without being asked.
pub trait Subscriber: Send + Sync {
    /// Takes a message; neither blocks nor waits.
    fn on_message(&self, message: ServerMessage);
}

/// What a server says without being asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerMessage {
    /// It is connected, now or again.
    Connected(Arc<ServerInfo>),
    /// Its connection ended.
    Disconnected(Error),
    /// A notification that belongs to no call, such as `notifications/tools/list_changed`.
    Notification(Notification),
    /// The same for one client alone: for its session, or, of 2026-07-28, for whatever its principal listens with.
    ToClient(Arc<Client>, Notification),
}
