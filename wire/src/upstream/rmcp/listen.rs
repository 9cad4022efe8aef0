//! The subscription by which a modern server behind rmcp tells of changes: one request that stays open.

use std::sync::{Arc, Weak};

use rmcp::RoleClient;
use rmcp::service::{Peer, RequestHandle};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use toolweir_core::{Method, RawJson, ServerInfo};

use super::{Inner, Relay, written};
use crate::message::{self, Id};
use crate::rmcp::failure;
use crate::upstream::listening::{End, Listens, Opening};
use crate::upstream::wishes::Wishes;

pub(super) struct Link {
    peer: Peer<RoleClient>,
    relay: Relay,
    wishes: Arc<Wishes>,
    info: Arc<ServerInfo>,
    server: Weak<Inner>,
}

impl Link {
    pub(super) fn new(server: &Arc<Inner>) -> Self {
        let (peer, relay) = (server.peer.clone(), server.relay.clone());
        let (wishes, info) = (server.wishes.clone(), server.info.clone());
        Self { peer, relay, wishes, info, server: Arc::downgrade(server) }
    }
}

/// An open subscription; dropping it tells the server that it is over. What it brings, the relay hears.
pub(super) struct Subscription {
    handle: Option<RequestHandle<RoleClient>>,
    /// `None` once it has come.
    acknowledgement: Option<oneshot::Receiver<()>>,
    tasks: TaskTracker,
}

impl Listens for Link {
    type Stream = Subscription;

    async fn open(&self) -> Opening<Subscription> {
        let Some(params) = self.wishes.params(&self.info) else { return Opening::Nothing };
        let Some(tasks) = self.server.upgrade().map(|server| server.tasks.clone()) else {
            return Opening::Nothing;
        };
        let bytes = message::request(&Id::own(0), &Method::SUBSCRIPTIONS_LISTEN, Some(&params));
        let Ok((request, options)) = written(bytes) else { return Opening::Nothing };
        // Its id is known only once it is on its way: until it is entered, the acknowledgement waits.
        let _entering = self.relay.entering().await;
        match self.peer.send_request_with_option(request, options).await {
            Ok(handle) => {
                let acknowledgement = Some(self.relay.awaits_acknowledgement(&handle.id));
                Opening::Opened(Subscription { handle: Some(handle), acknowledgement, tasks })
            }
            Err(_) => Opening::Nothing, // the connection has ended
        }
    }

    async fn read(
        &self,
        subscription: &mut Subscription,
        acknowledged: impl Fn() + Send + Sync,
    ) -> End {
        let Some(handle) = &mut subscription.handle else { return End::Lost };
        let mut answer = None;
        if let Some(awaited) = &mut subscription.acknowledgement {
            let has_come = tokio::select! {
                biased;
                come = awaited => come.is_ok(),
                early = &mut handle.rx => {
                    answer = Some(early);
                    false
                }
            };
            subscription.acknowledgement = None;
            if has_come {
                acknowledged();
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => (&mut handle.rx).await,
        };
        subscription.handle = None;
        match answer {
            Ok(Ok(_)) => End::of(&Ok(RawJson::EMPTY_OBJECT)),
            Ok(Err(error)) => End::of(&Err(failure(error))),
            Err(_) => End::Lost,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            super::cancel(&self.tasks, handle);
        }
    }
}
