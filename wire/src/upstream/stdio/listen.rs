//! The subscription by which a modern child tells of changes: one request that stays open.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;
use toolweir_core::{Error, Method, RawJson, ServerInfo};

use super::connection::{Connection, Item, leave};
use crate::message::{self, Id};
use crate::upstream::listening::{End, Listens, Opening};
use crate::upstream::waiting::{Standing, Waiting};
use crate::upstream::wishes::Wishes;

pub(super) struct Link {
    pub(super) connection: Weak<Connection>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) writer: mpsc::WeakSender<Item>,
    pub(super) wishes: Arc<Wishes>,
    pub(super) info: Arc<ServerInfo>,
}

/// An open subscription; dropping it tells the child that it is over. What it brings, the connection hears.
pub(super) struct Subscription {
    id: u64,
    standing: Standing,
    waiting: Arc<Waiting>,
    writer: mpsc::WeakSender<Item>,
}

impl Listens for Link {
    type Stream = Subscription;

    async fn open(&self) -> Opening<Subscription> {
        let Some(params) = self.wishes.params(&self.info) else { return Opening::Nothing };
        let Some(id) = self.connection.upgrade().map(|connection| connection.next_id()) else {
            return Opening::Nothing;
        };
        let bytes: Bytes =
            message::request(&Id::own(id), &Method::SUBSCRIPTIONS_LISTEN, Some(&params));
        let Ok(standing) = self.waiting.enter_standing(id) else { return Opening::Nothing };
        let (waiting, writer) = (self.waiting.clone(), self.writer.clone());
        let subscription = Subscription { id, standing, waiting, writer };
        let Some(writer) = self.writer.upgrade() else { return Opening::Nothing };
        match writer.send(Item { call: Some(id), bytes }).await {
            Ok(()) => Opening::Opened(subscription),
            Err(_) => Opening::Nothing, // the child has ended
        }
    }

    async fn read(
        &self,
        subscription: &mut Subscription,
        acknowledged: impl Fn() + Send + Sync,
    ) -> End {
        let Standing { answer, acknowledgement } = &mut subscription.standing;
        if let Some(awaited) = acknowledgement {
            let has_come = tokio::select! {
                biased;
                come = awaited => come.is_ok(),
                answer = &mut *answer => return ended(answer),
            };
            *acknowledgement = None;
            if has_come {
                acknowledged();
            }
        }
        ended(answer.await)
    }
}

fn ended(answer: Result<Result<RawJson, Error>, RecvError>) -> End {
    answer.map_or(End::Lost, |answer| End::of(&answer))
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.upgrade() {
            leave(&self.waiting, &writer, self.id, true);
        }
    }
}
