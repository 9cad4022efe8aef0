//! The orchestrator as a server: what stands behind a listener.

use std::sync::{Arc, PoisonError, Weak};

use async_trait::async_trait;
use toolweir_core::{
    Call, Error, Instant, Notification, RawJson, Reply, Server, ServerInfo, Subscriber,
};

use super::Orchestrator;
use crate::endpoint::Status;

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
        let capabilities = serde_json::json!({
            "tools": { "listChanged": true },
            "prompts": { "listChanged": true },
            "resources": { "listChanged": true, "subscribe": true },
            "completions": {},
            "logging": {},
        });
        let mut info = ServerInfo::new(RawJson::from(identity), RawJson::from(capabilities));
        info.instructions = self.instructions();
        Ok(Arc::new(info))
    }

    async fn probe(&self, _deadline: Instant) -> Result<(), Error> {
        Ok(())
    }

    async fn notify(&self, notification: Notification) {
        for endpoint in &self.0.endpoints {
            endpoint.server.notify(notification.clone()).await;
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        let mut subscribers = self.0.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|known| known.strong_count() > 0);
        subscribers.push(subscriber);
    }

    async fn close(&self, deadline: Instant) {
        let grace = deadline - toolweir_core::Clock::now(&toolweir_core::TokioClock);
        self.shutdown(grace).await;
    }
}

impl Orchestrator {
    /// What the servers say of their use, each under its prefix.
    fn instructions(&self) -> Option<String> {
        let texts: Vec<String> = self
            .0
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
