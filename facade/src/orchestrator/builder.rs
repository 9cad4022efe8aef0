//! Putting an orchestrator together, from a configuration or from code.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_cache::ReplyCache;
use toolweir_core::{Clock, Hints, Observer, Server, TokioClock};
use toolweir_metrics::Recorder;
use toolweir_router::Router;
use toolweir_wire::Watchdog;

use super::fan::Levels;
use super::links::Links;
use super::reload::Counts;
use super::step::{Hosts, Step};
use super::subscriptions::Subscriptions;
use super::view::{self, View};
use super::{Inner, Orchestrator, supervise};
use crate::catalogue::Shelf;
use crate::endpoint::{Around, Endpoint, Origin, ToolRule};
use crate::handlers::Handlers;
use crate::isolated::{Isolated, Isolation};

/// The deadline of a call where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to be there.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a call may be sent where nothing else is said.
const ATTEMPTS: u32 = 3;
/// Repetitions a hundred calls where nothing else is said.
const RETRY_PERCENT: u8 = 10;
/// Second servers asked a hundred calls where nothing else is said.
const HEDGE_PERCENT: u8 = 5;

/// A tool is left alone after so many failures in a row where nothing else is said: sooner than its server, so that one
/// broken tool alone does not take that out of use.
const TOOL_FAILURES: u32 = 3;

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
    pub(crate) handlers: Option<Handlers>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) watchdog: Option<Watchdog>,
    pub(crate) state_dir: Option<PathBuf>,
}

/// A server to be registered, and what holds for it.
pub struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) capabilities: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) trusted: bool,
    pub(crate) breaker: Option<toolweir_breaker::Config>,
    pub(crate) tool_failures: u32,
    pub(crate) host: Option<Arc<str>>,
    pub(crate) limit: Option<toolweir_ratelimit::Config>,
    pub(crate) concurrency: Option<toolweir_ratelimit::GateConfig>,
    pub(crate) timeout: Duration,
    pub(crate) ttl: Option<Duration>,
    pub(crate) cached: bool,
    pub(crate) attempts: u32,
    pub(crate) retry_percent: u8,
    pub(crate) hedge_percent: u8,
    pub(crate) tools: BTreeMap<String, ToolRule>,
    pub(crate) lazy: bool,
    pub(crate) idle_stop: Option<Duration>,
}

impl Member {
    /// A server under `name`, which is also the prefix of its tools: breaker on, no rate limit, results of tools not
    /// cached, annotations not believed.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, server: Arc<dyn Server>) -> Self {
        Self::of(name.into(), Origin::Given(server))
    }

    pub(crate) fn of(name: Arc<str>, origin: Origin) -> Self {
        Self {
            prefix: name.to_string(),
            name,
            origin,
            capabilities: Vec::new(),
            trusted: false,
            breaker: Some(toolweir_breaker::Config::default()),
            tool_failures: TOOL_FAILURES,
            host: None,
            limit: None,
            concurrency: None,
            timeout: TIMEOUT,
            ttl: None,
            cached: true,
            attempts: ATTEMPTS,
            retry_percent: RETRY_PERCENT,
            hedge_percent: HEDGE_PERCENT,
            tools: BTreeMap::new(),
            lazy: false,
            idle_stop: None,
        }
    }

    /// What the server can be asked for.
    #[must_use]
    pub fn capabilities(
        mut self,
        capabilities: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.capabilities.extend(capabilities.into_iter().map(Into::into));
        self
    }

    /// Another prefix for its tools' and prompts' names; none where it is empty.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Believes what the server says of its tools' effects.
    #[must_use]
    pub fn trusted(mut self) -> Self {
        self.trusted = true;
        self
    }

    /// Another breaker; `None`: no breaker.
    #[must_use]
    pub fn breaker(mut self, config: impl Into<Option<toolweir_breaker::Config>>) -> Self {
        self.breaker = config.into();
        self
    }

    /// Another number of failures in a row after which a single tool is left alone (3 unless set); 0: tools have no
    /// breakers of their own. Its other settings are those of the server's [`breaker`](Self::breaker).
    #[must_use]
    pub fn tool_failures(mut self, failures: u32) -> Self {
        self.tool_failures = failures;
        self
    }

    /// Where the server runs. Servers on one host share a breaker that opens when none of them can be reached.
    #[must_use]
    pub fn host(mut self, host: impl Into<Arc<str>>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// A rate limit; `None`: no limit.
    #[must_use]
    pub fn rate_limit(mut self, config: impl Into<Option<toolweir_ratelimit::Config>>) -> Self {
        self.limit = config.into();
        self
    }

    /// A bound on its calls in flight, fixed or following what the server bears; `None`: no bound but that of the
    /// connection. Whoever finds no place, here or at an equivalent server, waits in a fair line, one a principal.
    #[must_use]
    pub fn concurrency(
        mut self,
        config: impl Into<Option<toolweir_ratelimit::GateConfig>>,
    ) -> Self {
        self.concurrency = config.into();
        self
    }

    /// The deadline of its calls.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Keeps the results of its read-only tools for `ttl`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Caches nothing of this server.
    #[must_use]
    pub fn uncached(mut self) -> Self {
        self.cached = false;
        self
    }

    /// A call that only reads, or is idempotent, may be sent so many times in all (3 unless set), and repetitions may
    /// be so many percent of the calls (10 unless set), beside a small reserve. With one attempt or 0 percent nothing
    /// that may have been carried out is repeated.
    #[must_use]
    pub fn retry(mut self, attempts: u32, budget_percent: u8) -> Self {
        (self.attempts, self.retry_percent) = (attempts, budget_percent.min(100));
        self
    }

    /// Where the server takes longer for a read than it usually does and another can answer too, that one is asked as
    /// well: at so many percent of the calls at most (5 unless set), beside a small reserve; 0: never.
    #[must_use]
    pub fn hedge(mut self, budget_percent: u8) -> Self {
        self.hedge_percent = budget_percent.min(100);
        self
    }

    /// Starts it when a call first needs it, where its lists are known from [`Builder::state_dir`]; where they are not it
    /// is started at once, to be listed.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.lazy = true;
        self
    }

    /// Lets go of it, which ends a child process, when no call has needed it for `time`, nobody subscribes to a
    /// resource there, and it has begun no task; the next call has it begin again. Never under a call. A server of your own decides in
    /// [`Server::rest`] what that means.
    #[must_use]
    pub fn idle_stop(mut self, time: Duration) -> Self {
        self.idle_stop = Some(time).filter(|time| !time.is_zero());
        self
    }

    /// Gives each client an instance of its own, which `make` makes; the server given to [`new`](Self::new) is shared:
    /// lists and probes are its, and calls that no client made.
    ///
    /// What an instance says without naming a call is then its client's, and replies are neither kept nor shared
    /// among clients. An instance ends with its client's session, or when it is idle.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use toolweir::{Isolation, Member};
    /// use toolweir::wire::{Options, Program, StdioServer};
    ///
    /// let shared = StdioServer::new("files", Program::new("mcp-server-filesystem"), Options::default());
    /// let one = shared.clone();
    /// let member = Member::new("files", Arc::new(shared))
    ///     .isolate(Isolation::default().max(4), move |owner| Arc::new(one.sibling(owner)));
    /// ```
    #[must_use]
    pub fn isolate(
        mut self,
        bounds: Isolation,
        make: impl Fn(toolweir_wire::Owner) -> Arc<dyn Server> + Send + Sync + 'static,
    ) -> Self {
        if let Origin::Given(server) = &self.origin {
            let (name, server) = (self.name.clone(), server.clone());
            self.origin = Origin::Isolated(Isolated::new(name, server, Box::new(make), bounds));
        }
        self
    }

    /// What is known of one tool's effects; believed whatever the server says.
    #[must_use]
    pub fn tool_hints(mut self, tool: impl Into<String>, hints: Hints) -> Self {
        self.tools.entry(tool.into()).or_default().hints = hints;
        self
    }

    /// Keeps the results of one tool for `ttl`, where it is known to be read-only.
    #[must_use]
    pub fn tool_ttl(mut self, tool: impl Into<String>, ttl: Duration) -> Self {
        self.tools.entry(tool.into()).or_default().ttl = Some(ttl);
        self
    }
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

    /// Checks everything that [`start`](Self::start) would refuse, and starts nothing.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn check(self) -> Result<(), BuildError> {
        self.assemble().map(drop)
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
        let store =
            ReplyCache::with_clock(self.cache, TokioClock).map_err(setting("toolweir", "cache"))?;
        let mut observers: Vec<Arc<dyn Observer>> = vec![router.clone(), Arc::new(metrics.clone())];
        observers.extend(self.observers);
        let endpoints: Arc<[_]> =
            steps.into_iter().map(|step| step.endpoint(&router, &observers)).collect();
        let view = View {
            catalogue: view::catalogue(&endpoints),
            endpoints,
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
}

impl Orchestrator {
    /// Begins to look after every server.
    fn supervise(&self) {
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

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Member");
        debug
            .field("name", &self.name)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
