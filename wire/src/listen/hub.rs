//! Fans out what the server says without being asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use toolweir_core::{Client, Instant, Notification, ServerMessage, Subscriber};

use super::lock;
use super::session::Session;
use super::subscriptions::Listen;
use crate::version::is_modern;

/// The sessions and listen streams of one listener.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    sessions: HashMap<String, Arc<Session>>,
    listens: HashMap<u64, Arc<Listen>>,
    next_listen: u64,
}

impl Hub {
    pub(crate) fn session(&self, id: &str) -> Option<Arc<Session>> {
        lock(&self.0).sessions.get(id).cloned()
    }

    /// Adds a session. Where `cap` are there, the one that is idle longest makes room and is given back to be ended.
    ///
    /// # Errors
    /// Fails where none is idle.
    pub(crate) fn open(
        &self,
        session: Arc<Session>,
        cap: usize,
    ) -> Result<Option<Arc<Session>>, ()> {
        let mut tables = lock(&self.0);
        let mut evicted = None;
        if tables.sessions.len() >= cap {
            let idle = |session: &Arc<Session>| Some((session.idle_since()?, session.id.clone()));
            let Some((_, id)) = tables.sessions.values().filter_map(idle).min() else {
                return Err(());
            };
            evicted = tables.sessions.remove(&id);
        }
        tables.sessions.insert(session.id.clone(), session);
        Ok(evicted)
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Session>> {
        lock(&self.0).sessions.remove(id)
    }

    /// Takes out the sessions for which `is_over` holds.
    pub(crate) fn take_sessions(&self, is_over: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        lock(&self.0).sessions.extract_if(|_, session| is_over(session)).map(|(_, s)| s).collect()
    }

    /// Adds a listen stream, which hears nothing before it is acknowledged; `None` where `cap` are open.
    pub(crate) fn listen(&self, listen: Arc<Listen>, cap: usize) -> Option<u64> {
        let mut tables = lock(&self.0);
        if tables.listens.len() >= cap {
            return None;
        }
        tables.next_listen += 1;
        let number = tables.next_listen;
        tables.listens.insert(number, listen);
        Some(number)
    }

    pub(crate) fn unlisten(&self, number: u64) {
        lock(&self.0).listens.remove(&number);
    }

    /// Ends every GET stream.
    pub(crate) fn end_streams(&self) {
        for session in self.sessions() {
            session.end_stream();
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.0).sessions.values().cloned().collect()
    }

    /// Tells one client alone: its session, or what a modern one's principal listens with.
    fn tell(&self, client: &Arc<Client>, notification: &Notification) {
        let is_it = |other: &Arc<Client>| Arc::ptr_eq(other, client);
        let sessions = self.sessions().into_iter();
        for session in sessions.filter(|session| session.client().as_ref().is_some_and(is_it)) {
            session.deliver(notification);
        }
        if client.protocol_version.as_deref().is_some_and(is_modern) {
            let listens: Vec<_> = lock(&self.0).listens.values().cloned().collect();
            for listen in listens.iter().filter(|listen| listen.principal == client.principal) {
                listen.deliver(notification);
            }
        }
    }

    pub(crate) fn idle_ones(&self, limit: std::time::Duration, now: Instant) -> Vec<Arc<Session>> {
        self.take_sessions(|session| session.is_idle_for(limit, now))
    }
}

impl Subscriber for Hub {
    fn on_message(&self, message: ServerMessage) {
        let notification = match message {
            ServerMessage::Notification(notification) => notification,
            ServerMessage::ToClient(client, notification) => {
                return self.tell(&client, &notification);
            }
            _ => return,
        };
        let method = notification.method.as_str();
        let is_of_streams = method == "notifications/tasks"; // since 2026-07-28, for who listens
        let is_known =
            matches!(method, "notifications/resources/updated" | "notifications/tasks/status");
        if !(is_of_streams || is_known || method.ends_with("/list_changed")) {
            return; // belongs to nobody who is known
        }
        for session in self.sessions().iter().filter(|_| !is_of_streams) {
            session.deliver(&notification);
        }
        let listens: Vec<_> = lock(&self.0).listens.values().cloned().collect();
        for listen in listens {
            listen.deliver(&notification);
        }
    }
}
