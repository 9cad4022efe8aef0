//! A server reached over Streamable HTTP.

mod connector;
mod exchange;
mod listen;
mod questions;
mod session;
mod sse;
mod stream;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_core::{
    Call, Error, Instant, Kind, Method, Notification, RawJson, Reply, Server, ServerInfo,
    ServerMessage, Subscriber,
};

use self::connector::HttpClient;
use self::exchange::Failed;
use self::questions::Questions;
use self::session::Session;
use super::keeper::Keeper;
use super::source::Source;
use super::subscribers::Subscribers;
use super::waiting::{Origin, Waiting};
use super::wishes::Wishes;
use super::{Options, Owner, bridge, crossing, outgoing, parameters, until};
use crate::message;
use crate::mirrors::Mirrors;
use crate::version::Era;

/// What connects to a server over HTTP+SSE, the transport of 2024-11-05.
///
/// # Errors
/// Fails where the system's certificates cannot be read.
pub(super) fn sse_source(endpoint: &Endpoint, options: &Options) -> Result<Source, Error> {
    let client = connector::client(options)?;
    Ok(sse::source(endpoint.clone(), client, options))
}

/// Where an HTTP server is, and what is sent along with every request.
#[derive(Clone)]
pub struct Endpoint {
    uri: Uri,
    headers: HeaderMap,
}

impl Endpoint {
    /// The endpoint at `url`.
    ///
    /// # Errors
    /// Fails where `url` is no absolute `http` URL (or `https`, with the `tls` feature).
    pub fn new(url: &str) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(Kind::InvalidRequest).message(text);
        let uri: Uri = url.parse().map_err(|error| invalid(format!("not a URL: {error}")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") if cfg!(feature = "tls") => {}
            Some("https") => return Err(invalid("https needs the `tls` feature".to_owned())),
            _ => return Err(invalid("a server's URL begins with http:// or https://".to_owned())),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(invalid("the URL names no host".to_owned()));
        }
        Ok(Self { uri, headers: HeaderMap::new() })
    }

    /// The same endpoint with another header on every request; its value is never shown.
    ///
    /// # Errors
    /// Fails where the name or the value cannot stand in an HTTP header, or where the header is one that the protocol sets.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(Kind::InvalidRequest).message(text);
        let name: HeaderName =
            name.parse().map_err(|_| invalid(format!("`{name}` is no header name")))?;
        const OURS: [&str; 8] = [
            "host",
            "content-length",
            "content-type",
            "accept",
            "mcp-session-id",
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
        ];
        if OURS.contains(&name.as_str()) {
            return Err(invalid(format!("`{name}` is set by the protocol")));
        }
        let mut value: HeaderValue = value
            .parse()
            .map_err(|_| invalid(format!("the value of `{name}` cannot stand in a header")))?;
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(self)
    }
}

/// Shows the host and the names of headers; paths, queries and values may be secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Endpoint")
            .field("host", &self.uri.host())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// An MCP server at an HTTP endpoint.
///
/// The first call (or [`connect`](Server::connect)) finds out how it speaks. A server that has gone is asked again by
/// the next call; a legacy session that it no longer knows is opened again once, and the call that was refused is
/// sent again, because a refused call was not carried out.
#[derive(Clone)]
pub struct HttpServer(Arc<Inner>);

struct Inner {
    remote: Arc<Remote>,
    keeper: Arc<Keeper<Session>>,
}

/// What every request needs; shared with the tasks, which must not keep the server alive.
struct Remote {
    name: Arc<str>,
    endpoint: Endpoint,
    client: HttpClient,
    options: Options,
    ids: AtomicU64,
    subscribers: Arc<Subscribers>,
    /// Resources whose updates are wanted of a modern server.
    wishes: Arc<Wishes>,
    /// Which arguments a modern server wants repeated in headers.
    mirrors: Mirrors,
    /// Held while they are looked up.
    learning: tokio::sync::Mutex<()>,
    /// Cancellations and answers that are sent beside the calls.
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Places for calls.
    places: Semaphore,
    /// The calls in flight: whom a message may be for that names none of them.
    waiting: Arc<Waiting>,
    /// What the server has asked and not been answered.
    questions: Questions,
}

/// How many messages may be on their way beside the calls; a server can cause any number of them.
const ASIDE_MAX: usize = 1_024;
/// How many pages of tools are read for one call's headers.
const PAGES_MAX: usize = 64;

impl HttpServer {
    /// A server called `name` at `endpoint`. Nothing is sent yet.
    ///
    /// # Errors
    /// Fails where the system's certificates cannot be read.
    pub fn new(
        name: impl Into<Arc<str>>,
        endpoint: Endpoint,
        options: Options,
    ) -> Result<Self, Error> {
        let client = connector::client(&options)?;
        Ok(Self::with(name.into(), endpoint, client, options))
    }

    /// The same endpoint for one client alone: a session of its own, not opened yet, over the same connections.
    #[must_use]
    pub fn sibling(&self, owner: Owner) -> Self {
        let Remote { name, endpoint, client, options, .. } = &*self.0.remote;
        Self::with(name.clone(), endpoint.clone(), client.clone(), options.clone().owner(owner))
    }

    fn with(name: Arc<str>, endpoint: Endpoint, client: HttpClient, options: Options) -> Self {
        let places = Semaphore::new(options.limits.in_flight.min(Semaphore::MAX_PERMITS));
        let waiting = Arc::new(Waiting::new(options.limits.in_flight, options.owner.as_ref()));
        let remote = Remote {
            name,
            endpoint,
            client,
            options,
            ids: AtomicU64::new(1),
            subscribers: Arc::default(),
            wishes: Arc::default(),
            mirrors: Mirrors::default(),
            learning: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            places,
            waiting,
            questions: Questions::default(),
        };
        Self(Arc::new(Inner { remote: Arc::new(remote), keeper: Keeper::new() }))
    }

    async fn session(&self, deadline: Option<Instant>) -> Result<Arc<Session>, Error> {
        let attempt = || {
            let remote = self.0.remote.clone();
            async move { Session::open(&remote).await }
        };
        self.0.keeper.get(deadline, attempt).await
    }

    async fn exchange(&self, call: &Call) -> Result<Reply, Error> {
        let limits = &self.0.remote.options.limits;
        let _place = self.0.remote.places.try_acquire().map_err(|_| {
            Error::new(Kind::Overloaded).message(format!("{} calls in flight", limits.in_flight))
        })?;
        let mut session = self.session(call.deadline).await?;
        if let Some(wished) = self.0.remote.wishes.take(call, session.era()) {
            return wished?.answer(call.deadline).await;
        }
        let (mut reopened, mut relearnt) = (false, false);
        loop {
            let params = parameters::headers(&self.0.remote.mirrors, call);
            let failed = match self.exchange_in(&session, call).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            if failed.error.kind() == Kind::Unreachable {
                self.0.lose(&session, &failed.error);
            }
            // Refused for a header and not carried out: sent once more where the tool's list knows better.
            let mismatch = Kind::Protocol { code: message::code::HEADER_MISMATCH };
            if failed.error.kind() == mismatch
                && session.era() == Era::Modern
                && call.method == Method::TOOLS_CALL
                && !std::mem::replace(&mut relearnt, true)
                && self.relearn(&session, call, &params).await
            {
                continue;
            }
            // Not an answer of the era that was agreed on, and the probe says why: the server is another one by now.
            if failed.is_doubtful
                && !reopened
                && !failed.session_gone
                && self.is_outdated(&session, call.deadline).await
            {
                self.0.lose(&session, &failed.error);
                if !failed.unread {
                    return Err(failed.error);
                }
                reopened = true;
                session = self.session(call.deadline).await?;
                continue;
            }
            if !failed.session_gone || session.era() != Era::Legacy {
                return Err(failed.error);
            }
            self.0.lose(&session, &failed.error);
            if !failed.unread || std::mem::replace(&mut reopened, true) {
                return Err(failed.error);
            }
            session = self.session(call.deadline).await?;
        }
    }

    async fn is_outdated(&self, session: &Session, deadline: Option<Instant>) -> bool {
        let probe = async { Ok(session.is_outdated(&self.0.remote).await) };
        until(deadline, probe).await.unwrap_or(false)
    }

    async fn exchange_in(&self, session: &Arc<Session>, call: &Call) -> Result<Reply, Failed> {
        let id = self.0.remote.next_id();
        let outgoing = outgoing::encode(id, call, session.era())?;
        let origin = Origin::of(call, outgoing.token.clone());
        let caused = Origin::caused(call, outgoing.token);
        let _entered = Entered::new(&self.0.remote, id, caused)?;
        let mut head = session.head(call);
        if session.era() == Era::Modern {
            head = head.with_params(parameters::headers(&self.0.remote.mirrors, call));
        }
        // A legacy server is told that the call is cancelled; a modern one sees its stream closed.
        let notice =
            (session.era() == Era::Legacy).then(|| session.cancel_notice(&self.0.remote, id));
        let exchange = async {
            let answer =
                exchange::exchange(&self.0.remote, head, outgoing.bytes, id, Some(&origin)).await;
            Ok(answer)
        };
        let answer = until(call.deadline, exchange).await.map_err(Failed::from)?;
        if let Some(notice) = notice {
            notice.disarm();
        }
        let mut result = answer?.result;
        if session.era() == Era::Modern && call.method == Method::TOOLS_LIST {
            result = parameters::pass(&self.0.remote.mirrors, &self.0.remote.name, result);
        }
        Ok(message::reply_of(result))
    }

    /// Lists the server's tools; says whether the call needs other headers than `sent`.
    async fn relearn(
        &self,
        session: &Arc<Session>,
        call: &Call,
        sent: &[(HeaderName, HeaderValue)],
    ) -> bool {
        let changed = || parameters::headers(&self.0.remote.mirrors, call) != sent;
        let learn = async {
            let _turn = self.0.remote.learning.lock().await;
            let mut cursor = None;
            for _ in 0..PAGES_MAX {
                if changed() {
                    break; // found, by this call or by another one
                }
                let params = cursor
                    .map(|cursor: String| RawJson::from(serde_json::json!({ "cursor": cursor })));
                let mut list = Call::new(Method::TOOLS_LIST, params).client(call.client.clone());
                list.deadline = call.deadline;
                let page = self.exchange_in(session, &list).await.map_err(|failed| failed.error)?;
                cursor = page
                    .result
                    .member("nextCursor")
                    .and_then(|cursor| cursor.string().map(std::borrow::Cow::into_owned));
                if cursor.is_none() {
                    break;
                }
            }
            Ok(())
        };
        until(call.deadline, learn).await.is_ok() && changed()
    }
}

/// A call's place among those in flight; given back on drop.
struct Entered<'a>(&'a Waiting, u64);

impl<'a> Entered<'a> {
    fn new(remote: &'a Remote, id: u64, origin: Option<Origin>) -> Result<Self, Error> {
        drop(remote.waiting.enter(id, origin)?); // the answer comes on the call's own stream
        Ok(Self(&remote.waiting, id))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl Remote {
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs work that no call waits for; it ends with the server.
    fn aside(&self, work: impl Future<Output = ()> + Send + 'static) {
        if self.tasks.len() >= ASIDE_MAX {
            tracing::debug!(server = &*self.name, "too much beside the calls; left out");
            return;
        }
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }
}

impl Inner {
    fn lose(&self, session: &Session, error: &Error) {
        if self.keeper.lose(session, error) {
            tracing::warn!(server = &*self.remote.name, %error, "lost");
            self.remote.subscribers.tell(ServerMessage::Disconnected(error.clone()));
        }
    }
}

#[async_trait]
impl Server for HttpServer {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let answered = bridge::answered(call, |call| async move { self.exchange(&call).await });
        match answered.await {
            Ok(mut reply) => {
                reply.server = Some(self.0.remote.name.clone());
                Ok(reply)
            }
            Err(error) => Err(error.server(self.0.remote.name.clone())),
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        let session = self.session(Some(deadline)).await;
        session
            .map(|session| session.info())
            .map_err(|error| error.server(self.0.remote.name.clone()))
    }

    async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        let method = match self.session(Some(deadline)).await?.era() {
            Era::Legacy => Method::PING,
            Era::Modern => Method::DISCOVER,
        };
        match self.call(&Call::new(method, None).deadline(deadline)).await {
            Err(error) if !matches!(error.kind(), Kind::Protocol { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    async fn notify(&self, notification: Notification) {
        if let Some(session) = self.0.keeper.current() {
            let notification = crossing::told(notification, session.era());
            let bytes = message::notification(&notification.method, notification.params.as_ref());
            session.post_aside(&self.0.remote, notification.method.as_str(), bytes);
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.remote.subscribers.add(subscriber);
    }

    async fn close(&self, deadline: Instant) {
        let session = self.0.keeper.close().await;
        if let Some(session) = session {
            session.end(&self.0.remote, deadline).await;
        }
        self.0.remote.tasks.close();
        let in_time =
            tokio::time::timeout_at(deadline.into_std().into(), self.0.remote.tasks.wait()).await;
        if in_time.is_err() {
            self.0.remote.stop.cancel();
            self.0.remote.tasks.wait().await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.remote.stop.cancel();
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("name", &self.0.remote.name)
            .field("endpoint", &self.0.remote.endpoint)
            .finish_non_exhaustive()
    }
}
