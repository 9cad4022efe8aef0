//! A server reached over stdio: a child process that is started when it is needed and again when it has ended.

mod connection;
mod hears;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use toolweir_core::{
    Call, Error, Instant, Kind, Method, Notification, Reply, Server, ServerInfo, ServerMessage,
    Subscriber,
};

use self::connection::Connection;
use super::child::Program;
use super::handshake::{self, Agreed};
use super::keeper::Keeper;
use super::subscribers::Subscribers;
use super::{Options, outgoing};
use crate::message;
use crate::version::Era;

/// An MCP server that runs as a child process.
///
/// The first call (or [`connect`](Server::connect)) starts it; where it has ended, the next call starts it again,
/// with growing pauses while it fails. Every call ends: with the answer, with the child's end, or at its deadline.
/// Dropping the last clone kills the child's process group; [`close`](Server::close) ends it in good order.
#[derive(Clone)]
pub struct StdioServer(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    program: Program,
    options: Options,
    keeper: Arc<Keeper<Connection>>,
    subscribers: Arc<Subscribers>,
    /// The program ended when it was asked in the modern way, so it is not asked so again.
    legacy_only: AtomicBool,
}

impl StdioServer {
    /// A server called `name` that `program` runs. Nothing is started yet.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, program: Program, options: Options) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            program,
            options,
            keeper: Keeper::new(),
            subscribers: Arc::new(Subscribers::default()),
            legacy_only: AtomicBool::new(false),
        }))
    }

    async fn connection(&self, deadline: Option<Instant>) -> Result<Arc<Connection>, Error> {
        let attempt = || {
            let inner = Arc::downgrade(&self.0);
            async move { Inner::connect(inner).await }
        };
        self.0
            .keeper
            .get(deadline, attempt)
            .await
            .map_err(|error| error.server(self.0.name.clone()))
    }
}

impl Inner {
    /// Starts the program and agrees with it on how to speak.
    async fn connect(inner: Weak<Self>) -> Result<Arc<Connection>, Error> {
        let closed = || Error::new(Kind::Closed);
        let limit = inner.upgrade().ok_or_else(closed)?.options.connect_timeout;
        let attempt = async {
            let this = inner.upgrade().ok_or_else(closed)?;
            if !this.legacy_only.load(Ordering::Relaxed) {
                let connection = this.start(&inner)?;
                match handshake::shake(&*connection, this.options.probe_timeout).await {
                    Ok(agreed) => return Ok((connection, agreed)),
                    // Some legacy servers end when the first message is not `initialize`.
                    Err(error) if error.kind() == Kind::Disconnected => {
                        tracing::debug!(server = &*this.name, %error, "ended during the modern handshake");
                    }
                    Err(error) => return Err(error),
                }
            }
            let connection = this.start(&inner)?;
            let agreed = handshake::initialize(&*connection).await?;
            this.legacy_only.store(true, Ordering::Relaxed);
            Ok((connection, agreed))
        };
        let timeout = || {
            Error::new(Kind::Unreachable).message(format!("not ready within {} s", limit.as_secs()))
        };
        let (connection, agreed): (Arc<Connection>, Agreed) = tokio::time::timeout(limit, attempt)
            .await
            .unwrap_or_else(|_| Err(timeout()))
            .map_err(super::unreachable)?;
        let info = agreed.info.clone();
        connection.agree(agreed);
        if let Some(this) = inner.upgrade() {
            this.subscribers.tell(&ServerMessage::Connected(info));
        }
        Ok(connection)
    }

    fn start(&self, inner: &Weak<Self>) -> Result<Arc<Connection>, Error> {
        let inner = inner.clone();
        let on_end = move |connection: &Connection, error: &Error| {
            let Some(inner) = inner.upgrade() else { return };
            if inner.keeper.lose(connection, error) {
                tracing::warn!(server = &*inner.name, %error, "lost");
                inner.subscribers.tell(&ServerMessage::Disconnected(error.clone()));
            }
        };
        Connection::start(
            &self.name,
            &self.program,
            &self.options.limits,
            self.subscribers.clone(),
            on_end,
        )
    }
}

#[async_trait]
impl Server for StdioServer {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let connection = self.connection(call.deadline).await?;
        let result = async {
            let id = connection.next_id();
            let outgoing = outgoing::encode(id, call, connection.era())?;
            connection.exchange(id, outgoing, Some(call), call.deadline).await
        };
        match result.await {
            Ok(result) => {
                let mut reply = message::reply_of(result);
                reply.server = Some(self.0.name.clone());
                Ok(reply)
            }
            Err(error) => Err(error.server(self.0.name.clone())),
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        self.connection(Some(deadline)).await?.info().ok_or_else(|| Error::new(Kind::Internal))
    }

    async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        let connection = self.connection(Some(deadline)).await?;
        let method = match connection.era() {
            Era::Legacy => Method::PING,
            Era::Modern => Method::DISCOVER,
        };
        match self.call(&Call::new(method, None).deadline(deadline)).await {
            Err(error) if !matches!(error.kind(), Kind::Protocol { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    async fn notify(&self, notification: Notification) {
        if let Some(connection) = self.0.keeper.current() {
            connection.notify(&notification).await;
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.subscribers.add(subscriber);
    }

    /// The running child's process id, which is also its group's.
    fn process_id(&self) -> Option<u32> {
        self.0.keeper.current()?.process_id()
    }

    async fn close(&self, deadline: Instant) {
        if let Some(connection) = self.0.keeper.close() {
            connection.close(deadline).await;
        }
    }
}

impl fmt::Debug for StdioServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioServer")
            .field("name", &self.0.name)
            .field("program", &self.0.program)
            .finish_non_exhaustive()
    }
}
