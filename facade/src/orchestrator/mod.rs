//! The orchestrator: every call's way from its caller to a server and back.

mod advice;
mod alerts;
mod builder;
mod cached;
mod dispatch;
mod ear;
mod explain;
mod fan;
mod hedge;
mod homes;
mod links;
mod member;
mod offers;
mod pinned;
mod pools;
mod reload;
mod remind;
mod report;
mod resolve;
mod retire;
mod serve;
mod step;
mod subscriptions;
mod supervise;
mod tasks;
mod unknown;
mod untried;
mod view;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_cache::ReplyCache;
use toolweir_core::{
    Call, Error, Kind, Observer, RawJson, Reply, Select, ServerId, ServerMessage, Subscriber,
    TokioClock,
};
use toolweir_core::{Clock, Instant, Method};
use toolweir_metrics::Recorder;
use toolweir_router::Router;
use toolweir_wire::Watchdog;

use self::dispatch::{Bound, Route};
pub use self::{
    builder::{BuildError, Builder},
    explain::{Candidate, Effects, Explained, RateLimit, Rule},
    member::Member,
    pools::PoolReport,
    reload::Reloaded,
    report::{Occupancy, Readiness, ServerReport, Standing},
};
use crate::endpoint::{Endpoint, Status};

/// Sends each call to the server best able to answer it, and keeps answering when servers fail.
///
/// A handle: clones share one orchestrator. It belongs to the tokio runtime on which it was started; several live
/// side by side in one process. [`shutdown`](Self::shutdown) ends all that it owns in good order; dropping the last
/// handle ends it at once.
#[derive(Clone)]
pub struct Orchestrator(Arc<Inner>);

struct Inner {
    /// What calls are answered from.
    view: ArcSwap<view::View>,
    router: Arc<Router>,
    metrics: Recorder,
    store: ReplyCache,
    observers: Vec<Arc<dyn Observer>>,
    /// One merge at a time, so that a later one never loses to an earlier.
    merging: Mutex<()>,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
    subscriptions: subscriptions::Subscriptions,
    /// Tasks that clients listen for, counted likewise.
    watched_tasks: subscriptions::Subscriptions,
    server_tasks: Arc<crate::tasks::Tasks>,
    levels: fan::Levels,
    /// Where the clients of sticky pools are at home.
    homes: homes::Homes,
    /// Resources in no list, and who told of them.
    links: links::Links,
    /// How many servers have not been tried yet.
    untried: watch::Sender<usize>,
    /// How many of them have no lists from before either.
    unlisted: watch::Sender<usize>,
    /// Ends children where this process is killed.
    watchdog: Option<Watchdog>,
    /// Where lists are kept.
    state_dir: Option<PathBuf>,
    /// Turns for servers that start.
    starting: Arc<Semaphore>,
    /// One reload at a time.
    reloading: Mutex<()>,
    reloads: reload::Counts,
    /// When all must have ended, once that is known.
    end: OnceLock<Instant>,
    started: Instant,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Every server is closed: what is still in flight will not be answered.
    ended: CancellationToken,
}

impl Orchestrator {
    /// Puts an orchestrator together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Answers one call, whatever its method.
    ///
    /// Lists are answered from what all servers list; `tools/call`, `prompts/get`, `resources/read` and
    /// `completion/complete` go to the server that has their target, under the name that it has there.
    ///
    /// # Errors
    /// The server's own error, byte for byte in [`Error::rpc`]; or ours, which tells by [`Error::kind`] what to do
    /// and by [`Error::is_unsent`] whether anything can have happened.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call at the server and frees everything held for it.
    pub async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if self.0.stop.is_cancelled() {
            return Err(Error::new(Kind::Closed));
        }
        match call.method.as_str() {
            "resources/subscribe"
            | "resources/unsubscribe"
            | "toolweir/tasks/watch"
            | "toolweir/tasks/unwatch" => self.subscription(call).await,
            "logging/setLevel" => {
                let reply = self.forward(call).await?;
                self.set_own_level(call);
                Ok(reply)
            }
            _ => self.forward(call).await,
        }
    }

    /// The answer to a call whose method has one server behind it, or none.
    async fn forward(&self, call: &Call) -> Result<Reply, Error> {
        let aim = match self.aim(call).await? {
            resolve::Aimed::Done(reply) => return Ok(reply),
            resolve::Aimed::At(aim) => aim,
        };
        let is_pool = aim.pooled.is_some() || aim.servers.len() > 1;
        let aim = self.unpinned(aim)?;
        let sticky = aim.pooled.as_ref().filter(|pooled| pooled.sticky);
        let (servers, bound) = match sticky.map(|pooled| self.at_home(&aim, &pooled.pool)) {
            None => (self.order(&aim), Bound::No),
            Some((servers, false)) => (servers, Bound::Sticky),
            Some((servers, true)) => (servers, Bound::Home),
        };
        let route = Route { servers, deadline: call.deadline, bound };
        let answered = self.dispatch(route, |endpoint| aim.call_for(endpoint)).await;
        let mut reply = answered.map_err(|error| self.advised(&aim, error))?;
        if let Some(pooled) = sticky {
            reply = self.settle_home(&aim, &pooled.pool, reply);
        }
        Ok(if is_pool && reply.input_required { pinned::pinned(reply) } else { reply })
    }

    /// The servers to try, best first. A resource that no server lists may be anyone's: then more are asked than the
    /// router ranks.
    fn order(&self, aim: &resolve::Aim) -> Vec<Arc<Endpoint>> {
        if aim.servers.len() <= 1 {
            return aim.servers.clone();
        }
        let ids = aim.ids();
        let ranked = Select::rank(&*self.0.router, &aim.call, &ids, TokioClock.now());
        let mut order = ranked.to_vec();
        if aim.call.method == Method::RESOURCES_READ {
            order.extend(ids.iter().filter(|id| !ranked.contains(id)).take(UNLISTED_MAX));
        }
        let endpoint = |id| aim.servers.iter().find(|endpoint| endpoint.id == id).cloned();
        let mut servers: Vec<Arc<Endpoint>> = order.into_iter().filter_map(endpoint).collect();
        if aim.pooled.is_some() {
            // That a member that was never listed has the tool, only the pool says.
            servers.sort_by_key(|endpoint| !endpoint.is_listed());
        }
        servers
    }

    /// Routes a request by its type: finds the capabilities that it needs, the best server that has them, and the
    /// tool there that carries it out.
    ///
    /// A routed request is nobody's session, so it goes to the best server whatever a sticky pool says: who needs one that
    /// keeps state calls the pool's tool.
    ///
    /// # Errors
    /// Fails where the type has no route, where no server has the capabilities (the message names both sides), where
    /// no tool fits the arguments, and as [`call`](Self::call) does.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn route(&self, request_type: &str, arguments: &RawJson) -> Result<Reply, Error> {
        let needed = self.0.router.route(request_type).map_err(no_server)?;
        let capable = self.with_capabilities(&needed);
        let some_listed = || capable.iter().any(|endpoint| endpoint.is_listed());
        let patience = self.view().connect_timeout;
        self.settled(patience, some_listed).await;
        let arguments: serde_json::Map<String, serde_json::Value> =
            arguments.get().map_err(|error| {
                Error::new(Kind::InvalidRequest).message(format!("arguments: {error}"))
            })?;
        let view = self.view();
        let handle = |endpoint: &Arc<Endpoint>| {
            (endpoint.id, resolve::handled(&view, endpoint, request_type, &arguments))
        };
        let calls: Vec<(ServerId, Result<Call, Error>)> = capable.iter().map(handle).collect();
        drop(view);
        let handled = |endpoint: &Endpoint| {
            let call = calls.iter().find(|(id, _)| *id == endpoint.id);
            call.map_or_else(|| Err(Kind::NoServer.into()), |(_, call)| call.clone())
        };
        // Ranked as what may have effects, unless it is known to be a read at every server.
        let known = calls.iter().filter_map(|(_, call)| call.as_ref().ok());
        let riskiest = known.min_by_key(|call| call.hints.is_repeatable());
        let ids: Vec<ServerId> = capable.iter().map(|endpoint| endpoint.id).collect();
        let ranked = match &riskiest {
            Some(call) => Select::rank(&*self.0.router, call, &ids, TokioClock.now()),
            None => {
                // Nobody has a tool for it: the router says what is missing, or the servers say why.
                self.0.router.require_at(&needed, TokioClock.now()).map_err(no_server)?
            }
        };
        let endpoint = |id: &ServerId| capable.iter().find(|endpoint| endpoint.id == *id).cloned();
        let servers = ranked.iter().filter_map(endpoint).collect();
        self.dispatch(Route::among(servers, None), handled).await
    }

    fn with_capabilities(&self, needed: &[String]) -> Vec<Arc<Endpoint>> {
        let has_all = |endpoint: &&Arc<Endpoint>| {
            needed.iter().all(|one| endpoint.settings.capabilities.contains(one))
        };
        self.view().endpoints.iter().filter(has_all).cloned().collect()
    }

    /// Ends everything in good order by the time `grace` is over: no new call is taken, servers are closed, tasks end,
    /// and so does every call that is still in flight.
    pub async fn shutdown(&self, grace: Duration) {
        let deadline = *self.0.end.get_or_init(|| TokioClock.now() + grace);
        self.0.stop.cancel();
        self.0.tasks.close();
        let mut closing = tokio::task::JoinSet::new();
        for endpoint in &*self.view().endpoints {
            let server = endpoint.server.clone();
            closing.spawn(async move { server.close(deadline).await });
        }
        let all = async {
            while closing.join_next().await.is_some() {}
            self.0.tasks.wait().await;
        };
        // A server of the user's own may ignore its deadline; its close is then given up.
        let latest = deadline + Duration::from_secs(1);
        let _ = tokio::time::timeout_at(latest.into_std().into(), all).await;
        self.0.ended.cancel();
    }
}

impl Inner {
    fn tell(&self, message: &ServerMessage) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.on_message(message.clone());
        }
    }
}

/// How many servers beyond the ranked ones are asked for a resource that none of them lists.
const UNLISTED_MAX: usize = 32;

fn no_server(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::NoServer).message(error.to_string()).caused_by(error)
}

/// Dropping the last handle ends the tasks; the servers end with it.
impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let view = self.view();
        let names: Vec<&str> = view.endpoints.iter().map(|endpoint| &*endpoint.name).collect();
        f.debug_struct("Orchestrator").field("servers", &names).finish_non_exhaustive()
    }
}

/// What is known of a server's state, for the parts beside the call path.
fn is_up(status: &Status) -> bool {
    matches!(status, Status::Up(_))
}
