//! A server that the Rust SDK speaks to: a running client service, or a server handler in this process.

mod listen;
mod relay;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rmcp::model::{ClientNotification, ClientRequest, CustomNotification, CustomRequest};
use rmcp::service::{
    Peer, PeerRequestOptions, RequestHandle, RunningService, RunningServiceCancellationToken,
};
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient, RoleServer, ServiceExt};
use serde_json::Value;
use tokio_util::task::TaskTracker;
use toolweir_core::{
    Call, Error, Instant, Kind, Method, Notification, RawJson, Reply, Server, ServerInfo,
    ServerMessage, Subscriber,
};

pub use self::relay::Relay;
use super::keeper::AbortOnDrop;
use super::listening;
use super::waiting::Origin;
use super::wishes::Wishes;
use super::{bridge, outgoing, until};
use crate::message;
use crate::rmcp::failure;
use crate::version::{Era, is_modern};

/// How much an in-process handler may have written that is not yet read, in bytes.
const PIPE: usize = 64 << 10;
/// How long telling a server that a call is cancelled may take.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// An MCP server behind an rmcp client.
///
/// What the server says, asks and reports on the way comes back through the [`Relay`], which is the handler that the client
/// was made with. Dropping a call's future sends `notifications/cancelled`; a deadline does so too. A call fails as *unsent*
/// where rmcp no longer takes it, and as *ambiguous* where rmcp took it and no answer came.
///
/// An rmcp service cannot be started again: once its connection has ended, every call fails as unsent. Dropping the last
/// clone ends the connection.
///
/// ```
/// use rmcp::{ClientLifecycleMode, ServerHandler, model::*, service::RequestContext, RoleServer};
/// use toolweir_core::{Call, RawJson, Server};
/// use toolweir_wire::rmcp::RmcpServer;
///
/// struct Greeter;
///
/// impl ServerHandler for Greeter {
///     fn get_info(&self) -> ServerConfig {
///         ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
///     }
///     async fn call_tool(
///         &self,
///         request: CallToolRequestParams,
///         _: RequestContext<RoleServer>,
///     ) -> Result<CallToolResponse, rmcp::ErrorData> {
///         let text = format!("hello from {}", request.name);
///         Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = RmcpServer::in_process("greeter", Greeter, ClientLifecycleMode::Initialize).await?;
/// let reply = server.call(&Call::tool("greet", &RawJson::EMPTY_OBJECT)?).await?;
/// assert!(reply.result.as_str().contains("hello from greet"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RmcpServer(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    peer: Peer<RoleClient>,
    relay: Relay,
    era: Era,
    info: Arc<ServerInfo>,
    wishes: Arc<Wishes>,
    ids: AtomicU64,
    /// The service's end, and cancellations on their way.
    tasks: TaskTracker,
    stop: Mutex<Option<RunningServiceCancellationToken>>,
    listening: Mutex<Option<AbortOnDrop>>,
    /// A handler in this process, which ends with its connection.
    _handler: Option<AbortOnDrop>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            stop.cancel();
        }
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl RmcpServer {
    /// A server called `name` that `service` is connected to; `service` was made with a [`Relay`] as its handler.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, service: RunningService<RoleClient, Relay>) -> Self {
        let relay = service.service().clone();
        Self::start(name.into(), service, relay, None)
    }

    /// The same for a service with any handler: calls, cancellation and deadlines hold; what the server says and asks goes to
    /// that handler, and neither to callers nor to subscribers.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    #[must_use]
    pub fn calls_only<S: rmcp::Service<RoleClient>>(
        name: impl Into<Arc<str>>,
        service: RunningService<RoleClient, S>,
    ) -> Self {
        Self::start(name.into(), service, Relay::new(), None)
    }

    /// A server called `name` that `handler` is, in this process; `lifecycle` chooses the era that it is spoken to in.
    ///
    /// # Errors
    /// Fails with [`Kind::Unreachable`] where the handler refuses the handshake.
    ///
    /// # Cancel safety
    /// Dropping the future ends the handler.
    pub async fn in_process<H: rmcp::Service<RoleServer>>(
        name: impl Into<Arc<str>>,
        handler: H,
        lifecycle: ClientLifecycleMode,
    ) -> Result<Self, Error> {
        let name = name.into();
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let serving = tokio::spawn(async move {
            if let Ok(running) = handler.serve(theirs).await {
                let _ = running.waiting().await; // our side tells how it ended
            }
        });
        let handler = AbortOnDrop(serving);
        let relay = Relay::new();
        let service =
            relay.clone().serve_with_lifecycle(ours, lifecycle).await.map_err(|error| {
                let text = error.to_string();
                Error::new(Kind::Unreachable).server(name.clone()).message(text).caused_by(error)
            })?;
        Ok(Self::start(name, service, relay, Some(handler)))
    }

    fn start<S: rmcp::Service<RoleClient>>(
        name: Arc<str>,
        service: RunningService<RoleClient, S>,
        relay: Relay,
        handler: Option<AbortOnDrop>,
    ) -> Self {
        let info = Arc::new(info(service.peer()));
        let era = if is_modern(&info.protocol_version) { Era::Modern } else { Era::Legacy };
        let tasks = TaskTracker::new();
        let stop = service.cancellation_token();
        let inner = Arc::new(Inner {
            name: name.clone(),
            peer: service.peer().clone(),
            relay: relay.clone(),
            era,
            info: info.clone(),
            wishes: Arc::default(),
            ids: AtomicU64::new(1),
            tasks: tasks.clone(),
            stop: Mutex::new(Some(stop)),
            listening: Mutex::new(None),
            _handler: handler,
        });
        tasks.spawn(async move {
            let end = service.waiting().await;
            tracing::debug!(server = &*name, ?end, "the rmcp service ended");
            let error = Error::new(Kind::Disconnected).server(name);
            relay.waiting().end(&error);
            relay.subscribers().tell(ServerMessage::Disconnected(error));
        });
        if era == Era::Modern {
            let link = listen::Link::new(&inner);
            let (wishes, subscribers) = (inner.wishes.clone(), inner.relay.subscribers().clone());
            let task = tokio::spawn(listening::keep(link, wishes, subscribers, info));
            *inner.listening.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(AbortOnDrop(task));
        }
        Self(inner)
    }

    async fn carry(&self, call: &Call) -> Result<Reply, Error> {
        if let Some(wished) = self.0.wishes.take(call, self.0.era) {
            return wished?.answer(call.deadline).await;
        }
        bridge::answered(call, |call| async move {
            until(call.deadline, self.exchange(&call)).await.map(message::reply_of)
        })
        .await
    }

    /// One request and its result.
    async fn exchange(&self, call: &Call) -> Result<RawJson, Error> {
        let inner = &*self.0;
        let id = inner.ids.fetch_add(1, Ordering::Relaxed);
        let outgoing = outgoing::encode(id, call, inner.era)?;
        let origin = Origin::caused(call, outgoing.token.clone());
        let _rest = inner.relay.waiting().enter(id, origin)?; // ended below, whatever happens
        let mut stay = Stay { server: inner, id, handle: None };
        let (request, options) = written(outgoing.bytes.clone())?;
        // The token and the id are known only once the request is on its way: until they are entered, what comes waits.
        let entering = inner.relay.entering().await;
        let handle =
            inner.peer.send_request_with_option(request, options).await.map_err(|error| {
                Error::new(Kind::Disconnected).message(error.to_string()).unsent()
            })?;
        inner.relay.enter(id, &handle);
        inner.relay.waiting().mark_sent(id);
        drop(entering);
        let handle = stay.handle.insert(handle);
        let result = (&mut handle.rx).await;
        stay.done();
        match result {
            Ok(Ok(result)) => RawJson::of(&result)
                .map_err(|error| Error::new(Kind::InvalidReply).message(error.to_string())),
            Ok(Err(error)) => Err(failure(error)),
            Err(_) => Err(Error::new(Kind::Disconnected).ambiguous()),
        }
    }
}

/// A request as rmcp takes it: the params as they are, `_meta` apart.
fn written(bytes: bytes::Bytes) -> Result<(ClientRequest, PeerRequestOptions), Error> {
    let internal = |_| Error::new(Kind::InvalidRequest).message("the request cannot be read");
    let json = RawJson::new(bytes).map_err(internal)?;
    let member = |name| json.member(name).map(|part| part.to_json());
    let method = member("method").and_then(|it| it.get::<String>().ok()).unwrap_or_default();
    let mut params: Option<Value> =
        member("params").map(|params| params.get()).transpose().map_err(internal)?;
    let meta = params.as_mut().and_then(|params| params.as_object_mut()?.remove("_meta"));
    let mut options = PeerRequestOptions::no_options();
    if let Some(Value::Object(meta)) = meta {
        options = options.with_meta(meta.into());
    }
    Ok((ClientRequest::CustomRequest(CustomRequest::new(method, params)), options))
}

/// What the server has said of itself.
fn info(peer: &Peer<RoleClient>) -> ServerInfo {
    let Some(said) = peer.peer_info() else { return ServerInfo::default() };
    let raw = |value: Result<RawJson, _>| value.unwrap_or(RawJson::EMPTY_OBJECT);
    let identity =
        said.server_info.as_ref().map_or(RawJson::EMPTY_OBJECT, |it| raw(RawJson::of(it)));
    let mut info = ServerInfo::new(identity, raw(RawJson::of(&said.capabilities)));
    info.protocol_version = said.protocol_version.as_str().into();
    info.instructions.clone_from(&said.instructions);
    info
}

/// A call's place in the tables; leaving before the answer cancels it at the server.
struct Stay<'a> {
    server: &'a Inner,
    id: u64,
    handle: Option<RequestHandle<RoleClient>>,
}

impl Stay<'_> {
    fn done(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.server.relay.leave(&handle);
        }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.server.relay.waiting().leave(self.id);
        let Some(handle) = self.handle.take() else { return };
        self.server.relay.leave(&handle);
        cancel(&self.server.tasks, handle);
    }
}

/// Tells the server that a request is no longer wanted.
fn cancel(tasks: &TaskTracker, handle: RequestHandle<RoleClient>) {
    if tokio::runtime::Handle::try_current().is_ok() {
        tasks.spawn(tokio::time::timeout(CANCEL_PATIENCE, handle.cancel(None)));
    }
}

#[async_trait]
impl Server for RmcpServer {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        match self.carry(call).await {
            Ok(mut reply) => {
                reply.server = Some(self.0.name.clone());
                Ok(reply)
            }
            Err(error) => Err(error.server(self.0.name.clone())),
        }
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        match self.0.relay.waiting().ended() {
            None => Ok(self.0.info.clone()),
            Some(error) => Err(super::unreachable(error).server(self.0.name.clone())),
        }
    }

    async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        let method = match self.0.era {
            Era::Legacy => Method::PING,
            Era::Modern => Method::DISCOVER,
        };
        match self.call(&Call::new(method, None).deadline(deadline)).await {
            Err(error) if !matches!(error.kind(), Kind::Protocol { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    async fn notify(&self, notification: Notification) {
        if self.0.era == Era::Modern {
            return; // it has no word for what clients tell
        }
        let Notification { method, params } = super::crossing::told(notification, Era::Legacy);
        let params = params.and_then(|params| params.get().ok());
        let notification = CustomNotification::new(method.as_str(), params);
        let notification = ClientNotification::CustomNotification(notification);
        let sent = self.0.peer.send_notification(notification);
        if !matches!(tokio::time::timeout(CANCEL_PATIENCE, sent).await, Ok(Ok(()))) {
            tracing::debug!(server = &*self.0.name, "a client's notification was not taken");
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.relay.subscribers().add(subscriber);
    }

    async fn close(&self, deadline: Instant) {
        self.0.relay.waiting().end(&Error::new(Kind::Closed));
        self.0.stop();
        self.0.tasks.close();
        let left = self.0.tasks.wait();
        let _ = tokio::time::timeout_at(deadline.into_std().into(), left).await;
    }
}

impl fmt::Debug for RmcpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RmcpServer").field("name", &self.0.name).finish_non_exhaustive()
    }
}
