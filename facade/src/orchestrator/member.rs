//! A server, and what holds for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Hints, Server};

use crate::endpoint::{Origin, ToolLimits, ToolRule};
use crate::isolated::{Isolated, Isolation};

/// The deadline of a call where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a call may be sent where nothing else is said.
const ATTEMPTS: u32 = 3;
/// Repetitions a hundred calls where nothing else is said.
const RETRY_PERCENT: u8 = 10;
/// Second servers asked a hundred calls where nothing else is said.
const HEDGE_PERCENT: u8 = 5;

/// A tool is left alone after so many failures in a row where nothing else is said: sooner than its server, so that one
/// broken tool alone does not take that out of use.
const TOOL_FAILURES: u32 = 3;

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
    pub(crate) user_limit: Option<toolweir_ratelimit::Config>,
    pub(crate) tool_limits: BTreeMap<String, ToolLimits>,
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
    pub(crate) zone: Option<Arc<str>>,
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
            user_limit: None,
            tool_limits: BTreeMap::new(),
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
            zone: None,
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

    /// Starts it when a call first needs it, where its lists are known from [`Builder::state_dir`](crate::Builder::state_dir);
    /// where they are not it
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

    /// Where it stands: where [`Config::zone`](toolweir_router::Config::zone) of the router is another, it comes behind the
    /// servers of that zone and those that name none.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
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

    /// A rate limit for each user ([`Principal`](toolweir_core::Principal)) at this server; `None`: no limit. Who is at it
    /// is refused at once, and told when to come again: nothing waits, whatever `max_wait` says.
    #[must_use]
    pub fn rate_limit_per_user(
        mut self,
        config: impl Into<Option<toolweir_ratelimit::Config>>,
    ) -> Self {
        self.user_limit = config.into();
        self
    }

    /// A rate limit for all calls of one tool, by the server's own name for it. As
    /// [`rate_limit_per_user`](Self::rate_limit_per_user), it is not waited for. A call takes a little of all limits that
    /// hold for it, or nothing of any.
    #[must_use]
    pub fn tool_rate_limit(
        mut self,
        tool: impl Into<String>,
        config: toolweir_ratelimit::Config,
    ) -> Self {
        self.tool_limits.entry(tool.into()).or_default().all = Some(config);
        self
    }

    /// A rate limit for each user at one tool.
    #[must_use]
    pub fn tool_rate_limit_per_user(
        mut self,
        tool: impl Into<String>,
        config: toolweir_ratelimit::Config,
    ) -> Self {
        self.tool_limits.entry(tool.into()).or_default().user = Some(config);
        self
    }

    /// Keeps the results of one tool for `ttl`, where it is known to be read-only.
    #[must_use]
    pub fn tool_ttl(mut self, tool: impl Into<String>, ttl: Duration) -> Self {
        self.tools.entry(tool.into()).or_default().ttl = Some(ttl);
        self
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
