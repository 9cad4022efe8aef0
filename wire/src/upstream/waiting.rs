//! Calls that wait for their answer, by our own ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use toolweir_core::{Call, Client, Error, Kind, Method, Notification, Peer, RawJson};

/// The calls in flight on one connection.
#[derive(Debug)]
pub(super) struct Waiting {
    table: Mutex<Table>,
    cap: usize,
}

#[derive(Debug, Default)]
struct Table {
    calls: HashMap<u64, Entry>,
    ended: Option<Error>,
}

#[derive(Debug)]
struct Entry {
    answer: oneshot::Sender<Result<RawJson, Error>>,
    origin: Option<Origin>,
    sent: bool,
    /// A subscription, which stays for as long as the connection and is nobody's call.
    standing: bool,
}

/// Whose call it is, and the way back to them.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) client: Arc<Client>,
    pub(super) peer: Option<Arc<dyn Peer>>,
    /// The caller's own progress token, which ours stands for.
    pub(super) token: Option<RawJson>,
}

impl Origin {
    pub(super) fn of(call: &Call, token: Option<RawJson>) -> Self {
        Self { client: call.client.clone(), peer: call.peer.clone(), token }
    }

    /// Hands a notification to the caller; progress under the caller's own token.
    pub(super) fn notify(&self, notification: Notification) {
        let Some(peer) = &self.peer else { return };
        if notification.method != Method::PROGRESS {
            super::guarded(|| peer.notify(notification));
            return;
        }
        let (Some(token), Some(params)) = (&self.token, &notification.params) else { return };
        if let Ok(params) = params.edit().set(crate::version::meta::PROGRESS_TOKEN, token).finish()
        {
            super::guarded(|| peer.notify(Notification::new(Method::PROGRESS, Some(params))));
        }
    }
}

/// The token of a progress notification, where it is one of ours.
pub(super) fn progress_token(notification: &Notification) -> Option<u64> {
    notification.params.as_ref()?.member(crate::version::meta::PROGRESS_TOKEN)?.get().ok()
}

impl Waiting {
    pub(super) fn new(cap: usize) -> Self {
        Self { table: Mutex::new(Table::default()), cap }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a call; refused where the connection has ended or carries too many already.
    pub(super) fn enter(
        &self,
        id: u64,
        origin: Option<Origin>,
    ) -> Result<oneshot::Receiver<Result<RawJson, Error>>, Error> {
        let mut table = self.table();
        if let Some(error) = &table.ended {
            return Err(error.clone().unsent());
        }
        if table.calls.len() >= self.cap
            && table.calls.values().filter(|entry| !entry.standing).count() >= self.cap
        {
            return Err(
                Error::new(Kind::Overloaded).message(format!("{} calls in flight", self.cap))
            );
        }
        let (answer, receiver) = oneshot::channel();
        table.calls.insert(id, Entry { answer, origin, sent: false, standing: false });
        Ok(receiver)
    }

    /// Enters a subscription; refused where the connection has ended.
    pub(super) fn enter_standing(
        &self,
        id: u64,
    ) -> Result<oneshot::Receiver<Result<RawJson, Error>>, Error> {
        let mut table = self.table();
        if let Some(error) = &table.ended {
            return Err(error.clone());
        }
        let (answer, receiver) = oneshot::channel();
        table.calls.insert(id, Entry { answer, origin: None, sent: false, standing: true });
        Ok(receiver)
    }

    /// Ends a subscription that the peer has cancelled.
    pub(super) fn end_standing(&self, id: u64) {
        let mut table = self.table();
        if table.calls.get(&id).is_some_and(|entry| entry.standing)
            && let Some(entry) = table.calls.remove(&id)
        {
            let _ = entry.answer.send(Ok(RawJson::EMPTY_OBJECT)); // its task may have ended
        }
    }

    /// Why the connection ended, where it has.
    pub(super) fn ended(&self) -> Option<Error> {
        self.table().ended.clone()
    }

    /// Notes that a call is being written; `false` where nobody waits for it any more.
    pub(super) fn mark_sent(&self, id: u64) -> bool {
        match self.table().calls.get_mut(&id) {
            Some(entry) => {
                entry.sent = true;
                true
            }
            None => false,
        }
    }

    /// Takes a call out because its caller left; says whether it had been sent.
    pub(super) fn leave(&self, id: u64) -> Option<bool> {
        self.table().calls.remove(&id).map(|entry| entry.sent)
    }

    /// Answers a call; `false` where nobody waits for it.
    pub(super) fn answer(&self, id: u64, result: Result<RawJson, Error>) -> bool {
        let Some(entry) = self.table().calls.remove(&id) else { return false };
        entry.answer.send(result).is_ok()
    }

    /// Ends all calls, and refuses those to come.
    pub(super) fn end(&self, error: &Error) {
        let calls = {
            let mut table = self.table();
            if table.ended.is_none() {
                table.ended = Some(error.clone());
            }
            std::mem::take(&mut table.calls)
        };
        for entry in calls.into_values() {
            let error = if entry.sent { error.clone().ambiguous() } else { error.clone().unsent() };
            let _ = entry.answer.send(Err(error)); // the caller may have left
        }
    }

    /// The origin of the call with this id.
    pub(super) fn origin(&self, id: u64) -> Option<Origin> {
        self.table().calls.get(&id)?.origin.clone()
    }

    /// The origin of the latest call, where one client alone has calls in flight: then a message that names no call
    /// can only be meant for them.
    pub(super) fn sole_origin(&self) -> Option<Origin> {
        let table = self.table();
        let mut origins =
            table.calls.iter().filter_map(|(id, entry)| Some((id, entry.origin.as_ref()?)));
        let (mut latest, mut origin) = origins.next()?;
        for (id, other) in origins {
            if !Arc::ptr_eq(&other.client, &origin.client) {
                return None;
            }
            if id > latest {
                (latest, origin) = (id, other);
            }
        }
        Some(origin.clone())
    }

    /// The one call in flight, where there is just one.
    pub(super) fn sole_call(&self) -> Option<u64> {
        let table = self.table();
        let mut ids = table.calls.iter().filter(|(_, entry)| !entry.standing).map(|(id, _)| id);
        match (ids.next(), ids.next()) {
            (Some(id), None) => Some(*id),
            _ => None,
        }
    }
}
