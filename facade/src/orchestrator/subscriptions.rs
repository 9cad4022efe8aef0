//! Resource subscriptions of all clients, counted: a server hears of the first and of the last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use toolweir_core::{Call, Clock, Error, Kind, Method, RawJson, Reply, ServerId, TokioClock};

use super::Orchestrator;
use super::dispatch::Route;
use super::resolve::Aimed;
use crate::endpoint::{Endpoint, bounded};

/// How many resources may be subscribed to at once.
const MAX: usize = 10_000;
/// How long one subscription waits for others of the same resource.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server has to take one subscription again.
const RENEWAL: Duration = Duration::from_secs(10);

/// What is subscribed to, by its URI.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<HashMap<Arc<str>, Arc<Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    /// One at a time tells a server, so that nobody believes what is not confirmed, and order is kept.
    gate: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    count: usize,
    /// Which server confirmed it.
    server: Option<ServerId>,
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this server sends it to somebody.
    fn is_at(&self, server: ServerId) -> bool {
        let state = self.state();
        state.count > 0 && state.server == Some(server)
    }
}

impl Subscriptions {
    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, uri: &Arc<str>) -> Result<Held<'_>, Error> {
        let mut table = self.table();
        if table.len() >= MAX && !table.contains_key(uri) {
            return Err(Error::new(Kind::Overloaded)
                .message(format!("{MAX} resources are subscribed to already")));
        }
        let entry = table.entry(uri.clone()).or_default().clone();
        Ok(Held { subscriptions: self, uri: uri.clone(), entry })
    }

    /// Whether anybody subscribes to a resource of `server`.
    pub(super) fn any_of(&self, server: ServerId) -> bool {
        self.table().values().any(|entry| entry.is_at(server))
    }

    /// What `server` must be told again after its return.
    pub(super) fn of(&self, server: ServerId) -> Renewals {
        let table = self.table();
        let at_server = table.iter().filter(|(_, entry)| entry.is_at(server));
        let all: Vec<_> = at_server.map(|(uri, entry)| (uri.clone(), entry.clone())).collect();
        Renewals(Mutex::new(all))
    }
}

/// An entry in use; one that nobody subscribes to any more leaves the table with its last user.
struct Held<'a> {
    subscriptions: &'a Subscriptions,
    uri: Arc<str>,
    entry: Arc<Entry>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut table = self.subscriptions.table();
        // Entries are handed out under the table's lock: the table and this are all that have it.
        if Arc::strong_count(&self.entry) <= 2 && self.entry.state().count == 0 {
            table.remove(&self.uri);
        }
    }
}

/// Subscriptions that a server has forgotten.
pub(super) struct Renewals(Mutex<Vec<(Arc<str>, Arc<Entry>)>>);

impl Renewals {
    /// Tells the server of all, a few at a time, past the clients' limits: nobody asked for this.
    pub(super) async fn tell(&self, endpoint: &Endpoint) {
        tokio::join!(
            self.some(endpoint),
            self.some(endpoint),
            self.some(endpoint),
            self.some(endpoint)
        );
    }

    async fn some(&self, endpoint: &Endpoint) {
        loop {
            let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((uri, entry)) = next else { return };
            let _one = entry.gate.lock().await;
            if !entry.is_at(endpoint.id) {
                continue;
            }
            let params = RawJson::from(serde_json::json!({ "uri": &*uri }));
            let deadline = TokioClock.now() + RENEWAL;
            let call =
                Call::new(Method::RESOURCES_SUBSCRIBE, Some(params)).target(uri).deadline(deadline);
            let told = bounded(deadline, async { endpoint.server.call(&call).await });
            if let Err(error) = told.await {
                tracing::warn!(server = &*endpoint.name, %error, "a subscription could not be renewed");
            }
        }
    }
}

impl Orchestrator {
    /// `resources/subscribe` and `resources/unsubscribe`: passed on where they change what the server must send.
    pub(super) async fn subscription(&self, call: &Call) -> Result<Reply, Error> {
        let is_task = [Method::TASK_WATCH, Method::TASK_UNWATCH].contains(&call.method);
        let uri = call
            .target
            .clone()
            .ok_or_else(|| Error::new(Kind::InvalidRequest).message("`uri` is missing"))?;
        let all = if is_task { &self.0.watched_tasks } else { &self.0.subscriptions };
        let held = all.entry(&uri)?;
        let entry = &held.entry;
        let patience = TokioClock.now() + PATIENCE;
        let patience = call.deadline.map_or(patience, |deadline| deadline.min(patience));
        let gate = bounded(patience, async { Ok(entry.gate.lock().await) });
        let _one = gate.await.map_err(Error::unsent)?;
        if [Method::RESOURCES_UNSUBSCRIBE, Method::TASK_UNWATCH].contains(&call.method) {
            return self.unsubscribe(call, entry).await;
        }
        if entry.state().count > 0 {
            entry.state().count += 1;
            return Ok(done());
        }
        // Where the caller leaves, or the server refuses, nothing is counted.
        let aim = match self.aim(call).await? {
            Aimed::Done(reply) => return Ok(reply),
            Aimed::At(aim) => aim,
        };
        let last = Mutex::new(None);
        let at = |endpoint: &Endpoint| {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.id);
            Ok(aim.call.clone())
        };
        let reply = self.dispatch(Route::among(self.order(&aim), call.deadline), at).await?;
        let server = *last.lock().unwrap_or_else(PoisonError::into_inner);
        // Where each client has an instance of its own, each of them is told.
        if !server.is_some_and(|server| self.is_isolated(server)) {
            *entry.state() = State { count: 1, server };
        }
        Ok(reply)
    }

    fn is_isolated(&self, server: ServerId) -> bool {
        self.view().endpoint(server).is_some_and(|endpoint| endpoint.settings.isolated.is_some())
    }

    /// The last one is told to the server that took the first.
    async fn unsubscribe(&self, call: &Call, entry: &Entry) -> Result<Reply, Error> {
        let before = *entry.state();
        match before.count {
            0 => return self.forward(call).await, // not ours: the server may know better
            1 => *entry.state() = State::default(),
            _ => {
                entry.state().count -= 1;
                return Ok(done());
            }
        }
        let told = before.server.filter(|_| call.method == Method::RESOURCES_UNSUBSCRIBE);
        let Some(server) = told else { return self.forward(call).await };
        let server = self.view().endpoint(server).cloned();
        // Where the server is gone, so is what it would have sent.
        let Some(server) = server else { return Ok(done()) };
        self.dispatch(Route::among(vec![server], call.deadline), |_| Ok(call.clone())).await
    }
}

fn done() -> Reply {
    Reply::new(RawJson::EMPTY_OBJECT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_subscribes_to_leaves_the_table() {
        let (subscriptions, uri) = (Subscriptions::default(), Arc::from("a:b"));
        let (one, other) = (subscriptions.entry(&uri).unwrap(), subscriptions.entry(&uri).unwrap());
        one.entry.state().count = 1;
        drop(one);
        other.entry.state().count = 0;
        assert_eq!(subscriptions.table().len(), 1);
        drop(other);
        assert!(subscriptions.table().is_empty());
    }
}
