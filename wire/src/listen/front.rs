//! What the handlers of one listener share.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_core::{Call, Client, Clock, Method, RawJson, Subscriber, TokioClock};

use super::hub::Hub;
use super::mirrors::Mirrors;
use super::parked::ParkedCalls;
use super::service::Service;
use super::session::Session;

/// One listener's shared part. Tasks that outlive their connection run in `tasks`; they end with `killed` at the latest.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) service: Service,
    pub(crate) hub: Arc<Hub>,
    pub(crate) mirrors: Mirrors,
    pub(crate) parked: Arc<ParkedCalls>,
    pub(crate) tasks: TaskTracker,
    /// No new connections; streams end, calls go on.
    pub(crate) closing: CancellationToken,
    /// Everything ends now.
    pub(crate) killed: CancellationToken,
}

impl Front {
    pub(crate) fn new(service: Service) -> Arc<Self> {
        let hub = Arc::new(Hub::default());
        let subscriber: Arc<dyn Subscriber> = hub.clone();
        service.server.subscribe(Arc::downgrade(&subscriber));
        Arc::new(Self {
            service,
            hub,
            mirrors: Mirrors::default(),
            parked: Arc::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            killed: CancellationToken::new(),
        })
    }

    /// Ends a session that was taken out of the hub.
    pub(crate) fn end(&self, session: &Session) {
        let watched = session.end();
        if let Some(client) = session.client() {
            self.service.forget(&client);
            self.unsubscribe(Method::RESOURCES_UNSUBSCRIBE, client, watched);
        }
    }

    /// Gives up subscriptions in the background.
    pub(crate) fn unsubscribe(&self, method: Method, client: Arc<Client>, uris: HashSet<String>) {
        if uris.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (service, killed) = (self.service.clone(), self.killed.clone());
        let work = async move {
            for uri in uris {
                let call = subscription(method.clone(), &uri, client.clone());
                if let Err(error) = service.call(&call).await {
                    tracing::debug!(%error, "a subscription was not given up");
                }
            }
        };
        self.tasks.spawn(async move {
            tokio::select! {
                () = killed.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Ends sessions that have been idle too long, until the listener closes.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let limit = self.service.limits.session_idle;
        let every = (limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(60));
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            for session in self.hub.idle_ones(limit, TokioClock.now()) {
                self.end(&session);
            }
        }
    }
}

/// A call of `resources/subscribe` or `resources/unsubscribe`, or the like of a task.
pub(crate) fn subscription(method: Method, uri: &str, client: Arc<Client>) -> Call {
    let member = method.target_member().unwrap_or_default();
    let params = RawJson::from(serde_json::json!({ member: uri }));
    Call::new(method, Some(params)).target(uri).client(client)
}
