//! The way back to a caller that has tasks.

use std::sync::Arc;

use async_trait::async_trait;
use toolweir_core::{Error, Instant, Method, Notification, Peer, RawJson};

use super::{Names, names};

/// Calls the server's tasks by the names that the caller knows, and on the way back by the server's own.
#[derive(Debug)]
pub(super) struct TaskPeer {
    peer: Arc<dyn Peer>,
    names: Names,
}

impl TaskPeer {
    pub(super) fn new(peer: Arc<dyn Peer>, names: Names) -> Arc<Self> {
        Arc::new(Self { peer, names })
    }

    /// What the server says, as the caller knows it.
    fn shown(&self, params: Option<RawJson>) -> Option<RawJson> {
        let params = params?;
        Some(names::related(&params, &|own| Some(self.names.show(own))).unwrap_or(params))
    }
}

#[async_trait]
impl Peer for TaskPeer {
    fn notify(&self, mut notification: Notification) {
        if [Method::TASK_STATUS, Method::TASK_CHANGED].contains(&notification.method) {
            let params = notification.params.as_ref();
            let show = |own: &str| self.names.is_owned(own).then(|| self.names.show(own));
            match params.and_then(|params| names::object(params, &show)) {
                Some(params) => notification.params = Some(params),
                None => {
                    return tracing::debug!("a server tells of a task that is not this caller's");
                }
            }
        }
        notification.params = self.shown(notification.params);
        self.peer.notify(notification);
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        let answer = self.peer.request(method, self.shown(params), deadline).await?;
        Ok(names::related(&answer, &|shown| self.names.own(shown)).unwrap_or(answer))
    }

    fn lasting(&self) -> Option<Arc<dyn Peer>> {
        Some(Self::new(self.peer.lasting()?, self.names.clone()))
    }
}
