//! Pages for people and their tools, behind the same gate.
#![expect(clippy::result_large_err, reason = "a refusal is made once a request, and is its answer")]

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::body::{Body, whole};
use super::gate::Access;
use super::{accept, http};
use crate::Limits;

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its media type, such as `application/json`.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Bytes,
}

/// Gives the page of a path; `None` where there is none.
pub type Pages = Arc<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// Serves pages by GET, until it is shut down or dropped.
pub struct PagesListener {
    address: SocketAddr,
    closing: CancellationToken,
    killed: CancellationToken,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for PagesListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagesListener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PagesListener {
    /// Listens on `address`; port 0 takes any that is free.
    ///
    /// # Errors
    /// Fails where the address cannot be listened on.
    pub async fn bind(
        address: impl ToSocketAddrs,
        access: Access,
        pages: Pages,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (closing, killed) = (CancellationToken::new(), CancellationToken::new());
        let access = Arc::new(access);
        let handler = move |request: Request<Incoming>| {
            let (access, pages) = (access.clone(), pages.clone());
            async move { answer(&access, &pages, request).unwrap_or_else(|refused| refused) }
        };
        let limits = Limits::default();
        let serving = accept::serve(listener, limits, closing.clone(), killed.clone(), handler);
        Ok(Self { address, closing, killed, accepting: tokio::spawn(serving) })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and lets those that are open end within `grace`; then ends them.
    ///
    /// # Cancel safety
    /// Dropping the future ends everything at once, without waiting for it.
    pub async fn shutdown(mut self, grace: Duration) {
        self.closing.cancel();
        if tokio::time::timeout(grace, &mut self.accepting).await.is_err() {
            self.killed.cancel();
            let _ = (&mut self.accepting).await;
        }
    }
}

impl Drop for PagesListener {
    fn drop(&mut self) {
        self.closing.cancel();
        self.killed.cancel();
    }
}

fn answer(
    access: &Access,
    pages: &Pages,
    request: Request<Incoming>,
) -> Result<Response<Body>, Response<Body>> {
    let (head, _) = request.into_parts();
    http::check(access, &head)?;
    http::begin(&head)?;
    if head.method != Method::GET {
        return Err(http::not_allowed("GET"));
    }
    let page = catch_unwind(AssertUnwindSafe(|| pages(head.uri.path()))).map_err(|_| {
        tracing::error!("a page panicked");
        http::refuse(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made")
    })?;
    let page = page.ok_or_else(|| http::refuse(StatusCode::NOT_FOUND, "there is nothing here"))?;
    let kind = HeaderValue::from_static(page.content_type);
    let mut response = whole(StatusCode::OK, kind, page.body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
