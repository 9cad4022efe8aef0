//! The handler through which an rmcp client's server speaks to callers and subscribers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientResult, CustomResult, Implementation, ProgressToken,
    ProtocolVersion, RequestId, ServerNotification, ServerRequest,
};
use rmcp::service::{
    InboundStreamOrigin, NotificationContext, RequestContext, RequestHandle, Service,
};
use rmcp::{ErrorData, RoleClient};
use serde_json::json;
use tokio::sync::oneshot;
use toolweir_core::{Clock, Error, Kind, Method, Notification, ServerMessage, TokioClock};

use crate::Limits;
use crate::message::{self, code};
use crate::rmcp::{error_data, notification_meta, params};
use crate::upstream::subscribers::Subscribers;
use crate::upstream::waiting::{Origin, Waiting};
use crate::version::LEGACY;

/// How long a client's user or model may take to answer a server's request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(600);

/// The rmcp client handler to connect with, for an [`RmcpServer`](super::RmcpServer).
///
/// It declares sampling, elicitation and roots, and hands each of the server's questions to the caller whose call caused it:
/// known from the stream that it came on, or where one client alone has calls in flight; otherwise it is refused.
///
/// ```no_run
/// # async fn connect(transport: tokio::io::DuplexStream) -> Result<(), Box<dyn std::error::Error>> {
/// use rmcp::ServiceExt;
/// use toolweir_wire::rmcp::{Relay, RmcpServer};
///
/// let service = Relay::new().serve(transport).await?; // any transport of rmcp's
/// let server = RmcpServer::new("docs", service);
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Relay(Arc<State>);

struct State {
    waiting: Arc<Waiting>,
    subscribers: Arc<Subscribers>,
    /// rmcp's names for our calls.
    names: Mutex<Names>,
    /// Held from when a request is given to rmcp until its names are entered.
    entering: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Names {
    by_token: HashMap<ProgressToken, u64>,
    by_request: HashMap<RequestId, u64>,
    /// Subscriptions that the server has not acknowledged yet.
    subscriptions: HashMap<RequestId, oneshot::Sender<()>>,
}

impl Default for Relay {
    fn default() -> Self {
        Self::new()
    }
}

impl Relay {
    /// A relay for one connection.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(State {
            waiting: Arc::new(Waiting::new(Limits::default().in_flight, None)),
            subscribers: Arc::default(),
            names: Mutex::default(),
            entering: tokio::sync::Mutex::default(),
        }))
    }

    pub(super) fn waiting(&self) -> &Arc<Waiting> {
        &self.0.waiting
    }

    pub(super) fn subscribers(&self) -> &Arc<Subscribers> {
        &self.0.subscribers
    }

    pub(super) async fn entering(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.entering.lock().await
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, id: u64, handle: &RequestHandle<RoleClient>) {
        let mut names = self.names();
        names.by_token.insert(handle.progress_token.clone(), id);
        names.by_request.insert(handle.id.clone(), id);
    }

    pub(super) fn leave(&self, handle: &RequestHandle<RoleClient>) {
        let mut names = self.names();
        names.by_token.remove(&handle.progress_token);
        names.by_request.remove(&handle.id);
    }

    /// Awaits that the server acknowledges a subscription.
    pub(super) fn awaits_acknowledgement(&self, id: &RequestId) -> oneshot::Receiver<()> {
        let (acknowledges, acknowledgement) = oneshot::channel();
        let mut names = self.names();
        names.subscriptions.retain(|_, awaited| !awaited.is_closed());
        names.subscriptions.insert(id.clone(), acknowledges);
        acknowledgement
    }

    /// The call that a question belongs to.
    async fn asked_by(&self, context: &RequestContext<RoleClient>) -> Option<(u64, Origin)> {
        if let Some(InboundStreamOrigin::OutboundRequest(request)) = context.extensions.get() {
            drop(self.entering().await);
            let id = self.names().by_request.get(request).copied()?;
            return Some((id, self.0.waiting.origin(id)?));
        }
        self.0.waiting.sole_origin()
    }

    async fn answer(
        &self,
        request: &ServerRequest,
        context: &RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        let method = match request {
            ServerRequest::PingRequest(_) => return Ok(ClientResult::empty(())),
            ServerRequest::CreateMessageRequest(_) => Method::SAMPLING,
            ServerRequest::ElicitRequest(_) => Method::ELICITATION,
            ServerRequest::ListRootsRequest(_) => Method::ROOTS_LIST,
            _ => return Err(refusal(code::METHOD_NOT_FOUND, "method not found")),
        };
        let params = params(request, &context.meta)
            .map_err(|error| refusal(code::INVALID_PARAMS, &error.to_string()))?;
        let Some((call, origin)) = self.asked_by(context).await else {
            return Err(refusal(
                code::INVALID_REQUEST,
                "it cannot be told which client's call this belongs to: none, or several, have calls in flight",
            ));
        };
        let _asking = self.0.waiting.asking(call);
        let deadline = TokioClock.now() + REQUEST_PATIENCE;
        let answer = match &origin.peer {
            Some(peer) => peer.request(method.clone(), params, deadline).await,
            None => Err(Error::new(Kind::InvalidRequest).message("the caller cannot be asked")),
        };
        let invalid =
            |error: toolweir_core::InvalidJson| refusal(code::INTERNAL, &error.to_string());
        match answer {
            Ok(result) => {
                Ok(ClientResult::CustomResult(CustomResult::new(result.get().map_err(invalid)?)))
            }
            Err(error) => Err(error_data(&message::own_error(&error, &method, false))),
        }
    }
}

fn refusal(code: i64, text: &str) -> ErrorData {
    error_data(&message::error_object(code, text, None))
}

impl Service<RoleClient> for Relay {
    async fn handle_request(
        &self,
        request: ServerRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        tokio::select! {
            biased;
            () = context.ct.cancelled() => Err(refusal(code::INTERNAL, "cancelled")), // nobody reads it
            answer = self.answer(&request, &context) => answer,
        }
    }

    async fn handle_notification(
        &self,
        notification: ServerNotification,
        context: NotificationContext<RoleClient>,
    ) -> Result<(), ErrorData> {
        let method = match &notification {
            ServerNotification::CancelledNotification(_) => return Ok(()),
            ServerNotification::SubscriptionsAcknowledgedNotification(_) => {
                drop(self.entering().await);
                let id = notification_meta(&context).subscription_id();
                let acknowledges = id.and_then(|id| self.names().subscriptions.remove(&id));
                if let Some(acknowledges) = acknowledges {
                    let _ = acknowledges.send(()); // its task may have ended
                }
                return Ok(());
            }
            ServerNotification::ProgressNotification(progress) => {
                drop(self.entering().await);
                let token = &progress.params.progress_token;
                let origin = self.names().by_token.get(token).copied();
                if let Some(origin) = origin.and_then(|id| self.0.waiting.origin(id)) {
                    let params = params(&notification, notification_meta(&context));
                    origin.notify(Notification::new(Method::PROGRESS, params.ok().flatten()));
                }
                return Ok(());
            }
            ServerNotification::LoggingMessageNotification(_) => Method::MESSAGE,
            ServerNotification::ResourceUpdatedNotification(_) => Method::RESOURCE_UPDATED,
            ServerNotification::ResourceListChangedNotification(_) => Method::RESOURCES_CHANGED,
            ServerNotification::ToolListChangedNotification(_) => Method::TOOLS_CHANGED,
            ServerNotification::PromptListChangedNotification(_) => Method::PROMPTS_CHANGED,
            ServerNotification::CustomNotification(custom) => Method::from(custom.method.as_str()),
            ServerNotification::TaskStatusNotification(_) => Method::from("notifications/tasks"),
            _ => return Ok(()),
        };
        let params = params(&notification, notification_meta(&context))
            .map_err(|error| refusal(code::INVALID_PARAMS, &error.to_string()))?;
        let notification = Notification::new(method, params);
        if notification.method == Method::MESSAGE {
            // Names no call: given to the client that alone has calls in flight, never guessed.
            if let Some((_, origin)) = self.0.waiting.sole_origin() {
                origin.notify(notification);
            }
        } else {
            self.0.subscribers.tell(ServerMessage::Notification(notification));
        }
        Ok(())
    }

    fn get_info(&self) -> ClientConfig {
        let capabilities = json!({
            "roots": { "listChanged": true }, "sampling": {}, "elicitation": { "form": {}, "url": {} },
        });
        let capabilities = serde_json::from_value::<ClientCapabilities>(capabilities);
        let identity = Implementation::new("toolweir", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(capabilities.unwrap_or_default(), identity);
        match ProtocolVersion::KNOWN_VERSIONS.iter().find(|known| known.as_str() == LEGACY[0]) {
            Some(version) => config.with_protocol_version(version.clone()),
            None => config,
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}
