//! A server that clients reach through the Rust SDK's transports.

mod caller;
mod fan;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rmcp::model::{
    ClientCapabilities, ClientNotification, ClientRequest, CustomResult, Implementation,
    ServerCapabilities, ServerConfig, ServerResult, SubscriptionFilter,
};
use rmcp::service::{
    NotificationContext, Peer, RequestContext, Service as RmcpService, SubscriptionContext,
};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio_util::task::AbortOnDropHandle;
use toolweir_core::{
    Call, Client, Error, Kind, Method, Notification, Principal, RawJson, Reply, Server, ServerInfo,
    Subscriber,
};

use self::caller::{CallerPeer, notification as sent};
use self::fan::Fan;
use super::calls::{modern_result, target};
use super::front::subscription;
use super::lock;
use super::service::Service;
use crate::Limits;
use crate::message::{self, code};
use crate::rmcp::{error_data, notification_meta, params};
use crate::version::is_modern;

/// How long giving up the subscriptions of a client that has gone may take.
const UNSUBSCRIBE_PATIENCE: Duration = Duration::from_secs(10);

/// Any [`Server`] as an rmcp service, to be served over rmcp's transports with `rmcp::ServiceExt::serve`.
///
/// rmcp's own Streamable HTTP service takes nothing but its `ServerHandler`, whose results are its models: over HTTP,
/// [`HttpListener`](crate::HttpListener) serves the same server.
///
/// Progress, log messages and questions of a call reach its client on that call's way; changed lists and updated resources reach
/// legacy clients as they come, and modern ones that listen. A client that cancels drops the call, and so does the end of its
/// connection, once rmcp has waited 5 s for an answer.
///
/// A clone serves another session of the same server.
///
/// A client of 2026-07-28 is not asked by a legacy server's open call (this crate's own listeners do that); the server is
/// refused. A modern server's `input_required` reaches it unchanged.
///
/// ```
/// use rmcp::ServiceExt;
/// use toolweir_wire::rmcp::RmcpHandler;
/// # use std::sync::Arc;
/// # use toolweir_core::{Call, Error, RawJson, Reply, Server};
/// # struct Greeter;
/// # #[async_trait::async_trait]
/// # impl Server for Greeter {
/// #     async fn call(&self, _: &Call) -> Result<Reply, Error> {
/// #         Ok(Reply::new(RawJson::from(serde_json::json!({ "tools": [] }))))
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let handler = RmcpHandler::connect(Arc::new(Greeter)).await?;
/// let (ours, theirs) = tokio::io::duplex(65_536); // any transport of rmcp's
/// let serving = tokio::spawn(async move { handler.serve(ours).await?.waiting().await.map_err(Box::<dyn std::error::Error + Send + Sync>::from) });
/// let client = ().serve(theirs).await?;
/// assert!(client.list_all_tools().await?.is_empty());
/// client.cancel().await?;
/// # serving.abort();
/// # Ok(())
/// # }
/// ```
pub struct RmcpHandler {
    lifecycle: Lifecycle,
    session: Session,
}

/// What rmcp itself answers: the handshakes and `ping`; and `subscriptions/listen`.
#[derive(Clone)]
struct Lifecycle {
    service: Service,
    info: Arc<ServerInfo>,
    fan: Arc<Fan>,
}

/// One client's connection.
#[derive(Default)]
struct Session {
    /// A legacy client, which is the same for all its calls.
    client: OnceLock<Arc<Client>>,
    watched: Arc<Mutex<HashSet<String>>>,
    forwarding: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Clone for RmcpHandler {
    fn clone(&self) -> Self {
        Self { lifecycle: self.lifecycle.clone(), session: Session::default() }
    }
}

impl RmcpHandler {
    /// A handler for `server`, once that has said what it is.
    ///
    /// # Errors
    /// Fails where `server` cannot be connected within 30 s.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind but what `server` keeps.
    pub async fn connect(server: Arc<dyn Server>) -> Result<Self, Error> {
        let service = Service::new(server);
        let info = service.info().await?;
        let fan: Arc<Fan> = Arc::default();
        let subscriber: Arc<dyn Subscriber> = fan.clone();
        service.server.subscribe(Arc::downgrade(&subscriber));
        Ok(Self { lifecycle: Lifecycle { service, info, fan }, session: Session::default() })
    }

    /// Who asks.
    fn client(&self, context: &RequestContext<RoleServer>) -> Arc<Client> {
        let version = context.protocol_version();
        let new = || {
            let mut client = Client::new(Principal::local());
            client.protocol_version = version.as_ref().map(|version| version.as_str().into());
            client.info = context.client_info().and_then(|info| RawJson::of(&info).ok());
            let capabilities = context.client_capabilities();
            if let Some(Ok(capabilities)) = capabilities.map(|it| RawJson::of(&it)) {
                client.capabilities = capabilities;
            }
            Arc::new(client)
        };
        match version.as_ref().is_some_and(|version| is_modern(version.as_str())) {
            true => new(),
            false => self.session.client.get_or_init(new).clone(),
        }
    }

    async fn carry(
        &self,
        request: &ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let method = Method::from(request.method());
        let client = self.client(&context);
        let modern = client.protocol_version.as_deref().is_some_and(is_modern);
        let params = params(request, &context.meta).map_err(|error| invalid(&error))?;
        let mut call = Call::new(method.clone(), params).client(client.clone());
        call.target = target(&method, call.params.as_ref()).map(Arc::from);
        let (peer, mut outward) = CallerPeer::new(client, &context, modern);
        let overflow = peer.overflow();
        let call = call.peer(Arc::new(peer));
        let result = {
            let mut called = std::pin::pin!(self.lifecycle.service.call(&call));
            loop {
                tokio::select! {
                    biased;
                    () = context.ct.cancelled() => return Err(error_data(&message::error_object(code::INTERNAL, "cancelled", None))),
                    () = overflow.cancelled() => break Err(Error::new(Kind::Overloaded)
                        .ambiguous()
                        .message("the client reads its stream too slowly")),
                    Some(next) = outward.recv() => caller::send(&context.peer, next).await,
                    result = &mut called => break result,
                }
            }
        };
        // What was said before the result goes before it.
        outward.close();
        while let Some(next) = outward.recv().await {
            caller::send(&context.peer, next).await;
        }
        self.note(&call, &result);
        answer(&method, modern, result)
    }

    /// Remembers what a legacy client wants to hear of.
    fn note(&self, call: &Call, result: &Result<Reply, Error>) {
        let (Some(uri), Ok(_)) = (call.target.as_deref(), result) else { return };
        if call.method == Method::RESOURCES_SUBSCRIBE {
            lock(&self.session.watched).insert(uri.to_owned());
        } else if call.method == Method::RESOURCES_UNSUBSCRIBE {
            lock(&self.session.watched).remove(uri);
        }
    }

    /// Hands on to a legacy client what the server says unasked, for as long as the session lives.
    fn forward(&self, peer: Peer<RoleServer>) {
        let mut hearing = self.lifecycle.fan.hear();
        let watched = self.session.watched.clone();
        let task = tokio::spawn(async move {
            while let Some(notification) = hearing.next().await {
                let is_wanted = match fan::updated(&notification) {
                    Some(uri) => lock(&watched).contains(&uri),
                    None => true,
                };
                if is_wanted && peer.send_notification(sent(&notification)).await.is_err() {
                    return; // it has gone
                }
            }
        });
        *lock(&self.session.forwarding) = Some(AbortOnDropHandle::new(task));
    }
}

impl Drop for RmcpHandler {
    /// Gives up what a client that has gone had subscribed to.
    fn drop(&mut self) {
        let watched = std::mem::take(&mut *lock(&self.session.watched));
        let (Some(client), Ok(runtime)) =
            (self.session.client.get().cloned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        if !watched.is_empty() {
            let service = self.lifecycle.service.clone();
            runtime.spawn(tokio::time::timeout(UNSUBSCRIBE_PATIENCE, async move {
                subscribe(&service, Method::RESOURCES_UNSUBSCRIBE, watched, &client).await;
            }));
        }
    }
}

/// Subscribes to resources, or gives them up.
async fn subscribe(
    service: &Service,
    method: Method,
    uris: impl IntoIterator<Item = String>,
    client: &Arc<Client>,
) {
    for uri in uris {
        if let Err(error) = service.call(&subscription(method.clone(), &uri, client.clone())).await
        {
            tracing::debug!(%error, %method, "a subscription failed");
        }
    }
}

/// The outcome of a call as rmcp takes it: the result whole, as a value.
fn answer(
    method: &Method,
    modern: bool,
    result: Result<Reply, Error>,
) -> Result<ServerResult, ErrorData> {
    match result {
        Ok(reply) => {
            let result = if modern { modern_result(method, reply) } else { reply.result };
            let value = result.get().map_err(|error| invalid(&error))?;
            Ok(ServerResult::CustomResult(CustomResult::new(value)))
        }
        Err(error) => {
            let object = message::own_error(&error, method, modern);
            Err(error_data(&super::calls::modern_code(object, modern)))
        }
    }
}

fn invalid(error: &toolweir_core::InvalidJson) -> ErrorData {
    error_data(&message::error_object(code::INTERNAL, &error.to_string(), None))
}

impl RmcpService<RoleServer> for RmcpHandler {
    async fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        match request {
            ClientRequest::InitializeRequest(_)
            | ClientRequest::DiscoverRequest(_)
            | ClientRequest::PingRequest(_)
            | ClientRequest::SubscriptionsListenRequest(_) => {
                self.lifecycle.handle_request(request, context).await
            }
            request => self.carry(&request, context).await,
        }
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let method = match &notification {
            ClientNotification::InitializedNotification(_) => {
                self.forward(context.peer);
                return Ok(());
            }
            ClientNotification::RootsListChangedNotification(_) => Method::ROOTS_CHANGED,
            ClientNotification::CustomNotification(custom) => Method::from(custom.method.as_str()),
            _ => return Ok(()), // rmcp sees to cancellations; progress belongs to no request of ours
        };
        let params =
            params(&notification, notification_meta(&context)).map_err(|error| invalid(&error))?;
        self.lifecycle.service.notify(None, Notification::new(method, params)).await;
        Ok(())
    }

    fn get_info(&self) -> ServerConfig {
        ServerHandler::get_info(&self.lifecycle)
    }
}

impl ServerHandler for Lifecycle {
    fn get_info(&self) -> ServerConfig {
        let capabilities = self.info.capabilities.get::<ServerCapabilities>();
        let mut config = ServerConfig::new(capabilities.unwrap_or_default());
        if let Ok(identity) = self.info.identity.get::<Implementation>() {
            config = config.with_server_info(identity);
        }
        match &self.info.instructions {
            Some(instructions) => config.with_instructions(instructions),
            None => config,
        }
    }

    /// rmcp takes out what the capabilities do not name.
    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, listening: SubscriptionContext) -> Result<(), ErrorData> {
        let mut hearing = self.fan.hear();
        let uris = listening.accepted().resource_subscriptions.clone().unwrap_or_default();
        let mut client = Client::new(Principal::local());
        let capabilities: Option<ClientCapabilities> =
            listening.request_context().client_capabilities();
        if let Some(Ok(capabilities)) = capabilities.map(|it| RawJson::of(&it)) {
            client.capabilities = capabilities;
        }
        let client = Arc::new(client);
        let wanted: Vec<String> = uris.into_iter().take(Limits::default().in_flight).collect();
        subscribe(&self.service, Method::RESOURCES_SUBSCRIBE, wanted.clone(), &client).await;
        loop {
            tokio::select! {
                () = listening.cancelled() => break,
                notification = hearing.next() => match notification {
                    Some(notification) => {
                        let Some(typed) = caller::typed(&notification) else { continue };
                        // What was not asked for is refused here, and goes no further.
                        let _ = listening.sink().send(typed).await;
                    }
                    None => break,
                },
            }
        }
        let given_up = subscribe(&self.service, Method::RESOURCES_UNSUBSCRIBE, wanted, &client);
        let _ = tokio::time::timeout(UNSUBSCRIBE_PATIENCE, given_up).await;
        Ok(())
    }
}

impl fmt::Debug for RmcpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RmcpHandler").field("info", &self.lifecycle.info).finish_non_exhaustive()
    }
}
