//! The way back to the one client that an instance is for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use toolweir_core::{Error, Instant, Kind, Method, Notification, Peer, RawJson};

/// Gives what names no call to the client's latest call, or, where none is open, to the client itself.
#[derive(Debug, Default)]
pub(super) struct OwnerPeer(Mutex<Ways>);

#[derive(Debug, Default)]
struct Ways {
    calls: BTreeMap<u64, Arc<dyn Peer>>,
    next: u64,
    lasting: Option<Arc<dyn Peer>>,
}

/// A call that is open; dropping it ends it.
pub(super) struct Open<'a> {
    owner: &'a OwnerPeer,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.owner.ways().calls.remove(&self.number);
    }
}

impl OwnerPeer {
    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the client begins.
    pub(super) fn open(&self, peer: Option<&Arc<dyn Peer>>) -> Open<'_> {
        let mut ways = self.ways();
        ways.next += 1;
        let number = ways.next;
        if let Some(peer) = peer {
            ways.calls.insert(number, peer.clone());
            if let Some(lasting) = peer.lasting() {
                ways.lasting = Some(lasting);
            }
        }
        Open { owner: self, number }
    }

    fn best(&self) -> Option<Arc<dyn Peer>> {
        let ways = self.ways();
        ways.calls.values().next_back().or(ways.lasting.as_ref()).cloned()
    }
}

#[async_trait]
impl Peer for OwnerPeer {
    fn notify(&self, notification: Notification) {
        if let Some(peer) = self.best() {
            peer.notify(notification);
        }
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        match self.best() {
            Some(peer) => peer.request(method, params, deadline).await,
            None => Err(Error::new(Kind::InvalidRequest)
                .message("the client has no call open in which it could be asked")),
        }
    }
}
