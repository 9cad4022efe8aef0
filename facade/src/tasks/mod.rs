//! Tasks of all servers: each keeps its server and its owner.
//!
//! A server names its tasks as it likes; two servers may use one name, and a name tells nothing of who may use it. So a
//! client sees another name, which says which server has the task and is sealed for the principal that created it.
//! Routing needs no table: only what servers say unasked, and the list of all tasks, lead back over one, which is bounded.

mod known;
mod names;
mod peer;
mod seal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toolweir_core::{
    Call, Client, Method, Notification, Peer, Principal, RawJson, Reply, ServerInfo,
};

use self::known::Known;
use self::peer::TaskPeer;
use self::seal::Seal;

/// The extension that carries tasks since 2026-07-28.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const MODERN: &str = "2026-07-28";

/// In which of the protocol's two ways a server has tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Clients ask for them (2025-11-25).
    Core,
    /// The server makes them as it sees fit (the extension).
    Extension,
}

impl Way {
    /// How a server that says this of itself has tasks; `None` where it has none.
    pub(crate) fn of_server(info: &ServerInfo) -> Option<Self> {
        let has_core = || info.capabilities.member("tasks").is_some();
        let has_extension = || has_extension(&info.capabilities);
        let version = &*info.protocol_version;
        if (version.is_empty() || version >= MODERN) && has_extension() {
            return Some(Self::Extension);
        }
        (version < MODERN && has_core()).then_some(Self::Core)
    }

    /// How a client speaks of tasks; the program itself speaks either way.
    pub(crate) fn of_client(client: &Client) -> Option<Self> {
        let version = client.protocol_version.as_deref()?;
        Some(if version >= MODERN { Self::Extension } else { Self::Core })
    }
}

fn has_extension(capabilities: &RawJson) -> bool {
    let extensions = capabilities.member("extensions").map(|part| part.to_json());
    extensions.is_some_and(|extensions| extensions.member(EXTENSION).is_some())
}

/// Whether a server may answer this call with a task.
pub(crate) fn may_begin(call: &Call) -> bool {
    call.method == Method::TOOLS_CALL
        && (has_extension(&call.client.capabilities) || asks_for_task(call))
}

fn asks_for_task(call: &Call) -> bool {
    call.params.as_ref().is_some_and(|params| params.member("task").is_some())
}

/// What is known of all servers' tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    seal: Seal,
    known: Mutex<Known>,
}

impl Tasks {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server that has the task which `principal` knows as `shown`, and the server's own name for it.
    pub(crate) fn find<'a>(
        &self,
        principal: &Principal,
        shown: &'a str,
    ) -> Option<(&'a str, &'a str)> {
        self.seal.open(principal, shown)
    }

    /// The names that the tasks of `server` have for `principal`.
    pub(crate) fn names(self: &Arc<Self>, server: &Arc<str>, principal: &Principal) -> Names {
        Names { tasks: self.clone(), server: server.clone(), principal: principal.clone() }
    }

    /// Whether `server` may have a task that somebody will ask for.
    pub(crate) fn any_of(&self, server: &str) -> bool {
        self.known().any_of(server)
    }

    /// What a server says of a task, as its owner knows it; `None` where nobody here is known to own it.
    pub(crate) fn told(&self, server: &str, notification: &Notification) -> Option<Notification> {
        let params = notification.params.as_ref()?;
        let own = params.member("taskId")?.string()?;
        let principal = self.known().owner(server, &own)?;
        let show = |own: &str| Some(self.seal.show(&principal, server, own));
        let params = names::object(params, &show)?;
        Some(Notification::new(notification.method.clone(), Some(params)))
    }
}

/// What the tasks of one server are called towards one principal.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    tasks: Arc<Tasks>,
    server: Arc<str>,
    principal: Principal,
}

impl Names {
    fn show(&self, own: &str) -> String {
        self.tasks.seal.show(&self.principal, &self.server, own)
    }

    /// The server's own name, where the task is its and the principal's.
    fn own(&self, shown: &str) -> Option<String> {
        let (server, own) = self.tasks.find(&self.principal, shown)?;
        (server == &*self.server).then(|| own.to_owned())
    }

    /// Remembers whose the server's task is.
    fn note(&self, own: &str) {
        self.tasks.known().note(&self.server, own, &self.principal);
    }

    /// Whether the task is known to be the principal's.
    fn is_owned(&self, own: &str) -> bool {
        self.tasks.known().owner(&self.server, own).is_some_and(|owner| owner == self.principal)
    }

    /// The call as the server knows it: the way back to the caller calls tasks by the names that the caller knows.
    pub(crate) fn call(&self, call: &Call) -> Call {
        let mut call = call.clone();
        call.peer = call.peer.map(|peer| TaskPeer::new(peer, self.clone()) as Arc<dyn Peer>);
        call
    }

    /// The reply as its caller knows it.
    pub(crate) fn reply(&self, call: &Call, mut reply: Reply) -> Reply {
        let show = |own: &str| {
            self.note(own);
            Some(self.show(own))
        };
        let result = match call.method.as_str() {
            "tasks/get" | "tasks/cancel" | "tasks/update" => names::object(&reply.result, &show),
            _ if reply.is_task && asks_for_task(call) => names::nested(&reply.result, &show),
            _ if reply.is_task => names::object(&reply.result, &show),
            _ => None,
        };
        if let Some(result) = result {
            reply.result = result;
        }
        if let Some(result) = names::related(&reply.result, &|own| Some(self.show(own))) {
            reply.result = result;
        }
        reply
    }

    /// Those of a page of tasks that are the principal's, under the names that it knows.
    pub(crate) fn page(&self, result: &RawJson) -> Vec<RawJson> {
        let Some(tasks) = result.member("tasks").map(|part| part.to_json()) else {
            return Vec::new();
        };
        let show = |own: &str| self.is_owned(own).then(|| self.show(own));
        tasks.items().filter_map(|task| names::object(&task.to_json(), &show)).collect()
    }
}
