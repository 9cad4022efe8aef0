//! What concerns all servers, or all clients, at once.

use tokio::sync::watch;
use toolweir_core::{Call, Error, Kind as ErrorKind, Method, RawJson, Reply};

use super::Orchestrator;
use crate::catalogue::{Catalogue, Kind};

/// The notifications for the lists that differ, each once.
pub(super) fn changed(old: &Catalogue, new: &Catalogue) -> Vec<Method> {
    let mut methods: Vec<Method> = Kind::ALL
        .into_iter()
        .filter(|kind| old.list(*kind) != new.list(*kind))
        .map(Kind::changed)
        .collect();
    methods.dedup();
    methods
}

/// The levels of log messages, the most verbose first.
const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The most verbose level that a client asked for: each client's listener leaves out what that client did not want.
#[derive(Debug, Default)]
pub(super) struct Levels(watch::Sender<Option<usize>>);

impl Levels {
    fn ask(&self, level: usize) {
        self.0.send_if_modified(|known| {
            let is_new = known.is_none_or(|known| level < known);
            if is_new {
                *known = Some(level);
            }
            is_new
        });
    }

    /// Hears of changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<usize>> {
        self.0.subscribe()
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
        self.0.levels.ask(level);
        Ok(Reply::new(RawJson::EMPTY_OBJECT))
    }
}
