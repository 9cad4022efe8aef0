//! What stands behind a listener.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use toolweir_core::{
    Call, Client, Clock, Error, Kind, Notification, Reply, Server, ServerInfo, TokioClock,
};

use super::Access;
use crate::Limits;

/// A server with the terms on which clients may use it.
///
/// ```
/// use std::sync::Arc;
/// use toolweir_wire::{Access, Service};
/// # use toolweir_core::{Call, Error, RawJson, Reply, Server};
/// # struct Echo;
/// # #[async_trait::async_trait]
/// # impl Server for Echo {
/// #     async fn call(&self, call: &Call) -> Result<Reply, Error> {
/// #         Ok(Reply::new(call.params.clone().unwrap_or(RawJson::EMPTY_OBJECT)))
/// #     }
/// # }
///
/// let service = Service::new(Arc::new(Echo)).access(Access::default().token("…"));
/// ```
#[derive(Clone)]
pub struct Service {
    pub(crate) server: Arc<dyn Server>,
    pub(crate) access: Arc<Access>,
    pub(crate) limits: Limits,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("access", &self.access)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Serves `server` on loopback names, within the default limits.
    #[must_use]
    pub fn new(server: Arc<dyn Server>) -> Self {
        Self { server, access: Arc::default(), limits: Limits::default() }
    }

    /// The same, for whom `access` lets in.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = Arc::new(access);
        self
    }

    /// The same, within `limits`.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) async fn call(&self, call: &Call) -> Result<Reply, Error> {
        caught(async { self.server.call(call).await }).await.unwrap_or_else(|| Err(panicked()))
    }

    pub(crate) async fn info(&self) -> Result<Arc<ServerInfo>, Error> {
        let deadline = TokioClock.now() + self.limits.read;
        let connect = caught(async { self.server.connect(deadline).await });
        match tokio::time::timeout(self.limits.read, connect).await {
            Ok(Some(info)) => info,
            Ok(None) => Err(panicked()),
            Err(_) => Err(Kind::Timeout.into()),
        }
    }

    /// Passes a notification on; `client` is who sent it, where it is remembered between its messages.
    pub(crate) async fn notify(&self, client: Option<&Arc<Client>>, notification: Notification) {
        let notify = caught(async {
            match client {
                Some(client) => self.server.notify_from(client, notification).await,
                None => self.server.notify(notification).await,
            }
        });
        if !matches!(tokio::time::timeout(self.limits.read, notify).await, Ok(Some(()))) {
            tracing::warn!("the server did not take a client's notification");
        }
    }
}

impl Service {
    /// A client has gone for good.
    pub(crate) fn forget(&self, client: &Arc<Client>) {
        if catch_unwind(AssertUnwindSafe(|| self.server.forget(client))).is_err() {
            tracing::error!("forgetting a client panicked");
        }
    }
}

fn panicked() -> Error {
    tracing::error!("a call panicked");
    Error::new(Kind::Internal).message("the call panicked")
}

/// Runs a future; `None` where it panics.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
