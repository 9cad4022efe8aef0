//! A server reached over stdio: a child process that is started when it is needed and again when it has ended, or any
//! other pair of streams.

mod connection;
mod hears;
mod listen;
mod posts;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::TaskTracker;
use toolweir_core::{
    Call, Error, Instant, Kind, Method, Notification, RawJson, Reply, Server, ServerInfo,
    ServerMessage, Subscriber,
};

use self::connection::Connection;
use super::child::Program;
use super::handshake::{self, Agreed};
use super::keeper::Keeper;
use super::source::Source;
use super::subscribers::Subscribers;
use super::wishes::Wishes;
use super::{Options, Owner, bridge, crossing, outgoing};
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
    recipe: Arc<Recipe>,
    keeper: Arc<Keeper<Connection>>,
}

/// What an attempt to connect needs. It does not hold the server, whose end ends the attempt too.
struct Recipe {
    name: Arc<str>,
    source: Arc<Source>,
    options: Options,
    subscribers: Arc<Subscribers>,
    /// Resources whose updates are wanted of a modern child.
    wishes: Arc<Wishes>,
    /// A task for every child that has not ended.
    children: TaskTracker,
    /// The transport is a legacy one: there is nothing to find out.
    is_legacy: bool,
    /// Who ended when it was asked in the modern way, so that it is not asked so again.
    legacy_only: Mutex<Option<RawJson>>,
}

impl StdioServer {
    /// A server called `name` that `program` runs. Nothing is started yet.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, program: Program, options: Options) -> Self {
        Self::with(name.into(), Arc::new(Source::Program(program)), options)
    }

    /// A server called `name` at the other end of the streams that `open` gives: what it writes, and what it reads.
    ///
    /// For a server in this program (its other end is [`serve_stdio`](crate::serve_stdio)), behind a socket, or in a test
    /// that moves time by hand. Nothing is opened yet; after a loss `open` is asked again, with growing pauses while it
    /// fails. A server ends when either stream does.
    ///
    /// ```
    /// # use toolweir_wire::{Options, Service, StdioServer, serve_stdio};
    /// # fn example(service: Service) {
    /// let open = move || {
    ///     let (near, far) = tokio::io::duplex(64 << 10);
    ///     let (input, output) = tokio::io::split(far);
    ///     tokio::spawn(serve_stdio(service.clone(), input, output));
    ///     Ok(tokio::io::split(near))
    /// };
    /// let server = StdioServer::over("inside", open, Options::default());
    /// # }
    /// ```
    #[must_use]
    pub fn over<R, W>(
        name: impl Into<Arc<str>>,
        open: impl Fn() -> io::Result<(R, W)> + Send + Sync + 'static,
        options: Options,
    ) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Self::with(name.into(), Arc::new(Source::streams(open)), options)
    }

    /// A server that is no child, of which is known that it speaks no other way than by `initialize`.
    pub(super) fn legacy(name: Arc<str>, source: Source, options: Options) -> Self {
        Self::made(name, Arc::new(source), options, true)
    }

    fn with(name: Arc<str>, source: Arc<Source>, options: Options) -> Self {
        Self::made(name, source, options, false)
    }

    fn made(name: Arc<str>, source: Arc<Source>, options: Options, is_legacy: bool) -> Self {
        let keeper = if is_legacy { Keeper::new() } else { Keeper::of_process() };
        let recipe = Recipe {
            name,
            source,
            options,
            subscribers: Arc::default(),
            wishes: Arc::default(),
            children: TaskTracker::new(),
            is_legacy,
            legacy_only: Mutex::default(),
        };
        Self(Arc::new(Inner { recipe: Arc::new(recipe), keeper }))
    }

    /// The same program for one client alone: a child of its own, not started yet.
    #[must_use]
    pub fn sibling(&self, owner: Owner) -> Self {
        let Recipe { name, source, options, is_legacy, .. } = &*self.0.recipe;
        let options = options.clone().owner(owner);
        let sibling = Self::made(name.clone(), source.clone(), options, *is_legacy);
        let known = self.0.recipe.legacy_only().clone();
        *sibling.0.recipe.legacy_only() = known;
        sibling
    }

    async fn connection(&self, deadline: Option<Instant>) -> Result<Arc<Connection>, Error> {
        let attempt = || {
            let (recipe, keeper) = (self.0.recipe.clone(), Arc::downgrade(&self.0.keeper));
            async move { recipe.connect(&keeper).await }
        };
        self.0
            .keeper
            .get(deadline, attempt)
            .await
            .map_err(|error| error.server(self.0.recipe.name.clone()))
    }
}

impl Recipe {
    /// Starts the program and agrees with it on how to speak.
    async fn connect(&self, keeper: &Weak<Keeper<Connection>>) -> Result<Arc<Connection>, Error> {
        let limit = self.options.connect_timeout;
        let attempt = async {
            let known = self.legacy_only().clone();
            if let (false, Some(known)) = (self.is_legacy, &known) {
                let connection = self.start(keeper)?;
                let initialized = self.initialize(&connection).await;
                if let Ok(agreed) = &initialized
                    && agreed.info.identity == *known
                {
                    return Ok((connection, initialized?));
                }
                // Another program by now, or another version of it: what was found out is of the former.
                *self.legacy_only() = None;
                if let Err(error) = initialized
                    && error.kind() == Kind::Disconnected
                {
                    return Err(error); // not started twice where it fails anyhow
                }
            }
            if !self.is_legacy {
                let connection = self.start(keeper)?;
                let shaken = self.shake(&connection).await;
                match shaken.map_err(|error| connection.in_full(error)) {
                    Ok(agreed) => return Ok((connection, agreed)),
                    // Some legacy servers end when the first message is not `initialize`.
                    Err(error) if error.kind() == Kind::Disconnected => {
                        tracing::debug!(server = &*self.name, %error, "ended during the modern handshake");
                    }
                    Err(error) => return Err(error),
                }
            }
            let connection = self.start(keeper)?;
            let agreed = self.initialize(&connection).await?;
            *self.legacy_only() = Some(agreed.info.identity.clone());
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
        self.subscribers.tell(ServerMessage::Connected(info));
        connection.listen(&self.wishes, &self.subscribers);
        Ok(connection)
    }

    async fn shake(&self, connection: &Connection) -> Result<Agreed, Error> {
        let Options { probe_timeout, owner, .. } = &self.options;
        handshake::shake(connection, *probe_timeout, owner.as_ref()).await
    }

    async fn initialize(&self, connection: &Connection) -> Result<Agreed, Error> {
        handshake::initialize(connection, self.options.owner.as_ref())
            .await
            .map_err(|error| connection.in_full(error))
    }

    fn legacy_only(&self) -> MutexGuard<'_, Option<RawJson>> {
        self.legacy_only.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, keeper: &Weak<Keeper<Connection>>) -> Result<Arc<Connection>, Error> {
        let (keeper, name) = (keeper.clone(), self.name.clone());
        let subscribers = self.subscribers.clone();
        let on_end = move |connection: &Connection, error: &Error, full: &Error| {
            if keeper.upgrade().is_some_and(|keeper| keeper.lose(connection, error)) {
                tracing::warn!(server = &*name, error = %full, "lost");
                subscribers.tell(ServerMessage::Disconnected(full.clone()));
            }
        };
        Connection::start(
            &self.name,
            &self.source,
            &self.options,
            &self.children,
            self.subscribers.clone(),
            on_end,
        )
    }
}

#[async_trait]
impl Server for StdioServer {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let connection = self.connection(call.deadline).await?;
        if let Some(wished) = self.0.recipe.wishes.take(call, connection.era()) {
            let name = self.0.recipe.name.clone();
            let answer = async { wished?.answer(call.deadline).await };
            return match answer.await {
                Ok(mut reply) => {
                    reply.server = Some(name);
                    Ok(reply)
                }
                Err(error) => Err(error.server(name)),
            };
        }
        let connection = &connection;
        let answered = bridge::answered(call, |call| async move {
            let id = connection.next_id();
            let outgoing = outgoing::encode(id, &call, connection.era())?;
            let result = connection.exchange(id, outgoing, Some(&call), call.deadline).await?;
            Ok(message::reply_of(result))
        });
        match answered.await {
            Ok(mut reply) => {
                reply.server = Some(self.0.recipe.name.clone());
                Ok(reply)
            }
            Err(error) => Err(error.server(self.0.recipe.name.clone())),
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
            connection.notify(&crossing::told(notification, connection.era())).await;
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.recipe.subscribers.add(subscriber);
    }

    /// The running child's process id, which is also its group's.
    fn process_id(&self) -> Option<u32> {
        self.0.keeper.current()?.process_id()
    }

    /// Ends the child; the next call starts another.
    async fn rest(&self, deadline: Instant) -> bool {
        let Some(connection) = self.0.keeper.rest() else { return false };
        self.0.recipe.children.spawn(async move { connection.close(deadline).await });
        true
    }

    fn quarantined(&self) -> Option<Duration> {
        self.0.keeper.quarantined()
    }

    async fn close(&self, deadline: Instant) {
        if let Some(connection) = self.0.keeper.close().await {
            connection.close(deadline).await;
        }
        // Whatever child is left was killed when its connection was dropped.
        self.0.recipe.children.close();
        let left = self.0.recipe.children.wait();
        let _ = tokio::time::timeout_at(deadline.into_std().into(), left).await;
    }
}

impl fmt::Debug for StdioServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioServer")
            .field("name", &self.0.recipe.name)
            .field("source", &self.0.recipe.source)
            .finish_non_exhaustive()
    }
}
