//! The orchestrator as a server: what stands behind a listener.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use toolweir_core::{
    Call, Client, Clock, Error, Instant, Notification, RawJson, Reply, Server, ServerInfo,
    Subscriber, TokioClock,
};

use super::Orchestrator;
use crate::endpoint::{Status, bounded};

/// How long a server has to take a notification.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(5);

/// Tells servers at once, none longer than it may take.
async fn tell_all(telling: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let deadline = TokioClock.now() + NOTIFY_PATIENCE;
    let mut all = tokio::task::JoinSet::new();
    for one in telling {
        all.spawn(bounded(deadline, async move {
            one.await;
            Ok(())
        }));
    }
    while all.join_next().await.is_some() {}
}

/// A gateway is itself a server: it can stand behind a listener, or behind another gateway.
#[async_trait]
impl Server for Orchestrator {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        Self::call(self, call).await
    }

    /// What the gateway is and offers. Does not wait for any server.
    async fn connect(&self, _deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        let identity = serde_json::json!({
            "name": "toolweir", "title": "toolweir", "version": env!("CARGO_PKG_VERSION"),
        });
        let mut info = ServerInfo::new(RawJson::from(identity), self.offers());
        info.instructions = self.instructions();
        Ok(Arc::new(info))
    }

    async fn probe(&self, _deadline: Instant) -> Result<(), Error> {
        Ok(())
    }

    async fn notify(&self, notification: Notification) {
        let view = self.view();
        let telling = view.endpoints.iter().map(|endpoint| {
            let (server, notification) = (endpoint.server.clone(), notification.clone());
            async move { server.notify(notification).await }
        });
        tell_all(telling).await;
    }

    async fn notify_from(&self, client: &Arc<Client>, notification: Notification) {
        let view = self.view();
        let telling = view.endpoints.iter().map(|endpoint| {
            let (server, client) = (endpoint.server.clone(), client.clone());
            let notification = notification.clone();
            async move { server.notify_from(&client, notification).await }
        });
        tell_all(telling).await;
    }

    fn forget(&self, client: &Arc<Client>) {
        self.0.levels.forget(client);
        for endpoint in &*self.view().endpoints {
            endpoint.server.forget(client);
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        let mut subscribers = self.0.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|known| known.strong_count() > 0);
        subscribers.push(subscriber);
    }

    async fn close(&self, deadline: Instant) {
        let grace = deadline - TokioClock.now();
        self.shutdown(grace).await;
    }
}

impl Orchestrator {
    fn offers(&self) -> RawJson {
        let infos = self.view().endpoints.iter().map(|it| it.vitals.info()).collect::<Vec<_>>();
        super::offers::merged(&infos)
    }

    /// What the servers say of their use, each under its prefix.
    fn instructions(&self) -> Option<String> {
        let texts: Vec<String> = self
            .view()
            .endpoints
            .iter()
            .filter_map(|endpoint| match endpoint.status() {
                Status::Up(info) => {
                    let text = info.instructions.clone()?;
                    Some(format!("## {}\n{text}", endpoint.name))
                }
                _ => None,
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }
}
