//! What is agreed with an HTTP server, and the headers that say so.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;
use toolweir_core::{
    Call, Clock, Error, Instant, Kind, Method, RawJson, ServerInfo, ServerMessage, TokioClock,
};

use super::Remote;
use super::exchange::{self, Failed};
use super::listen;
use crate::message;
use crate::upstream::Options;
use crate::upstream::handshake::{self, Agreed, Link};
use crate::upstream::keeper::{AbortOnDrop, Ends};
use crate::upstream::outgoing;
use crate::version::{Era, MODERN};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// How long the first call waits for the stream that belongs to no call. Some servers send nothing of it before they have
/// something to say.
const STREAM_PATIENCE: Duration = Duration::from_millis(500);
/// How long a message that nobody waits for may take.
const ASIDE: Duration = Duration::from_secs(10);

/// The headers of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    version: Option<HeaderValue>,
    session: Option<HeaderValue>,
    method: Option<HeaderValue>,
    name: Option<HeaderValue>,
    params: Vec<(HeaderName, HeaderValue)>,
}

impl Head {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let pairs = [
            (VERSION, &self.version),
            (SESSION_ID, &self.session),
            (METHOD, &self.method),
            (NAME, &self.name),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.extend(self.params.iter().cloned());
    }

    /// The same with the headers that repeat arguments.
    pub(super) fn with_params(self, params: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { params, ..self }
    }

    pub(super) fn is_modern(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version == MODERN)
    }

    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// The same without what belongs to one call.
    pub(super) fn without_call(&self) -> Self {
        Self { method: None, name: None, params: Vec::new(), ..self.clone() }
    }

    /// A modern request's headers.
    pub(super) fn modern(method: &Method, name: Option<&str>) -> Self {
        Self {
            version: Some(HeaderValue::from_static(MODERN)),
            session: None,
            method: HeaderValue::from_str(method.as_str()).ok(),
            name: name.and_then(|name| HeaderValue::from_str(name).ok()),
            params: Vec::new(),
        }
    }
}

/// How long a server that was asked for its era, and had kept it, is not asked again. Some answer every call with what
/// another era's server might.
const ERA_HOLDS: Duration = Duration::from_secs(10);

/// An HTTP server as it was agreed to speak with it.
#[derive(Debug)]
pub(super) struct Session {
    agreed: Agreed,
    id: Option<HeaderValue>,
    listening: Mutex<Option<AbortOnDrop>>,
    /// When it last said that its era is the one agreed on.
    confirmed: Mutex<Option<Instant>>,
}

impl Ends for Session {}

impl Session {
    /// Finds out how the server speaks.
    pub(super) async fn open(remote: &Arc<Remote>) -> Result<Arc<Self>, Error> {
        let limit = remote.options.connect_timeout;
        let opening = Opening { remote, session: Mutex::default() };
        let timeout = || {
            Error::new(Kind::Unreachable).message(format!("not ready within {} s", limit.as_secs()))
        };
        let Options { probe_timeout, owner, .. } = &remote.options;
        let shake = handshake::shake(&opening, *probe_timeout, owner.as_ref());
        let agreed = tokio::time::timeout(limit, shake)
            .await
            .unwrap_or_else(|_| Err(timeout()))
            .map_err(crate::upstream::unreachable)?;
        let id = match agreed.era {
            Era::Legacy => opening.session().id.clone(),
            Era::Modern => None,
        };
        let info = agreed.info.clone();
        let session =
            Arc::new(Self { agreed, id, listening: Mutex::new(None), confirmed: Mutex::new(None) });
        let begun = Arc::new(Notify::new());
        let task = tokio::spawn(listen::listen(remote.clone(), &session, begun.clone()));
        *session.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDrop(task));
        if session.era() == Era::Legacy {
            // What a server says before there is a stream for it is lost, and it may ask something in the first call.
            let _ = tokio::time::timeout(STREAM_PATIENCE, begun.notified()).await;
        }
        remote.subscribers.tell(ServerMessage::Connected(info));
        Ok(session)
    }

    /// Whether the server is of the other era by now; `false` where that cannot be told.
    pub(super) async fn is_outdated(&self, remote: &Arc<Remote>) -> bool {
        let confirmed = || self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if confirmed().is_some_and(|at| TokioClock.now() - at < ERA_HOLDS) {
            return false;
        }
        let opening = Opening { remote, session: Mutex::default() };
        let probe = handshake::probe(&opening);
        match tokio::time::timeout(remote.options.probe_timeout, probe).await {
            Ok(Ok(era)) if era == self.era() => {
                *confirmed() = Some(TokioClock.now());
                false
            }
            Ok(Ok(_)) => true,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    pub(super) fn era(&self) -> Era {
        self.agreed.era
    }

    pub(super) fn info(&self) -> Arc<ServerInfo> {
        self.agreed.info.clone()
    }

    /// The headers of a call.
    pub(super) fn head(&self, call: &Call) -> Head {
        match self.era() {
            Era::Modern => Head::modern(&call.method, outgoing::header_name(call).as_deref()),
            Era::Legacy => self.plain_head(),
        }
    }

    /// The headers of every message of a legacy session.
    pub(super) fn plain_head(&self) -> Head {
        match self.era() {
            Era::Modern => {
                Head { version: Some(HeaderValue::from_static(MODERN)), ..Head::default() }
            }
            Era::Legacy => Head {
                version: HeaderValue::from_str(&self.agreed.info.protocol_version).ok(),
                session: self.id.clone(),
                ..Head::default()
            },
        }
    }

    /// Sends a message that nobody waits for.
    pub(super) fn post_aside(&self, remote: &Arc<Remote>, method: &str, bytes: Bytes) {
        let head = match self.era() {
            Era::Modern => Head::modern(&Method::from(method), None),
            Era::Legacy => self.plain_head(),
        };
        post_aside(remote, head, bytes);
    }

    /// What tells the server that the call `id` is cancelled, unless it is disarmed first.
    pub(super) fn cancel_notice(&self, remote: &Arc<Remote>, id: u64) -> CancelNotice {
        CancelNotice { remote: remote.clone(), head: self.plain_head(), id, armed: true }
    }

    /// Ends a legacy session, so that the server need not wait for its time to run out.
    pub(super) async fn end(&self, remote: &Arc<Remote>, deadline: Instant) {
        drop(self.listening.lock().unwrap_or_else(PoisonError::into_inner).take());
        if self.id.is_none() {
            return;
        }
        let mut request = hyper::Request::new(http_body_util::Full::new(Bytes::new()));
        *request.method_mut() = hyper::Method::DELETE;
        *request.uri_mut() = remote.endpoint.uri.clone();
        request.headers_mut().extend(remote.endpoint.headers.clone());
        self.plain_head().write(request.headers_mut());
        let _ = tokio::time::timeout_at(deadline.into_std().into(), remote.client.request(request))
            .await;
    }
}

fn post_aside(remote: &Arc<Remote>, head: Head, bytes: Bytes) {
    let this = remote.clone();
    remote.aside(async move {
        let _ = tokio::time::timeout(ASIDE, exchange::post(&this, &head, bytes)).await;
    });
}

/// Cancels a call at a legacy server when it is dropped armed.
pub(super) struct CancelNotice {
    remote: Arc<Remote>,
    head: Head,
    id: u64,
    armed: bool,
}

impl CancelNotice {
    pub(super) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for CancelNotice {
    fn drop(&mut self) {
        if self.armed && tokio::runtime::Handle::try_current().is_ok() {
            let params = serde_json::json!({ "requestId": self.id, "reason": "no longer awaited" });
            let bytes = message::notification(&Method::CANCELLED, Some(&RawJson::from(params)));
            post_aside(&self.remote, self.head.clone(), bytes);
        }
    }
}

/// A server with which nothing is agreed yet.
struct Opening<'a> {
    remote: &'a Arc<Remote>,
    session: Mutex<Begun>,
}

/// What the answer to `initialize` said.
#[derive(Default)]
struct Begun {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

impl Opening<'_> {
    fn session(&self) -> MutexGuard<'_, Begun> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Opening<'_> {
    async fn request(&self, method: Method, params: RawJson) -> Result<RawJson, Error> {
        let modern = method == Method::DISCOVER;
        let head = if modern { Head::modern(&method, None) } else { Head::default() };
        let answered = exchange::plain(self.remote, head, method, params)
            .await
            .map_err(|Failed { error, .. }| error)?;
        if !modern {
            let version = answered.result.member("protocolVersion");
            let version = version.and_then(|version| version.string().map(Cow::into_owned));
            *self.session() = Begun {
                id: answered.headers.get(SESSION_ID).cloned(),
                version: version.and_then(|version| HeaderValue::from_str(&version).ok()),
            };
        }
        Ok(answered.result)
    }

    async fn notify(&self, method: Method) -> Result<(), Error> {
        let head = {
            let begun = self.session();
            Head { version: begun.version.clone(), session: begun.id.clone(), ..Head::default() }
        };
        exchange::post(self.remote, &head, message::notification(&method, None)).await.map(drop)
    }
}
