//! A server at a URL, by whichever of the two transports over HTTP it speaks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use toolweir_core::{
    Call, Clock, Error, Instant, Kind, Notification, Reply, Server, ServerInfo, Subscriber,
    TokioClock,
};

use super::http::{self, Endpoint, HttpServer};
use super::stdio::StdioServer;
use super::{Options, Owner};

/// An MCP server at a URL: over Streamable HTTP, or, where it has nothing else, over HTTP+SSE as of 2024-11-05.
///
/// Which it is, is found out when it is connected: where the one transport is refused (a status from 400 to 499 that
/// speaks of neither credentials nor time), the other is tried. The one that worked stays until it is refused.
///
/// Over HTTP+SSE a lost stream is opened again by the next call; what was in flight fails and is never sent again.
///
/// ```
/// # use toolweir_wire::{Endpoint, Options, WebServer};
/// # fn example() -> Result<WebServer, toolweir_core::Error> {
/// let endpoint = Endpoint::new("http://127.0.0.1:3001/sse")?;
/// let server = WebServer::new("old", endpoint, Options::default())?.sse_first();
/// # Ok(server)
/// # }
/// ```
#[derive(Clone)]
pub struct WebServer(Arc<Inner>);

struct Inner {
    streamable: HttpServer,
    sse: StdioServer,
    uses_sse: AtomicBool,
    /// It has been connected, so that it is known which to use.
    is_known: AtomicBool,
}

impl WebServer {
    /// A server called `name` at `endpoint`. Nothing is sent yet.
    ///
    /// # Errors
    /// Fails where the system's certificates cannot be read.
    pub fn new(
        name: impl Into<Arc<str>>,
        endpoint: Endpoint,
        options: Options,
    ) -> Result<Self, Error> {
        let name = name.into();
        let source = http::sse_source(&endpoint, &options)?;
        let sse = StdioServer::legacy(name.clone(), source, options.clone());
        let streamable = HttpServer::new(name, endpoint, options)?;
        Ok(Self::with(streamable, sse, false, false))
    }

    fn with(streamable: HttpServer, sse: StdioServer, uses_sse: bool, is_known: bool) -> Self {
        let (uses_sse, is_known) = (AtomicBool::new(uses_sse), AtomicBool::new(is_known));
        Self(Arc::new(Inner { streamable, sse, uses_sse, is_known }))
    }

    /// The same, where HTTP+SSE is tried first.
    #[must_use]
    pub fn sse_first(self) -> Self {
        self.0.uses_sse.store(true, Ordering::Relaxed);
        self
    }

    /// The same endpoint for one client alone: a session of its own, not opened yet.
    #[must_use]
    pub fn sibling(&self, owner: Owner) -> Self {
        let Inner { streamable, sse, uses_sse, is_known } = &*self.0;
        let (uses_sse, is_known) =
            (uses_sse.load(Ordering::Relaxed), is_known.load(Ordering::Relaxed));
        Self::with(streamable.sibling(owner.clone()), sse.sibling(owner), uses_sse, is_known)
    }

    fn pair(&self) -> [&dyn Server; 2] {
        let Inner { streamable, sse, uses_sse, .. } = &*self.0;
        if uses_sse.load(Ordering::Relaxed) { [sse, streamable] } else { [streamable, sse] }
    }

    fn current(&self) -> &dyn Server {
        self.pair()[0]
    }
}

/// Whether the server does not speak the transport that was tried.
fn is_refused(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Kind::Status { status }) = error.downcast_ref::<Error>().map(Error::kind) {
            return (400..500).contains(&status) && ![401, 403, 407, 408, 425].contains(&status);
        }
        cause = error.source();
    }
    false
}

#[async_trait]
impl Server for WebServer {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let deadline = call.deadline.unwrap_or(Instant::FAR_FUTURE);
        if !self.0.is_known.load(Ordering::Relaxed) {
            self.connect(deadline).await?;
        }
        match self.current().call(call).await {
            // It came back with the other transport alone. The call was not sent: connecting had failed.
            Err(error) if error.kind() == Kind::Unreachable && is_refused(&error) => {
                self.connect(deadline).await?;
                self.current().call(call).await
            }
            answer => answer,
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        let uses_sse = self.0.uses_sse.load(Ordering::Relaxed);
        let [first, second] = self.pair();
        let error = match first.connect(deadline).await {
            Ok(info) => {
                self.0.is_known.store(true, Ordering::Relaxed);
                return Ok(info);
            }
            Err(error) => error,
        };
        if !is_refused(&error) || TokioClock.now() >= deadline {
            return Err(error);
        }
        // Where neither works, the first says why.
        let info = second.connect(deadline).await.map_err(|_| error)?;
        self.0.uses_sse.store(!uses_sse, Ordering::Relaxed);
        self.0.is_known.store(true, Ordering::Relaxed);
        Ok(info)
    }

    async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        self.connect(deadline).await?;
        self.current().probe(deadline).await
    }

    async fn notify(&self, notification: Notification) {
        self.current().notify(notification).await;
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.streamable.subscribe(subscriber.clone());
        self.0.sse.subscribe(subscriber);
    }

    async fn close(&self, deadline: Instant) {
        tokio::join!(self.0.streamable.close(deadline), self.0.sse.close(deadline));
    }
}

impl fmt::Debug for WebServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebServer")
            .field("streamable", &self.0.streamable)
            .field("uses_sse", &self.0.uses_sse)
            .finish_non_exhaustive()
    }
}
