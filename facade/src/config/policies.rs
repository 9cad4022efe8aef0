//! What holds for every server unless its own entry says otherwise.

use std::num::NonZeroU32;
use std::time::Duration;

use jsonc_parser::ast::{Object, Value};

use super::diagnostics::Severity;
use super::walk::{Fields, Walk, span};

/// The longest time that may be configured: a day.
pub(super) const DAY: u64 = 24 * 3600 * 1000;

/// A pattern's setting: not mentioned, switched off with `false`, or given (`true` gives all defaults).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Setting<T> {
    /// Not mentioned: what holds one level up holds here.
    #[default]
    Inherit,
    /// `false`.
    Off,
    /// An object, or `true`.
    On(T),
}

/// The circuit breaker's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Breaker {
    /// `failures`: it opens after so many in a row.
    pub failures: Option<NonZeroU32>,
    /// `cooldownMs`: it stays open for so long.
    pub cooldown: Option<Duration>,
    /// `toolFailures`: a single tool's own opens after so many in a row; 0: tools have none.
    pub tool_failures: Option<u32>,
}

/// The rate limit's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RateLimit {
    /// `requestsPerSecond`.
    pub requests_per_second: Option<f64>,
    /// `burst`: so many may come at once.
    pub burst: Option<NonZeroU32>,
    /// `maxWaitMs`: a call waits at most so long for its turn.
    pub max_wait: Option<Duration>,
}

/// Settings of how many calls a server has at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Concurrency {
    /// `maxInFlight`: so many calls at once.
    pub max_in_flight: Option<NonZeroU32>,
    /// `adaptive`: whether the bound follows what the server bears, from `maxInFlight` downwards.
    pub adaptive: Option<bool>,
    /// `slowMs`: an adaptive bound takes a slower answer for a sign of overload.
    pub slow: Option<Duration>,
    /// `maxWaiting`: so many calls may wait for a place.
    pub max_waiting: Option<u32>,
    /// `maxWaitMs`: a call waits at most so long for a place.
    pub max_wait: Option<Duration>,
}

/// The cache's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Cache {
    /// `maxEntries`: of the one cache that all servers share.
    pub max_entries: Option<u64>,
    /// `maxBytes`: of the one cache that all servers share.
    pub max_bytes: Option<u64>,
    /// `ttlMs`: how long a tool's result is kept; not at all where it is not given.
    pub ttl: Option<Duration>,
    /// `staleIfErrorMs`: how long past its time a reply stands in where its server cannot answer; not at all where it
    /// is not given.
    pub stale_if_error: Option<Duration>,
}

/// Settings of what is done where a server fails.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Retry {
    /// `attempts`: how often a call may be sent, the first time included.
    pub attempts: Option<NonZeroU32>,
    /// `budgetPercent`: how many percent of the calls may be repeated.
    pub budget: Option<u8>,
}

/// Settings of what is done where a server is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Hedge {
    /// `budgetPercent`: at how many percent of the calls another server may be asked too.
    pub budget: Option<u8>,
}

/// What holds for a server's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Policies {
    /// `breaker`: on where not mentioned.
    pub breaker: Setting<Breaker>,
    /// `rateLimit`: off where not mentioned.
    pub rate_limit: Setting<RateLimit>,
    /// `rateLimitPerUser`: of each user at each server; off where not mentioned.
    pub rate_limit_per_user: Setting<RateLimit>,
    /// `concurrency`: off where not mentioned.
    pub concurrency: Setting<Concurrency>,
    /// `cache`: on where not mentioned.
    pub cache: Setting<Cache>,
    /// `retry`: on where not mentioned.
    pub retry: Setting<Retry>,
    /// `hedge`: on where not mentioned.
    pub hedge: Setting<Hedge>,
    /// `timeoutMs`: the deadline of a call.
    pub timeout: Option<Duration>,
    /// `start`: at once where not mentioned.
    pub start: Option<Start>,
    /// `idleStopMs`: let go of where no call has needed it for so long; never where it is 0 or not mentioned.
    pub idle_stop: Option<Duration>,
}

/// When a server is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// `eager`: at once.
    Eager,
    /// `lazy`: when a call first needs it, where what it lists is known from before.
    Lazy,
}

impl RateLimit {
    fn over(self, base: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.or(base.requests_per_second),
            burst: self.burst.or(base.burst),
            max_wait: self.max_wait.or(base.max_wait),
        }
    }
}

impl<T: Copy> Setting<T> {
    /// This setting where it says something, `base` where it does not; `merge` joins two that are given.
    #[must_use]
    pub fn over(self, base: Self, merge: impl FnOnce(T, T) -> T) -> Self {
        match (self, base) {
            (Self::Inherit, base) => base,
            (Self::On(own), Self::On(base)) => Self::On(merge(own, base)),
            (own, _) => own,
        }
    }
}

impl Policies {
    /// These policies, and those of `base` wherever these say nothing.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self {
            breaker: self.breaker.over(base.breaker, |own, base| Breaker {
                failures: own.failures.or(base.failures),
                cooldown: own.cooldown.or(base.cooldown),
                tool_failures: own.tool_failures.or(base.tool_failures),
            }),
            rate_limit: self.rate_limit.over(base.rate_limit, RateLimit::over),
            rate_limit_per_user: self
                .rate_limit_per_user
                .over(base.rate_limit_per_user, RateLimit::over),
            concurrency: self.concurrency.over(base.concurrency, |own, base| Concurrency {
                max_in_flight: own.max_in_flight.or(base.max_in_flight),
                adaptive: own.adaptive.or(base.adaptive),
                slow: own.slow.or(base.slow),
                max_waiting: own.max_waiting.or(base.max_waiting),
                max_wait: own.max_wait.or(base.max_wait),
            }),
            cache: self.cache.over(base.cache, |own, base| Cache {
                max_entries: own.max_entries.or(base.max_entries),
                max_bytes: own.max_bytes.or(base.max_bytes),
                ttl: own.ttl.or(base.ttl),
                stale_if_error: own.stale_if_error.or(base.stale_if_error),
            }),
            retry: self.retry.over(base.retry, |own, base| Retry {
                attempts: own.attempts.or(base.attempts),
                budget: own.budget.or(base.budget),
            }),
            hedge: self
                .hedge
                .over(base.hedge, |own, base| Hedge { budget: own.budget.or(base.budget) }),
            timeout: self.timeout.or(base.timeout),
            start: self.start.or(base.start),
            idle_stop: self.idle_stop.or(base.idle_stop),
        }
    }

    /// Reads what holds for every server.
    pub(super) fn read(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>) -> Self {
        Self::read_with(walk, fields, cache)
    }

    /// Reads what holds for one server.
    pub(super) fn read_own(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>) -> Self {
        Self::read_with(walk, fields, own_cache)
    }

    fn read_with(
        walk: &mut Walk<'_>,
        fields: &mut Fields<'_, '_>,
        cache: fn(&mut Walk<'_>, &Object<'_>) -> Cache,
    ) -> Self {
        Self {
            breaker: setting(walk, fields.get("breaker"), "breaker", breaker),
            rate_limit: setting(walk, fields.get("rateLimit"), "rateLimit", rate_limit),
            rate_limit_per_user: per_user(walk, fields),
            concurrency: setting(walk, fields.get("concurrency"), "concurrency", concurrency),
            cache: setting(walk, fields.get("cache"), "cache", cache),
            retry: setting(walk, fields.get("retry"), "retry", retry),
            hedge: setting(walk, fields.get("hedge"), "hedge", hedge),
            timeout: fields
                .get("timeoutMs")
                .and_then(|value| walk.millis(value, "timeoutMs", 1..=DAY)),
            start: fields.get("start").and_then(|value| start(walk, value)),
            idle_stop: fields
                .get("idleStopMs")
                .and_then(|value| walk.millis(value, "idleStopMs", 0..=DAY)),
        }
    }
}

fn start(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Start> {
    let text = walk.filled(value, "start")?;
    match text.value() {
        "eager" => Some(Start::Eager),
        "lazy" => Some(Start::Lazy),
        _ => {
            walk.error(span(value), "`start` must be `eager` or `lazy`")
                .help("`lazy` starts a server when a call first needs it");
            None
        }
    }
}

fn setting<T: Default>(
    walk: &mut Walk<'_>,
    value: Option<&Value<'_>>,
    what: &str,
    read: fn(&mut Walk<'_>, &Object<'_>) -> T,
) -> Setting<T> {
    match value {
        None => Setting::Inherit,
        Some(Value::BooleanLit(literal)) if literal.value => Setting::On(T::default()),
        Some(Value::BooleanLit(_)) => Setting::Off,
        Some(value) => walk
            .object(value, what)
            .map_or(Setting::Inherit, |object| Setting::On(read(walk, object))),
    }
}

fn breaker(walk: &mut Walk<'_>, object: &Object<'_>) -> Breaker {
    let mut fields = Fields::new(object);
    let read = Breaker {
        failures: fields
            .get("failures")
            .and_then(|value| positive(walk, value, "failures", 1_000_000)),
        cooldown: fields
            .get("cooldownMs")
            .and_then(|value| walk.millis(value, "cooldownMs", 1..=DAY)),
        tool_failures: fields
            .get("toolFailures")
            .and_then(|value| walk.integer(value, "toolFailures", 0..=1_000_000))
            .and_then(|failures| u32::try_from(failures).ok()),
    };
    fields.finish(walk, Severity::Error, "`breaker`");
    read
}

fn rate_limit(walk: &mut Walk<'_>, object: &Object<'_>) -> RateLimit {
    let mut fields = Fields::new(object);
    let read = RateLimit {
        requests_per_second: fields
            .get("requestsPerSecond")
            .and_then(|value| walk.number(value, "requestsPerSecond", 0.001..=1_000_000.0)),
        burst: fields.get("burst").and_then(|value| positive(walk, value, "burst", 1_000_000)),
        max_wait: fields
            .get("maxWaitMs")
            .and_then(|value| walk.millis(value, "maxWaitMs", 0..=DAY)),
    };
    fields.finish(walk, Severity::Error, "`rateLimit`");
    read
}

/// `rateLimitPerUser`, of a server or a tool.
pub(super) fn per_user(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>) -> Setting<RateLimit> {
    setting(walk, fields.get("rateLimitPerUser"), "rateLimitPerUser", prompt_limit)
}

/// `rateLimit` of a tool.
pub(super) fn of_tool(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>) -> Setting<RateLimit> {
    setting(walk, fields.get("rateLimit"), "rateLimit", prompt_limit)
}

/// A limit that is not waited for: whoever waited at one would keep a place at the server's own.
fn prompt_limit(walk: &mut Walk<'_>, object: &Object<'_>) -> RateLimit {
    let fields = Fields::new(object);
    if let Some(at) = fields.key("maxWaitMs") {
        walk.error(at, "only the limit of a whole server is waited for")
            .help("remove `maxWaitMs`: who is at this limit is told when to come again");
    }
    rate_limit(walk, object)
}

fn concurrency(walk: &mut Walk<'_>, object: &Object<'_>) -> Concurrency {
    let mut fields = Fields::new(object);
    let read = Concurrency {
        max_in_flight: fields
            .get("maxInFlight")
            .and_then(|value| positive(walk, value, "maxInFlight", 1_000_000)),
        adaptive: fields.get("adaptive").and_then(|value| walk.boolean(value, "adaptive")),
        slow: fields.get("slowMs").and_then(|value| walk.millis(value, "slowMs", 1..=DAY)),
        max_waiting: fields
            .get("maxWaiting")
            .and_then(|value| walk.integer(value, "maxWaiting", 0..=1_000_000))
            .and_then(|callers| u32::try_from(callers).ok()),
        max_wait: fields
            .get("maxWaitMs")
            .and_then(|value| walk.millis(value, "maxWaitMs", 0..=DAY)),
    };
    fields.finish(walk, Severity::Error, "`concurrency`");
    read
}

fn cache(walk: &mut Walk<'_>, object: &Object<'_>) -> Cache {
    let mut fields = Fields::new(object);
    let read = Cache {
        max_entries: fields
            .get("maxEntries")
            .and_then(|value| walk.integer(value, "maxEntries", 1..=100_000_000)),
        max_bytes: fields
            .get("maxBytes")
            .and_then(|value| walk.integer(value, "maxBytes", 1..=1 << 40)),
        ttl: fields.get("ttlMs").and_then(|value| walk.millis(value, "ttlMs", 1..=365 * DAY)),
        stale_if_error: fields
            .get("staleIfErrorMs")
            .and_then(|value| walk.millis(value, "staleIfErrorMs", 0..=365 * DAY)),
    };
    fields.finish(walk, Severity::Error, "`cache`");
    read
}

fn retry(walk: &mut Walk<'_>, object: &Object<'_>) -> Retry {
    let mut fields = Fields::new(object);
    let read = Retry {
        attempts: fields.get("attempts").and_then(|value| positive(walk, value, "attempts", 10)),
        budget: fields.get("budgetPercent").and_then(|value| percent(walk, value)),
    };
    fields.finish(walk, Severity::Error, "`retry`");
    read
}

fn hedge(walk: &mut Walk<'_>, object: &Object<'_>) -> Hedge {
    let mut fields = Fields::new(object);
    let read = Hedge { budget: fields.get("budgetPercent").and_then(|value| percent(walk, value)) };
    fields.finish(walk, Severity::Error, "`hedge`");
    read
}

fn percent(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<u8> {
    u8::try_from(walk.integer(value, "budgetPercent", 0..=100)?).ok()
}

/// A server's own: the cache is one for all, so that its size is not a server's matter.
fn own_cache(walk: &mut Walk<'_>, object: &Object<'_>) -> Cache {
    let fields = Fields::new(object);
    for key in ["maxEntries", "maxBytes", "staleIfErrorMs"] {
        if let Some(at) = fields.key(key) {
            walk.error(at, format!("`{key}` cannot be set for one server: all share one cache"))
                .help("move it to `cache` in `toolweir`");
        }
    }
    cache(walk, object)
}

pub(super) fn positive(
    walk: &mut Walk<'_>,
    value: &Value<'_>,
    what: &str,
    most: u32,
) -> Option<NonZeroU32> {
    let number = walk.integer(value, what, 1..=u64::from(most))?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}
