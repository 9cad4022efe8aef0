//! A server of which each client has an instance of its own.
//!
//! What a legacy server says without naming a call (a question, a log message) can be told apart only by the
//! connection that it comes on. With an instance for each client it always has one client that it can be meant for,
//! and what a client left behind in the server no other one sees.

mod instance;
mod owner;
mod table;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use toolweir_core::{
    Call, Client, Clock, Error, Instant, Kind, Method, Notification, RawJson, Reply, Server,
    ServerInfo, ServerMessage, Subscriber, TokioClock,
};
use toolweir_wire::Owner;

use self::instance::Instance;
use self::table::{Refused, Table, Taken, Whom};

/// How many instances there may be where nothing else is said.
const MAX: usize = 16;
/// How long one may be idle where nothing else is said.
const IDLE: Duration = Duration::from_secs(600);
/// How long one that is idle, or whose client has gone, has to end.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// How many clients' log levels are remembered.
const LEVELS_MAX: usize = 4_096;
/// How long one that is awaited and was lost is left alone at first, and at last.
const RETURN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// The first revision without sessions; revisions sort as text.
const MODERN: &str = "2026-07-28";

pub(crate) fn is_modern(version: &str) -> bool {
    version >= MODERN
}

/// How many instances of a server there may be, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Isolation {
    /// How many instances may be there at once, beside the one that all lists come from (16).
    pub max: usize,
    /// How long one may be idle before it ends (10 min).
    pub idle: Duration,
    /// Whether only legacy sessions are told apart: over HTTP a server of 2026-07-28 knows nothing of its clients (no).
    pub sessions_only: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Self { max: MAX, idle: IDLE, sessions_only: false }
    }
}

impl Isolation {
    /// The same with another bound; at least one.
    #[must_use]
    pub fn max(mut self, max: usize) -> Self {
        self.max = max.max(1);
        self
    }

    /// The same with another time without a call.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// The same for a server that is reached over HTTP.
    #[must_use]
    pub fn sessions_only(mut self) -> Self {
        self.sessions_only = true;
        self
    }
}

type Make = dyn Fn(Owner) -> Arc<dyn Server> + Send + Sync;

/// A server and its instances for single clients.
///
/// The shared instance answers the program itself: lists, probes, calls that no client made. A legacy session (and a
/// legacy client over stdio) has one instance for all its calls. Of a client of 2026-07-28 nothing is known but
/// its principal: at a legacy server each of its calls has an instance to itself, the principal's last one where
/// that is free; at one of 2026-07-28, which names the call in all that it asks, the principal has one.
pub(crate) struct Isolated {
    me: Weak<Self>,
    name: Arc<str>,
    shared: Arc<dyn Server>,
    make: Box<Make>,
    bounds: Isolation,
    state: Mutex<State>,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
    /// Instances that are ending; as many as may be there at most.
    ending: TaskTracker,
    /// What else is done beside the calls.
    tasks: TaskTracker,
    stop: CancellationToken,
    _stopping: DropGuard,
}

struct State {
    table: Table<Arc<Instance>>,
    /// Whether somebody looks for idle ones.
    is_swept: bool,
    /// Whether the server is of 2026-07-28, once it has been seen.
    is_modern: Option<bool>,
    levels: Vec<(Weak<Client>, RawJson)>,
}

/// A call's place at an instance; given back on drop.
struct Place<'a> {
    isolated: &'a Isolated,
    number: u64,
    instance: Arc<Instance>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.isolated.state().table.give_back(self.number, TokioClock.now());
    }
}

impl Isolated {
    pub(crate) fn new(
        name: Arc<str>,
        shared: Arc<dyn Server>,
        make: Box<Make>,
        bounds: Isolation,
    ) -> Arc<Self> {
        let stop = CancellationToken::new();
        let state =
            State { table: Table::new(), is_swept: false, is_modern: None, levels: Vec::new() };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            name,
            shared,
            make,
            bounds,
            state: Mutex::new(state),
            subscribers: Mutex::default(),
            ending: TaskTracker::new(),
            tasks: TaskTracker::new(),
            _stopping: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Whether both give the clients of one server an instance, within the same bounds.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.bounds == other.bounds
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many instances there are now, beside the shared one.
    pub(crate) fn instances(&self) -> usize {
        self.state().table.len()
    }

    /// Whose instance the call goes to; `None` where it is the shared one.
    async fn whom(&self, call: &Call) -> Result<Option<(Whom, bool)>, Error> {
        let Some(version) = &call.client.protocol_version else { return Ok(None) };
        let known = self.state().is_modern;
        let is_modern_server = match known {
            Some(known) => known,
            None => {
                let deadline = call.deadline.unwrap_or_else(|| TokioClock.now() + END_PATIENCE);
                is_modern(&self.connect(deadline).await?.protocol_version)
            }
        };
        if self.bounds.sessions_only && is_modern_server {
            return Ok(None);
        }
        Ok(Some(match is_modern(version) {
            false => (Whom::Client(call.client.clone()), false),
            true => {
                let stays = call.method == Method::RESOURCES_SUBSCRIBE;
                (Whom::Principal(call.client.principal.clone()), !is_modern_server && !stays)
            }
        }))
    }

    fn take(&self, whom: &Whom, alone: bool, client: &Arc<Client>) -> Result<Place<'_>, Error> {
        let mut state = self.state();
        let level = state.levels.iter().find(|(of, _)| of.as_ptr() == Arc::as_ptr(client));
        let level = level.map(|(_, level)| level.clone());
        let make = || Instance::new(self.me.clone(), client.clone(), level, &self.make);
        let Isolation { max, .. } = self.bounds;
        // Those that are ending have processes, too.
        let make = (self.ending.len() < max).then_some(make);
        let taken = state.table.take(whom, alone, max, TokioClock.now(), make);
        let Taken { number, instance, is_new, evicted } = taken.map_err(|why| self.refused(why))?;
        let must_sweep = is_new && !std::mem::replace(&mut state.is_swept, true);
        drop(state);
        if must_sweep {
            self.sweep();
        }
        self.end(evicted);
        Ok(Place { isolated: self, number, instance })
    }

    fn refused(&self, why: Refused) -> Error {
        match why {
            Refused::Closed => Error::new(Kind::Closed).unsent(),
            Refused::Full => Error::new(Kind::Overloaded).unsent().message(format!(
                "each client has an instance of its own (`isolate`), and all {} are at work for others; try again later, or raise `isolate.max`",
                self.bounds.max
            )),
        }
        .server(self.name.clone())
    }

    /// Ends instances in the background.
    fn end(&self, instances: impl IntoIterator<Item = Arc<Instance>>) {
        for instance in instances {
            // Without a runtime, dropping it kills its process.
            if tokio::runtime::Handle::try_current().is_ok() {
                self.ending.spawn(async move {
                    instance.server.close(TokioClock.now() + END_PATIENCE).await;
                });
            }
        }
    }

    /// Ends what is idle, until nothing is there any more.
    fn sweep(&self) {
        let (weak, stop, idle) = (self.me.clone(), self.stop.clone(), self.bounds.idle);
        self.tasks.spawn(async move {
            loop {
                let next = {
                    let Some(isolated) = weak.upgrade() else { return };
                    let mut state = isolated.state();
                    let now = TokioClock.now();
                    let over = state.table.expire(idle, now);
                    let next = state.table.next_expiry(idle, now);
                    state.is_swept = next.is_some();
                    drop(state);
                    isolated.end(over);
                    next
                };
                let Some(next) = next else { return };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep_until(next.into_std().into()) => {}
                }
            }
        });
    }

    /// An instance was lost. One that its client waits for is brought back; others come back with the next call.
    fn lost(&self, instance: &Instance) {
        let state = self.state();
        let found =
            state.table.all().find(|other| std::ptr::eq(Arc::as_ptr(other), instance)).cloned();
        drop(state);
        let Some(instance) = found.filter(table::Stands::is_awaited) else { return };
        if instance.is_returning.swap(true, Ordering::AcqRel) {
            return;
        }
        let (weak, stop) = (Arc::downgrade(&instance), self.stop.clone());
        self.tasks.spawn(async move {
            let returning = async {
                let mut pause = RETURN[0];
                loop {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETURN[1]);
                    let Some(instance) = weak.upgrade() else { return };
                    let ready = instance.ready(TokioClock.now() + RETURN[1]).await;
                    let is_closed = matches!(&ready, Err(error) if error.kind() == Kind::Closed);
                    if ready.is_ok() || is_closed || !table::Stands::is_awaited(&instance) {
                        instance.is_returning.store(false, Ordering::Release);
                        return;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = returning => {}
            }
        });
    }

    fn tell(&self, message: &ServerMessage) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.on_message(message.clone());
        }
    }

    /// A legacy client wants log messages from a level on: its own instance is told, now or once it is there.
    pub(crate) fn set_level(&self, client: &Arc<Client>, params: &RawJson) {
        let instances: Vec<_> = {
            let mut state = self.state();
            let is_other = |of: &Weak<Client>| of.as_ptr() != Arc::as_ptr(client);
            state.levels.retain(|(of, _)| of.strong_count() > 0 && is_other(of));
            if state.levels.len() < LEVELS_MAX {
                state.levels.push((Arc::downgrade(client), params.clone()));
            }
            let whom = Whom::Client(client.clone());
            state.table.of(&whom).cloned().collect()
        };
        for instance in instances {
            let (params, stop) = (params.clone(), self.stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = instance.set_level(params) => {}
                }
            });
        }
    }
}

/// Passes a notification on to all at once: one that reads nothing holds up no other.
async fn pass_on(instances: Vec<Arc<Instance>>, notification: &Notification) {
    let mut telling = JoinSet::new();
    for instance in instances {
        let notification = notification.clone();
        telling.spawn(async move { instance.server.notify(notification).await });
    }
    while telling.join_next().await.is_some() {}
}

#[async_trait]
impl Server for Isolated {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let Some((whom, alone)) = self.whom(call).await? else {
            return self.shared.call(call).await;
        };
        if call.method == Method::RESOURCES_UNSUBSCRIBE {
            let uri = call.target.as_deref().unwrap_or_default();
            let found = self.state().table.of(&whom).find(|one| one.watches(uri)).cloned();
            return match found {
                Some(instance) => instance.call(call).await,
                None => Ok(Reply::new(RawJson::EMPTY_OBJECT)), // it ended, and what it was told with it
            };
        }
        let place = self.take(&whom, alone, &call.client)?;
        place.instance.call(call).await
    }

    async fn connect(&self, deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        let info = self.shared.connect(deadline).await?;
        self.state().is_modern = Some(is_modern(&info.protocol_version));
        Ok(info)
    }

    async fn probe(&self, deadline: Instant) -> Result<(), Error> {
        self.shared.probe(deadline).await
    }

    async fn notify(&self, notification: Notification) {
        let instances: Vec<_> = self.state().table.all().cloned().collect();
        tokio::join!(pass_on(instances, &notification), self.shared.notify(notification.clone()));
    }

    async fn notify_from(&self, client: &Arc<Client>, notification: Notification) {
        let whom = match client.protocol_version.as_deref() {
            None => return self.shared.notify(notification).await,
            Some(version) if is_modern(version) => Whom::Principal(client.principal.clone()),
            Some(_) => Whom::Client(client.clone()),
        };
        let instances: Vec<_> = self.state().table.of(&whom).cloned().collect();
        pass_on(instances, &notification).await;
    }

    fn forget(&self, client: &Arc<Client>) {
        let gone = {
            let mut state = self.state();
            state.levels.retain(|(of, _)| of.as_ptr() != Arc::as_ptr(client));
            state.table.forget(client)
        };
        self.end(gone);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.shared.subscribe(subscriber.clone());
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|known| known.strong_count() > 0);
        subscribers.push(subscriber);
    }

    fn process_id(&self) -> Option<u32> {
        self.shared.process_id()
    }

    async fn close(&self, deadline: Instant) {
        self.stop.cancel();
        let instances = self.state().table.close();
        let mut closing = JoinSet::new();
        for instance in instances {
            closing.spawn(async move { instance.server.close(deadline).await });
        }
        let shared = self.shared.clone();
        closing.spawn(async move { shared.close(deadline).await });
        while closing.join_next().await.is_some() {}
        for tasks in [&self.ending, &self.tasks] {
            tasks.close();
            let _ = tokio::time::timeout_at(deadline.into_std().into(), tasks.wait()).await;
        }
    }
}
