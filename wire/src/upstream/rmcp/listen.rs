//! The subscription by which a modern server behind rmcp tells of changes: one request that stays open.

use std::sync::{Arc, Weak};

use rmcp::RoleClient;
use rmcp::service::{Peer, RequestHandle};
use tokio_util::task::TaskTracker;
use toolweir_core::{Method, RawJson, ServerInfo};

use super::{Inner, written};
use crate::message::{self, Id};
use crate::rmcp::failure;
use crate::upstream::listening::{End, Listens, Opening, Wishes};

pub(super) struct Link {
    peer: Peer<RoleClient>,
    wishes: Arc<Wishes>,
    info: Arc<ServerInfo>,
    server: Weak<Inner>,
}

impl Link {
    pub(super) fn new(server: &Arc<Inner>) -> Self {
        let (peer, wishes, info) =
            (server.peer.clone(), server.wishes.clone(), server.info.clone());
        Self { peer, wishes, info, server: Arc::downgrade(server) }
    }
}

/// An open subscription; dropping it tells the server that it is over. What it brings, the relay hears.
pub(super) struct Subscription {
    handle: Option<RequestHandle<RoleClient>>,
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
        match self.peer.send_request_with_option(request, options).await {
            Ok(handle) => Opening::Opened(Subscription { handle: Some(handle), tasks }),
            Err(_) => Opening::Nothing, // the connection has ended
        }
    }

    async fn read(&self, subscription: &mut Subscription) -> End {
        let Some(handle) = &mut subscription.handle else { return End::Lost };
        let answer = (&mut handle.rx).await;
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
