//! The way back to the client of one call, through rmcp.

use std::sync::Arc;

use async_trait::async_trait;
use rmcp::RoleServer;
use rmcp::model::{
    ClientResult, CustomNotification, CustomRequest, ServerNotification, ServerRequest,
};
use rmcp::service::{
    Peer as RmcpPeer, PeerRequestOptions, RequestContext, RequestHandle, ServiceError,
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use toolweir_core::{Client, Error, Instant, Kind, Method, Notification, Peer, RawJson};

use crate::listen::peer::refusal;
use crate::listen::session::Level;
use crate::rmcp::failure;
use crate::version::meta;

/// How many messages of one call may wait to be sent.
const QUEUE: usize = 4_096;

/// What goes out on a call's way back. The call's own task sends it: so it is in order, before the result, and rmcp knows
/// which request a question belongs to.
#[derive(Debug)]
pub(super) enum Outward {
    Tell(ServerNotification),
    Ask(ServerRequest, oneshot::Sender<Result<RequestHandle<RoleServer>, ServiceError>>),
    /// Nobody waits for the answer any more.
    Withdraw(RequestHandle<RoleServer>),
}

/// Sends one of them.
pub(super) async fn send(peer: &RmcpPeer<RoleServer>, next: Outward) {
    match next {
        Outward::Tell(notification) => {
            let _ = peer.send_notification(notification).await; // the client may have gone
        }
        Outward::Ask(request, asked) => {
            let options = PeerRequestOptions::no_options();
            let _ = asked.send(peer.send_request_with_option(request, options).await);
        }
        Outward::Withdraw(handle) => {
            let _ = handle.cancel(None).await;
        }
    }
}

/// Carries a call's notifications and questions to its client.
#[derive(Debug)]
pub(super) struct CallerPeer {
    client: Arc<Client>,
    modern: bool,
    progress: Option<RawJson>,
    level: Option<Level>,
    outward: mpsc::Sender<Outward>,
    overflow: CancellationToken,
}

impl CallerPeer {
    pub(super) fn new(
        client: Arc<Client>,
        context: &RequestContext<RoleServer>,
        modern: bool,
    ) -> (Self, mpsc::Receiver<Outward>) {
        let (outward, queue) = mpsc::channel(QUEUE);
        let progress = context.meta.get_progress_token().and_then(|it| RawJson::of(&it).ok());
        let level =
            context.meta.get(meta::LOG_LEVEL).and_then(|level| Level::parse(level.as_str()?));
        let overflow = CancellationToken::new();
        (Self { client, modern, progress, level, outward, overflow }, queue)
    }

    /// Cancelled where more waits to be sent than there is room for.
    pub(super) fn overflow(&self) -> CancellationToken {
        self.overflow.clone()
    }

    /// The notification to send; `None` where the client does not want it.
    fn wanted(&self, notification: Notification) -> Option<Notification> {
        match notification.method.as_str() {
            "notifications/progress" => {
                let (token, params) = (self.progress.as_ref()?, notification.params?);
                let params = params.edit().set(meta::PROGRESS_TOKEN, token).finish().ok()?;
                Some(Notification::new(Method::PROGRESS, Some(params)))
            }
            "notifications/message" if self.modern => {
                let passes = Level::of(notification.params.as_ref())? >= self.level?;
                passes.then_some(notification)
            }
            "notifications/message" => Some(notification),
            _ => (!self.modern).then_some(notification),
        }
    }
}

/// A notification as rmcp takes it: progress, by whose token it finds the way, by its model, the rest as it is.
pub(super) fn notification(notification: &Notification) -> ServerNotification {
    if notification.method == Method::PROGRESS
        && let Some(typed) = typed(notification)
    {
        return typed;
    }
    let params = notification.params.as_ref().and_then(|params| params.get().ok());
    let method = notification.method.as_str();
    ServerNotification::CustomNotification(CustomNotification::new(method, params))
}

/// A notification by rmcp's model of it.
pub(super) fn typed(notification: &Notification) -> Option<ServerNotification> {
    let params: Option<serde_json::Value> =
        notification.params.as_ref().map(|params| params.get()).transpose().ok()?;
    let mut message = json!({ "method": notification.method.as_str() });
    if let Some(params) = params {
        message["params"] = params;
    }
    serde_json::from_value(message).ok()
}

#[async_trait]
impl Peer for CallerPeer {
    fn notify(&self, notification: Notification) {
        let Some(wanted) = self.wanted(notification) else { return };
        let next = Outward::Tell(self::notification(&wanted));
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outward.try_send(next) {
            self.overflow.cancel();
        }
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        let refused = match self.modern {
            false => refusal(&self.client, &method, params.as_ref()),
            true => Some("a client of 2026-07-28 cannot be asked this"),
        };
        if let Some(reason) = refused {
            return Err(Error::new(Kind::InvalidRequest).message(reason));
        }
        let gone = || Error::new(Kind::Disconnected).message("the client cannot be reached");
        let params = params.map(|params| params.get()).transpose().map_err(|error| {
            Error::new(Kind::InvalidRequest).message(format!("params: {error}"))
        })?;
        let request = ServerRequest::CustomRequest(CustomRequest::new(method.as_str(), params));
        let (asked, asking) = oneshot::channel();
        let ask = async {
            self.outward.send(Outward::Ask(request, asked)).await.map_err(|_| gone())?;
            let handle = asking.await.map_err(|_| gone())?.map_err(failure)?;
            let mut question = Question { handle: Some(handle), outward: &self.outward };
            question.answer().await
        };
        match tokio::time::timeout_at(deadline.into_std().into(), ask).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(Kind::Timeout).message("the client did not answer")),
        }
    }
}

/// An open question; dropped, it is withdrawn.
struct Question<'a> {
    handle: Option<RequestHandle<RoleServer>>,
    outward: &'a mpsc::Sender<Outward>,
}

impl Question<'_> {
    async fn answer(&mut self) -> Result<RawJson, Error> {
        let gone = || Error::new(Kind::Disconnected).message("the client cannot be reached");
        let handle = self.handle.as_mut().ok_or_else(gone)?;
        let answer = (&mut handle.rx).await;
        self.handle = None;
        let result: ClientResult = answer.map_err(|_| gone())?.map_err(failure)?;
        RawJson::of(&result)
            .map_err(|error| Error::new(Kind::InvalidReply).message(error.to_string()))
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = self.outward.try_send(Outward::Withdraw(handle)); // the call may be over
        }
    }
}
