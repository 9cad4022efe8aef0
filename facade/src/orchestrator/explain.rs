//! What would be done with a call, and why.

use std::fmt;

use serde::Serialize;
use toolweir_core::{Call, Clock, Error, Hints, Method, TokioClock};

use super::{Orchestrator, resolve::Aimed};
use crate::catalogue::Kind;
use crate::endpoint::{Endpoint, Scope};
use crate::policy::{self, Decision};

/// What would be done with a call: the servers that it would be tried at, best first, and what may be done with it at
/// each of them.
///
/// ```
/// use std::sync::Arc;
/// use toolweir::{Member, Orchestrator};
/// use toolweir::core::{Call, Hints, RawJson};
/// # use toolweir::core::{Error, Reply, Server};
/// # struct Echo;
/// # #[async_trait::async_trait]
/// # impl Server for Echo {
/// #     async fn call(&self, call: &Call) -> Result<Reply, Error> {
/// #         let list = RawJson::from(serde_json::json!({ "tools": [{ "name": "echo" }] }));
/// #         Ok(Reply::new(if call.method.as_str() == "tools/list" { list } else { RawJson::EMPTY_OBJECT }))
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let member = Member::new("s", Arc::new(Echo)).tool_hints("echo", Hints::read());
/// let orchestrator = Orchestrator::builder().member(member).start()?;
/// let explained = orchestrator.explain(&Call::tool("s__echo", &RawJson::EMPTY_OBJECT)?).await?;
/// let shared = explained.servers[0].rules.iter().find(|rule| rule.what == "shared").unwrap();
/// assert!(shared.allowed);
/// assert_eq!(shared.why, "it only reads");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explained {
    /// The name or URI that was asked for.
    pub name: String,
    /// The method.
    pub method: String,
    /// The pool whose tool it is, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether the caller stays with one of the pool's members: the first of the servers, while that is up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
    /// The servers, best first; none where the call is answered without one.
    pub servers: Vec<Candidate>,
}

/// One server that a call would be tried at.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name in the configuration.
    pub server: String,
    /// The server's own name for what is asked.
    pub known_as: String,
    /// How the caller's arguments become those of a pool's member, where they do not just pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// Why it stands where it does.
    pub standing: String,
    /// Its breaker: `closed`, `open`, `half_open`; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    /// The tool's own breaker, where something is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_breaker: Option<&'static str>,
    /// The rate limits that hold for it there, the narrowest first; it takes a little of each, or nothing of any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<RateLimit>,
    /// Whether each client has an instance of its own there.
    pub isolated: bool,
    /// Whether the server's own annotations are believed.
    pub trusted: bool,
    /// What its annotations claim.
    pub claimed: Effects,
    /// What is believed: the configuration's word first, then, of a trusted server, its own.
    pub believed: Effects,
    /// What may be done with the call there.
    pub rules: Vec<Rule>,
}

/// A rate limit that holds for a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RateLimit {
    /// Whose it is: `server`, `tool`, `each user`, `each user at this tool`.
    pub of: &'static str,
    /// The lasting rate.
    pub requests_per_second: f64,
    /// How many calls may come at once.
    pub burst: u32,
    /// How long a call waits for its turn, in milliseconds; absent where it is refused at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
}

/// What is known of a tool's effects; what is absent is not known, and the worst is assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Effects {
    /// Changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Repeating it changes nothing further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// May destroy something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Touches things outside the server's own domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// One thing that may, or may not, be done with a call.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Rule {
    /// `kept`, `shared`, `hedged`, `repeated` or `moved`.
    pub what: &'static str,
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub why: String,
}

impl Orchestrator {
    /// Says what would be done with `call`, and why; nothing is sent.
    ///
    /// # Errors
    /// As [`call`](Self::call) fails where no server has what is asked for.
    pub async fn explain(&self, call: &Call) -> Result<Explained, Error> {
        let name = call.target.as_deref().unwrap_or_default().to_owned();
        let method = call.method.to_string();
        let aim = match self.aim(call).await? {
            Aimed::Done(_) => {
                return Ok(Explained {
                    name,
                    method,
                    pool: None,
                    sticky: false,
                    servers: Vec::new(),
                });
            }
            Aimed::At(aim) => aim,
        };
        let pooled = aim.pooled.as_deref();
        let is_sticky = pooled.is_some_and(|pooled| pooled.sticky);
        let standings = self.0.router.explain_call_at(&aim.call, &aim.ids(), TokioClock.now());
        let candidates = standings.servers.iter().filter(|standing| standing.place.is_some());
        let mut servers: Vec<Candidate> = candidates
            .filter_map(|standing| {
                let id = standing.server();
                let endpoint = aim.servers.iter().find(|endpoint| endpoint.id == id)?;
                let call = aim.call_for(endpoint).ok()?;
                let mapping = aim.mapping(id);
                let hedged = policy::hedge_among(&call, is_sticky);
                Some(candidate(endpoint, &call, hedged, mapping, standing.reason.clone()))
            })
            .collect();
        if let Some(pooled) = pooled.filter(|pooled| pooled.sticky) {
            let (order, _) = self.at_home(&aim, &pooled.pool);
            let place = |server: &str| order.iter().position(|it| *it.name == *server);
            servers.sort_by_key(|candidate| place(&candidate.server).unwrap_or(usize::MAX));
        }
        let pool = pooled.map(|pooled| pooled.pool.to_string());
        Ok(Explained { name, method, pool, sticky: is_sticky, servers })
    }
}

fn candidate(
    endpoint: &Endpoint,
    call: &Call,
    hedged: Decision,
    mapping: Option<String>,
    standing: String,
) -> Candidate {
    let known_as = call.target.as_deref().unwrap_or_default();
    let listing = endpoint.listing.load();
    let claimed = listing.of(Kind::Tool).iter().find(|item| &*item.name == known_as);
    Candidate {
        server: endpoint.name.to_string(),
        known_as: known_as.to_owned(),
        mapping,
        standing,
        breaker: endpoint.settings.breakers.server.as_ref().map(|breaker| breaker.state().name()),
        tool_breaker: call
            .target
            .as_ref()
            .filter(|_| call.method == Method::TOOLS_CALL)
            .and_then(|tool| endpoint.settings.breakers.of_tool(tool))
            .map(toolweir_breaker::State::name),
        limits: endpoint.settings.limits.said(call).into_iter().map(limit).collect(),
        isolated: endpoint.settings.isolated.is_some(),
        trusted: endpoint.settings.trusted,
        claimed: claimed.map(|item| item.claimed.into()).unwrap_or_default(),
        believed: call.hints.into(),
        rules: vec![
            rule("kept", policy::keep(endpoint, call)),
            rule("shared", policy::share(endpoint, call)),
            rule("hedged", hedged),
            rule("repeated", policy::repeat(call)),
            rule("moved", policy::elsewhere(call)),
        ],
    }
}

fn limit((scope, config): (Scope, &toolweir_ratelimit::Config)) -> RateLimit {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit that is there was validated: its rate is from 0 to 1e9"
    )]
    let rounded_up = config.requests_per_second.ceil() as u32;
    let waits = (scope == Scope::Server).then_some(config.max_wait);
    RateLimit {
        of: scope.words(),
        requests_per_second: config.requests_per_second,
        burst: config.burst.unwrap_or(rounded_up),
        max_wait_ms: waits.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} a second, {} at once", self.of, self.requests_per_second, self.burst)?;
        match self.max_wait_ms {
            Some(wait) => write!(f, ", waits for {wait} ms"),
            None => Ok(()),
        }
    }
}

fn rule(what: &'static str, decision: Decision) -> Rule {
    Rule { what, allowed: decision.allowed, why: decision.why.to_string() }
}

impl From<Hints> for Effects {
    fn from(hints: Hints) -> Self {
        Self {
            read_only: hints.read_only,
            idempotent: hints.idempotent,
            destructive: hints.destructive,
            open_world: hints.open_world,
        }
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = [
            ("read-only", self.read_only),
            ("idempotent", self.idempotent),
            ("destructive", self.destructive),
            ("open world", self.open_world),
        ];
        let mut words = said.iter().filter_map(|(word, said)| Some((word, (*said)?)));
        let Some((word, is)) = words.next() else { return f.write_str("nothing") };
        write!(f, "{}{word}", if is { "" } else { "not " })?;
        words.try_for_each(|(word, is)| write!(f, ", {}{word}", if is { "" } else { "not " }))
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.servers.is_empty() {
            return write!(f, "{}: answered without any server", self.method);
        }
        if let Some(pool) = &self.pool {
            let sticky =
                if self.sticky { "; this client stays with the first while it is up" } else { "" };
            writeln!(f, "{} of the pool {pool}{sticky}", self.name)?;
        }
        for (place, candidate) in (1..).zip(&self.servers) {
            if place > 1 {
                writeln!(f)?;
            }
            write!(f, "{place}. {candidate}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which knows it as `{}`", self.server, self.known_as)?;
        if let Some(mapping) = &self.mapping {
            write!(f, "\n   arguments {mapping}")?;
        }
        write!(f, "\n   standing  {}", self.standing)?;
        if let Some(breaker) = self.breaker {
            write!(f, "\n   breaker   {}", breaker.replace('_', "-"))?;
            if let Some(tool) = self.tool_breaker {
                write!(f, "; the tool's own {}", tool.replace('_', "-"))?;
            }
        }
        for (place, limit) in self.limits.iter().enumerate() {
            write!(f, "\n   {:<8}  {limit}", if place == 0 { "limits" } else { "" })?;
        }
        if self.isolated {
            f.write_str("\n   isolated  each client has an instance of its own")?;
        }
        write!(f, "\n   claimed   {}", self.claimed)?;
        if !self.trusted && self.claimed != Effects::default() {
            f.write_str(
                " (not believed: set `trusted` for the server, or `hints` for the tool, in the configuration)",
            )?;
        }
        write!(f, "\n   believed  {}", self.believed)?;
        for rule in &self.rules {
            write!(
                f,
                "\n   {:<8}  {}: {}",
                rule.what,
                if rule.allowed { "yes" } else { "no" },
                rule.why
            )?;
        }
        Ok(())
    }
}
