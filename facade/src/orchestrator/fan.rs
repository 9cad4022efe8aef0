//! What concerns all servers, or all clients, at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use toolweir_core::{Call, Client, Error, Kind as ErrorKind, Method, RawJson, Reply};

use super::Orchestrator;
use crate::catalogue::{Catalogue, Kind};

/// The notifications for the lists that differ, each once.
pub(super) fn changed(old: &Catalogue, new: &Catalogue) -> Vec<Method> {
    let mut methods: Vec<Method> = Kind::ALL
        .into_iter()
        .filter(|kind| old.pages(*kind) != new.pages(*kind))
        .map(Kind::changed)
        .collect();
    methods.dedup();
    methods
}

/// The levels of log messages, the most verbose first.
const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// What holds once every client that asked for a level has left.
const RESTING: usize = 3;

/// The level that each live client asked for; the most verbose of them holds at the servers. Each client's listener
/// leaves out what that client did not want.
#[derive(Debug, Default)]
pub(super) struct Levels {
    clients: Mutex<Vec<(Weak<Client>, usize)>>,
    level: watch::Sender<Option<usize>>,
}

impl Levels {
    fn clients(&self) -> MutexGuard<'_, Vec<(Weak<Client>, usize)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, client: &Arc<Client>, level: usize) {
        let mut clients = self.clients();
        clients.retain(|(known, _)| {
            known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(client))
        });
        clients.push((Arc::downgrade(client), level));
        self.settle(&clients);
    }

    /// Forgets a client that leaves.
    pub(super) fn forget(&self, client: &Arc<Client>) {
        let mut clients = self.clients();
        clients.retain(|(known, _)| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(client)));
        self.settle(&clients);
    }

    /// Forgets clients that have left without a word.
    pub(super) fn sweep(&self) {
        let mut clients = self.clients();
        clients.retain(|(known, _)| known.strong_count() > 0);
        self.settle(&clients);
    }

    fn settle(&self, clients: &[(Weak<Client>, usize)]) {
        let lowest = clients.iter().map(|(_, level)| *level).min();
        self.level.send_if_modified(|known| {
            let level = lowest.or(known.map(|_| RESTING));
            std::mem::replace(known, level) != level
        });
    }

    /// Hears of changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<usize>> {
        self.level.subscribe()
    }

    /// The call that tells a server.
    pub(super) fn telling(level: usize) -> Call {
        let params = RawJson::from(serde_json::json!({ "level": LEVELS[level] }));
        Call::new(Method::SET_LEVEL, Some(params))
    }
}

impl Orchestrator {
    /// A client's instances of its own hear of its own level.
    pub(super) fn set_own_level(&self, call: &Call) {
        let view = self.view();
        let isolated = view.endpoints.iter().filter_map(|it| it.settings.isolated.as_ref());
        for isolated in isolated {
            if let Some(params) = &call.params {
                isolated.set_level(&call.client, params);
            }
        }
    }

    /// `logging/setLevel`: noted at once; the servers' supervisors tell them, now and after each return.
    pub(super) fn set_level(&self, call: &Call) -> Result<Reply, Error> {
        let level = call.params.as_ref().and_then(|params| params.member("level"));
        let level = level.and_then(|level| {
            let level = level.string()?;
            LEVELS.iter().position(|name| **name == *level)
        });
        let level = level.ok_or_else(|| {
            let names = LEVELS.join(", ");
            Error::new(ErrorKind::InvalidRequest).message(format!("`level` is one of {names}"))
        })?;
        self.0.levels.ask(&call.client, level);
        Ok(Reply::new(RawJson::EMPTY_OBJECT))
    }
}
