//! Putting an orchestrator together, from a configuration or from code.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_cache::ReplyCache;
use toolweir_core::{Clock, Observer, TokioClock};
use toolweir_metrics::Recorder;
use toolweir_router::Router;
use toolweir_wire::Watchdog;

use super::fan::Levels;
use super::homes::Homes;
use super::links::Links;
use super::member::Member;
use super::reload::Counts;
use super::step::{Hosts, Step};
use super::subscriptions::Subscriptions;
use super::view::{self, View};
use super::{Inner, Orchestrator, supervise};
use crate::catalogue::Shelf;
use crate::endpoint::{Around, Endpoint};
use crate::handlers::Handlers;
use crate::pools::Pool;

/// How long a server may take to be there.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Puts an [`Orchestrator`] together.
///
/// ```
/// use std::sync::Arc;
/// use toolweir::{Member, Orchestrator};
/// # use toolweir::core::{Call, Error, RawJson, Reply, Server};
/// # struct Echo;
/// # #[async_trait::async_trait]
/// # impl Server for Echo {
/// #     async fn call(&self, _: &Call) -> Result<Reply, Error> { Ok(Reply::new(RawJson::EMPTY_OBJECT)) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let orchestrator = Orchestrator::builder()
///     .member(Member::new("echo", Arc::new(Echo)).capabilities(["echo"]))
///     .start()?;
/// assert_eq!(orchestrator.capable(&["echo"]), ["echo"]);
/// orchestrator.shutdown(std::time::Duration::from_secs(1)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Builder {
    pub(crate) members: Vec<Member>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) router: toolweir_router::Config,
    pub(crate) metrics: toolweir_metrics::Config,
    pub(crate) cache: toolweir_cache::Config,
    pub(crate) pools: Vec<Pool>,
    pub(crate) handlers: Option<Handlers>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) watchdog: Option<Watchdog>,
    pub(crate) state_dir: Option<PathBuf>,
}

/// Why an orchestrator cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two servers have one name.
    #[error("two servers are called `{0}`")]
    DuplicateName(String),
    /// A value of a pattern's configuration makes no sense.
    #[error("{server}: {pattern}: {source}")]
    Setting {
        /// The server that it was meant for; `toolweir` where it is meant for all.
        server: String,
        /// `breaker`, `rateLimit`, `concurrency`, `cache`, `metrics` or `router`.
        pattern: &'static str,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The orchestrator has been shut down.
    #[error("the orchestrator has been shut down")]
    Stopped,
    /// A server's transport cannot be set up.
    #[error("{server}: {source}")]
    Transport {
        /// The server.
        server: String,
        /// What is wrong.
        source: toolweir_core::Error,
    },
    /// A pool makes no sense.
    #[error("pool `{pool}`: {message}")]
    Pool {
        /// The pool.
        pool: String,
        /// What is wrong.
        message: String,
    },
    /// A handler of the configuration makes no sense.
    #[error("handler of `{request_type}`: {message}")]
    Handler {
        /// The request type.
        request_type: String,
        /// What is wrong.
        message: String,
    },
}

pub(super) fn setting<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    server: &str,
    pattern: &'static str,
) -> impl FnOnce(E) -> BuildError {
    let server = server.to_owned();
    move |source| BuildError::Setting { server, pattern, source: source.into() }
}

impl Builder {
    /// Registers a server; the order decides where two servers list the same name.
    #[must_use]
    pub fn member(mut self, member: Member) -> Self {
        self.members.push(member);
        self
    }

    /// Lets servers stand in for each other under one name.
    #[must_use]
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pools.push(pool);
        self
    }

    /// Adds an observer beside the router and the metrics.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Routes and ranking.
    #[must_use]
    pub fn router(mut self, config: toolweir_router::Config) -> Self {
        self.router = config;
        self
    }

    /// Metrics and alerts.
    #[must_use]
    pub fn metrics(mut self, config: toolweir_metrics::Config) -> Self {
        self.metrics = config;
        self
    }

    /// The bounds of the cache.
    #[must_use]
    pub fn cache(mut self, config: toolweir_cache::Config) -> Self {
        self.cache = config;
        self
    }

    /// How routed requests become calls of tools.
    #[must_use]
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.handlers = Some(handlers);
        self
    }

    /// How long a server may take to be there.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Ends the configured children where this process is killed, so that nothing could be ended in good order. Off
    /// unless given, because it needs a program to run: see [`Watchdog`].
    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// Keeps in this folder what configured servers list, so that an orchestrator that is started again lists it before
    /// they are there. Off unless given.
    #[must_use]
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// Checks everything that [`start`](Self::start) would refuse, and starts nothing. Gives what is withheld or unusual
    /// in the lists, as far as they are known from before ([`state_dir`](Self::state_dir)).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn check(self) -> Result<Vec<String>, BuildError> {
        self.assemble().map(|orchestrator| orchestrator.problems())
    }

    /// Starts the orchestrator on the current tokio runtime. Servers are connected in the background.
    ///
    /// # Errors
    /// Fails where two servers have one name, or a setting makes no sense.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub fn start(self) -> Result<Orchestrator, BuildError> {
        let orchestrator = self.assemble()?;
        orchestrator.supervise();
        Ok(orchestrator)
    }

    fn assemble(mut self) -> Result<Orchestrator, BuildError> {
        let steps = self.prepare(&[])?;
        let router =
            Router::new(self.router).map_err(setting("toolweir", "router"))?.with_clock(TokioClock);
        let router = Arc::new(router);
        let metrics = Recorder::with_clocks(self.metrics, Arc::new(TokioClock), wall_clock)
            .map_err(setting("toolweir", "metrics"))?;
        super::alerts::log(&metrics);
        let store =
            ReplyCache::with_clock(self.cache, TokioClock).map_err(setting("toolweir", "cache"))?;
        let mut observers: Vec<Arc<dyn Observer>> = vec![router.clone(), Arc::new(metrics.clone())];
        observers.extend(self.observers);
        let endpoints: Arc<[_]> =
            steps.into_iter().map(|step| step.endpoint(&router, &observers)).collect();
        let view = View {
            catalogue: view::catalogue(&endpoints, &self.pools),
            endpoints,
            pools: self.pools.into(),
            handlers: Arc::new(self.handlers.unwrap_or_else(Handlers::builtin)),
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        };
        let (untried, _) = watch::channel(0);
        let (unlisted, _) = watch::channel(0);
        Ok(Orchestrator(Arc::new(Inner {
            view: ArcSwap::from_pointee(view),
            router,
            metrics,
            store,
            observers,
            merging: Mutex::new(()),
            subscribers: Mutex::default(),
            subscriptions: Subscriptions::default(),
            watched_tasks: Subscriptions::default(),
            server_tasks: Arc::default(),
            levels: Levels::default(),
            homes: Homes::default(),
            links: Links::default(),
            untried,
            unlisted,
            watchdog: self.watchdog,
            state_dir: self.state_dir,
            starting: supervise::starting(),
            reloading: Mutex::new(()),
            reloads: Counts::default(),
            end: OnceLock::new(),
            started: TokioClock.now(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        })))
    }

    /// What is to be done with each server, given those that are there. Nothing is changed yet.
    pub(super) fn prepare(&mut self, there: &[Arc<Endpoint>]) -> Result<Vec<Step>, BuildError> {
        let mut names = HashSet::new();
        let mut on_host: HashMap<Arc<str>, usize> = HashMap::new();
        for member in &self.members {
            if !names.insert(member.name.clone()) {
                return Err(BuildError::DuplicateName(member.name.to_string()));
            }
            if let Some(host) = &member.host {
                *on_host.entry(host.clone()).or_default() += 1;
            }
        }
        self.check_pools()?;
        let is_shared = |host: &Arc<str>| on_host.get(host).is_some_and(|count| *count > 1);
        for member in &mut self.members {
            // Alone there, a server's own breaker tells the same.
            member.host = member.host.take().filter(is_shared);
        }
        let mut hosts = Hosts::of(&self.members, there);
        let around = Around {
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            watchdog: self.watchdog.clone(),
            shelf: self.state_dir.clone().map(|folder| Arc::new(Shelf::new(folder))),
        };
        let mut steps = Vec::with_capacity(self.members.len());
        for member in self.members.drain(..) {
            let old = there.iter().find(|endpoint| endpoint.name == member.name);
            steps.push(Step::of(member, old, &around, &mut hosts)?);
        }
        Ok(steps)
    }

    fn check_pools(&self) -> Result<(), BuildError> {
        let servers: Vec<(&str, &str)> =
            self.members.iter().map(|member| (&*member.name, member.prefix.as_str())).collect();
        for (at, pool) in self.pools.iter().enumerate() {
            let is_known = self.pools[..at].iter().any(|known| known.name == pool.name);
            let twice = is_known.then(|| "another pool has this name".to_owned());
            if let Some(message) = twice.or_else(|| pool.mistake(&servers)) {
                return Err(BuildError::Pool { pool: pool.name.to_string(), message });
            }
        }
        Ok(())
    }
}

impl Orchestrator {
    /// Begins to look after every server.
    fn supervise(&self) {
        self.look_after_alerts();
        let endpoints = self.view().endpoints.clone();
        for endpoint in &*endpoints {
            self.look_after(endpoint, false);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "stamps records for people")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("members", &self.members).finish_non_exhaustive()
    }
}
