//! One instance of a server, for one client.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use toolweir_core::{
    Call, Client, Clock, Error, Instant, Kind, Method, RawJson, Reply, Server, ServerInfo,
    ServerMessage, Subscriber, TokioClock,
};

use super::Isolated;
use super::owner::OwnerPeer;
use super::table::Stands;
use crate::catalogue::is_list_changed;
use crate::endpoint::bounded;

/// How many resources one client may be subscribed to at one instance.
const WATCHED_MAX: usize = 1_024;
/// How long an instance has to take what it is told again.
const REMINDER: Duration = Duration::from_secs(5);
/// How long one may take to be there where the call sets no limit.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child, or an upstream session, with what its client told it.
pub(super) struct Instance {
    pub(super) server: Arc<dyn Server>,
    client: Arc<Client>,
    owner: Arc<OwnerPeer>,
    isolated: Weak<Isolated>,
    told: Mutex<Told>,
    /// It was connected since it was last told what it must know.
    is_fresh: AtomicBool,
    /// Somebody sees to it that it comes back.
    pub(super) is_returning: AtomicBool,
}

/// What nothing of outlives a connection.
#[derive(Default)]
struct Told {
    level: Option<RawJson>,
    watched: BTreeSet<Arc<str>>,
}

impl Stands for Arc<Instance> {
    fn is_awaited(&self) -> bool {
        !self.told().watched.is_empty()
    }
}

impl Instance {
    /// One for `client`, made by `make` with the way back to it.
    pub(super) fn new(
        isolated: Weak<Isolated>,
        client: Arc<Client>,
        level: Option<RawJson>,
        make: impl FnOnce(toolweir_wire::Owner) -> Arc<dyn Server>,
    ) -> Arc<Self> {
        let owner = Arc::<OwnerPeer>::default();
        let server = make(toolweir_wire::Owner::new(client.clone(), owner.clone()));
        let told = Mutex::new(Told { level, watched: BTreeSet::new() });
        let instance = Arc::new(Self {
            server,
            client,
            owner,
            isolated,
            told,
            is_fresh: AtomicBool::new(false),
            is_returning: AtomicBool::new(false),
        });
        let hears: Arc<dyn Subscriber> = instance.clone();
        instance.server.subscribe(Arc::downgrade(&hears));
        instance
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a call of its client.
    pub(super) async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let _open = self.owner.open(call.peer.as_ref());
        let deadline = call.deadline.unwrap_or_else(|| TokioClock.now() + PATIENCE);
        self.ready(deadline).await?;
        if call.method == Method::RESOURCES_SUBSCRIBE && self.told().watched.len() >= WATCHED_MAX {
            return Err(Error::new(Kind::Overloaded)
                .message(format!("a client is subscribed to {WATCHED_MAX} resources at most")));
        }
        let reply = self.server.call(call).await?;
        match (call.method.as_str(), &call.target) {
            ("resources/subscribe", Some(uri)) => drop(self.told().watched.insert(uri.clone())),
            ("resources/unsubscribe", Some(uri)) => drop(self.told().watched.remove(uri)),
            _ => {}
        }
        Ok(reply)
    }

    /// Whether its client is subscribed to the resource there.
    pub(super) fn watches(&self, uri: &str) -> bool {
        self.told().watched.contains(uri)
    }

    /// Connects it where that is needed; tells it what it was told before its connection.
    pub(super) async fn ready(&self, deadline: Instant) -> Result<(), Error> {
        let info = self.server.connect(deadline).await.map_err(Error::unsent)?;
        if self.is_fresh.swap(false, Ordering::AcqRel) {
            self.remind(&info).await;
        }
        Ok(())
    }

    async fn remind(&self, info: &ServerInfo) {
        let (level, watched) = {
            let told = self.told();
            (told.level.clone(), told.watched.iter().cloned().collect::<Vec<_>>())
        };
        if let Some(level) = level.filter(|_| logs(info)) {
            self.tell(Call::new(Method::SET_LEVEL, Some(level))).await;
        }
        for uri in watched {
            let params = RawJson::from(serde_json::json!({ "uri": &*uri }));
            self.tell(Call::new(Method::RESOURCES_SUBSCRIBE, Some(params)).target(uri)).await;
        }
    }

    async fn tell(&self, call: Call) {
        let deadline = TokioClock.now() + REMINDER;
        let call = call.deadline(deadline).client(self.client.clone());
        if let Err(error) = bounded(deadline, async { self.server.call(&call).await }).await {
            tracing::debug!(%error, method = %call.method, "an instance did not take what it was told");
        }
    }

    /// Its client wants log messages from this level on.
    pub(super) async fn set_level(&self, params: RawJson) {
        self.told().level = Some(params.clone());
        let deadline = TokioClock.now() + REMINDER;
        let connected = bounded(deadline, async { self.server.connect(deadline).await }).await;
        if connected.is_ok_and(|info| logs(&info)) {
            self.tell(Call::new(Method::SET_LEVEL, Some(params))).await;
        }
    }
}

/// Whether it takes a level of log messages: one of 2026-07-28 is told it with every call.
fn logs(info: &ServerInfo) -> bool {
    info.capabilities.member("logging").is_some() && !super::is_modern(&info.protocol_version)
}

impl Subscriber for Instance {
    fn on_message(&self, message: ServerMessage) {
        let Some(isolated) = self.isolated.upgrade() else { return };
        match message {
            ServerMessage::Connected(_) => self.is_fresh.store(true, Ordering::Release),
            ServerMessage::Disconnected(_) => isolated.lost(self),
            // The lists are the shared instance's, and looked at again.
            ServerMessage::Notification(notification) if is_list_changed(&notification.method) => {
                isolated.tell(&ServerMessage::Notification(notification));
            }
            // Of a task, and told by its name here to those who know it.
            ServerMessage::Notification(notification)
                if notification.method.as_str().starts_with("notifications/tasks") =>
            {
                isolated.tell(&ServerMessage::Notification(notification));
            }
            ServerMessage::Notification(notification) => {
                isolated.tell(&ServerMessage::ToClient(self.client.clone(), notification));
            }
            _ => {}
        }
    }
}
