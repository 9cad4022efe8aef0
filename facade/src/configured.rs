//! From a configuration to an orchestrator.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use toolweir_core::{Call, Error, Instant, Kind, Reply, Server, ServerInfo};
use toolweir_wire::{Endpoint, Options, Owner, Program, StdioServer, WebServer};

use crate::config::{self, Config, HttpKind, Setting, Start, StateDir, Transport};
use crate::endpoint::{Around, Origin};
use crate::handlers::Handlers;
use crate::isolated::{Isolated, Isolation};
use crate::orchestrator::{BuildError, Builder, Member};

impl Builder {
    /// Takes everything from a configuration: servers, routes, handlers, patterns.
    ///
    /// # Errors
    /// Fails where a handler makes no sense; what the configuration's own reader can see it has refused already.
    pub fn from_config(config: &Config) -> Result<Self, BuildError> {
        let settings = &config.settings;
        let connect_timeout = settings.connect_timeout.unwrap_or(Duration::from_secs(60));
        let mut builder = Self { connect_timeout: Some(connect_timeout), ..Self::default() };
        builder.router = router(settings);
        builder.metrics = toolweir_metrics::Config::default().alerts(alerts(&settings.alerts));
        if let Setting::On(cache) = settings.policies.cache {
            if let Some(entries) = cache.max_entries {
                builder.cache = builder.cache.max_entries(entries);
            }
            if let Some(bytes) = cache.max_bytes {
                builder.cache = builder.cache.max_bytes(bytes);
            }
            if let Some(time) = cache.stale_if_error {
                builder.cache = builder.cache.stale_if_error(time);
            }
        }
        let mut handlers = Handlers::builtin();
        for handler in &settings.handlers {
            handlers =
                handlers.with(&handler.request_type, handler.handler.value()).map_err(|error| {
                    BuildError::Handler {
                        request_type: handler.request_type.clone(),
                        message: error.to_string(),
                    }
                })?;
        }
        builder.handlers = Some(handlers);
        let is_there = |name: &Arc<str>| {
            config.servers.iter().any(|server| server.name == **name && !server.disabled)
        };
        for pool in &settings.pools {
            let mut pool = pool.clone();
            pool.servers.retain(is_there);
            for tool in &mut pool.tools {
                tool.members.retain(|(server, _)| is_there(server));
            }
            builder.pools.push(pool);
        }
        if let Some(StateDir::At(folder)) = &settings.state_dir {
            builder.state_dir = Some(folder.value().into());
        }
        for server in config.servers.iter().filter(|server| !server.disabled) {
            builder.members.push(member(config, server));
        }
        Ok(builder)
    }
}

fn router(settings: &config::Settings) -> toolweir_router::Config {
    let mut routes = toolweir_router::Routes::default();
    for route in &settings.routes {
        routes = routes.with(route.request_type.clone(), route.capabilities.clone());
    }
    let mut router = toolweir_router::Config::default().routes(routes);
    router.zone.clone_from(&settings.zone);
    if let Some(spill) = settings.zone_spill {
        router = router.zone_spill(spill);
    }
    if let Some(time) = settings.slow_start {
        router = router.slow_start(time);
    }
    match &settings.default_capability {
        Some(capability) => router.default_capability(capability.clone()),
        None => router,
    }
}

fn member(config: &Config, server: &config::Server) -> Member {
    let policies = config.policies(server);
    let origin = Origin::Configured(Box::new(server.clone()));
    let mut member = Member::of(server.name.as_str().into(), origin)
        .capabilities(server.capabilities.iter().cloned())
        .prefix(server.prefix.clone());
    member.trusted = server.trusted;
    member.zone = server.zone.as_ref().map(|zone| zone.name.as_str().into());
    let breaker = match policies.breaker {
        Setting::Off => None,
        Setting::Inherit => Some(toolweir_breaker::Config::default()),
        Setting::On(given) => {
            let mut breaker = toolweir_breaker::Config::default();
            if let Some(failures) = given.failures {
                breaker = breaker.failures(failures.get());
            }
            if let Some(cooldown) = given.cooldown {
                breaker = breaker.cooldown(cooldown);
                breaker = breaker.max_cooldown(cooldown.max(Duration::from_secs(300)));
            }
            if let Some(failures) = given.tool_failures {
                member = member.tool_failures(failures);
            }
            Some(breaker)
        }
    };
    member = member.breaker(breaker);
    if let Some(host) = host(server) {
        member = member.host(host);
    }
    member.limit = limit(policies.rate_limit);
    member.user_limit = limit(policies.rate_limit_per_user);
    if let Setting::On(given) = policies.concurrency {
        member.concurrency = Some(gate(&given));
    }
    match policies.cache {
        Setting::Off => member.cached = false,
        Setting::Inherit => {}
        Setting::On(cache) => member.ttl = cache.ttl,
    }
    match policies.retry {
        Setting::Off => member = member.retry(1, 0),
        Setting::Inherit => {}
        Setting::On(retry) => {
            let attempts = retry.attempts.map_or(member.attempts, NonZeroU32::get);
            let percent = retry.budget.unwrap_or(member.retry_percent);
            member = member.retry(attempts, percent);
        }
    }
    match policies.hedge {
        Setting::Off => member = member.hedge(0),
        Setting::Inherit => {}
        Setting::On(hedge) => {
            let percent = hedge.budget.unwrap_or(member.hedge_percent);
            member = member.hedge(percent);
        }
    }
    if policies.start == Some(Start::Lazy) {
        member = member.lazy();
    }
    if let Some(idle) = policies.idle_stop {
        member = member.idle_stop(idle);
    }
    if let Some(timeout) = policies.timeout {
        member.timeout = timeout;
    }
    for (tool, policy) in &server.tools {
        member = member.tool_hints(tool.clone(), policy.hints);
        if let Some(ttl) = policy.ttl {
            member = member.tool_ttl(tool.clone(), ttl);
        }
        if let Some(limit) = limit(policy.rate_limit) {
            member = member.tool_rate_limit(tool.clone(), limit);
        }
        if let Some(limit) = limit(policy.rate_limit_per_user) {
            member = member.tool_rate_limit_per_user(tool.clone(), limit);
        }
    }
    member
}

/// The host and port of a server that is reached over HTTP.
fn host(server: &config::Server) -> Option<Arc<str>> {
    let Some(Transport::Http(http)) = &server.transport else { return None };
    let uri: http::Uri = http.url.value().parse().ok()?;
    Some(uri.authority()?.as_str().to_ascii_lowercase().into())
}

/// A rate limit that is on.
fn limit(setting: Setting<config::RateLimit>) -> Option<toolweir_ratelimit::Config> {
    let Setting::On(given) = setting else { return None };
    let mut limit = toolweir_ratelimit::Config::default();
    if let Some(rate) = given.requests_per_second {
        limit = limit.requests_per_second(rate);
    }
    if let Some(burst) = given.burst {
        limit = limit.burst(burst.get());
    }
    if let Some(wait) = given.max_wait {
        limit = limit.max_wait(wait);
    }
    Some(limit)
}

fn gate(given: &config::Concurrency) -> toolweir_ratelimit::GateConfig {
    let mut gate = toolweir_ratelimit::GateConfig::default();
    if let Some(calls) = given.max_in_flight {
        gate = gate.max_in_flight(calls.get());
    }
    if let Some(adaptive) = given.adaptive {
        gate = gate.adaptive(adaptive);
    }
    if let Some(slow) = given.slow {
        gate = gate.slow(slow);
    }
    if let Some(callers) = given.max_waiting {
        gate = gate.max_waiting(callers as usize);
    }
    if let Some(wait) = given.max_wait {
        gate = gate.max_wait(wait);
    }
    gate
}

/// A server, and what gives each client an instance of it where that is asked for.
pub(crate) struct Reached {
    pub(crate) server: Arc<dyn Server>,
    pub(crate) isolated: Option<Arc<Isolated>>,
}

impl Reached {
    /// The `server` of an entry; `sibling` makes another instance of it for one client.
    fn new(
        name: &Arc<str>,
        entry: &config::Server,
        server: Arc<dyn Server>,
        sibling: impl Fn(Owner) -> Arc<dyn Server> + Send + Sync + 'static,
    ) -> Self {
        let Some(given) = entry.isolate else { return Self { server, isolated: None } };
        let mut bounds = Isolation::default();
        if matches!(entry.transport, Some(Transport::Http(_))) {
            bounds = bounds.sessions_only();
        }
        if let Some(max) = given.max {
            bounds = bounds.max(usize::try_from(max.get()).unwrap_or(usize::MAX));
        }
        if let Some(idle) = given.idle {
            bounds = bounds.idle(idle);
        }
        Self::isolated(Isolated::new(name.clone(), server, Box::new(sibling), bounds))
    }

    pub(crate) fn isolated(isolated: Arc<Isolated>) -> Self {
        Self { server: isolated.clone(), isolated: Some(isolated) }
    }
}

/// The server that an entry of the configuration speaks of.
pub(crate) fn transport(
    name: &Arc<str>,
    server: &config::Server,
    around: &Around,
) -> Result<Reached, Error> {
    let options = Options::default().connect_timeout(around.connect_timeout);
    Ok(match &server.transport {
        Some(Transport::Stdio(stdio)) => {
            let mut program = Program::new(stdio.command.value())
                .args(stdio.args.iter().map(config::Text::value));
            for (variable, value) in &stdio.env {
                program = program.env(variable, value.expose());
            }
            if let Some(folder) = &stdio.cwd {
                program = program.cwd(folder.value());
            }
            if let Some(watchdog) = &around.watchdog {
                program = program.watched_by(watchdog);
            }
            let one = StdioServer::new(name.clone(), program, options);
            let shared = Arc::new(one.clone());
            Reached::new(name, server, shared, move |owner| Arc::new(one.sibling(owner)))
        }
        Some(Transport::Http(http)) => {
            let mut endpoint = Endpoint::new(http.url.value())?;
            for (header, value) in &http.headers {
                endpoint = endpoint.header(header, value.expose())?;
            }
            let mut one = WebServer::new(name.clone(), endpoint, options)?;
            if http.kind == HttpKind::Sse {
                one = one.sse_first();
            }
            let shared = Arc::new(one.clone());
            Reached::new(name, server, shared, move |owner| Arc::new(one.sibling(owner)))
        }
        _ => Reached { server: Arc::new(Nowhere(name.clone())), isolated: None },
    })
}

/// A server whose configuration does not say how it is reached: registered, and never there.
struct Nowhere(Arc<str>);

impl Nowhere {
    fn error(&self) -> Error {
        Error::new(Kind::Unreachable)
            .server(self.0.clone())
            .message("the configuration gives neither `command` nor `url`")
    }
}

#[async_trait]
impl Server for Nowhere {
    async fn call(&self, _: &Call) -> Result<Reply, Error> {
        Err(self.error())
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        Err(self.error())
    }
}

fn alerts(given: &config::Alerts) -> toolweir_metrics::Alerts {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut alerts = toolweir_metrics::Alerts::default();
    alerts.rules.clone_from(&given.rules);
    if let Some(latency) = given.high_latency {
        alerts.latency_ms = millis(latency);
    }
    if let Some(errors) = given.errors_in_last_100 {
        alerts.errors = errors;
        alerts.errors_clear = alerts.errors_clear.min(errors);
    }
    if let Some(rate) = given.error_rate {
        alerts.thresholds.error_rate = rate;
    }
    if let Some(latency) = given.latency_p99 {
        alerts.thresholds.latency_p99_ms = latency.as_secs_f64() * 1e3;
    }
    if let Some(latency) = given.latency_p50 {
        alerts.thresholds.latency_p50_ms = latency.as_secs_f64() * 1e3;
    }
    alerts
}
