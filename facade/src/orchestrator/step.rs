//! What becomes of one server where a configuration takes effect.

use std::collections::HashMap;
use std::sync::Arc;

use toolweir_breaker::{Breaker, Breakers as Keyed};
use toolweir_core::{Clock, Event, Observer, Server, ServerId, ServerInfo, ServerRef, TokioClock};
use toolweir_ratelimit::Gate;
use toolweir_router::{Registration, Router};

use super::builder::{BuildError, setting};
use super::member::Member;
use crate::catalogue::{Listing, Place};
use crate::configured::Reached;
use crate::endpoint::{Around, Breakers, Endpoint, Limits, Origin, Settings};

/// One server's step.
pub(super) enum Step {
    /// Nothing about it changed: process, breaker, limit and all that is known stay.
    Keep(Arc<Endpoint>),
    Make(Box<Made>),
}

/// A server with new terms; the process stays where it is reached as before.
pub(super) struct Made {
    name: Arc<str>,
    server: Arc<dyn Server>,
    origin: Origin,
    terms: String,
    settings: Settings,
    zone: Option<Arc<str>>,
    place: Option<Arc<Place>>,
    kept: Option<(Listing, ServerInfo)>,
    /// What it replaces.
    pub(super) old: Option<Arc<Endpoint>>,
    /// Whether what it replaces is reached in the same way.
    pub(super) is_same: bool,
}

impl Made {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Step {
    /// What `member` asks for, given the server of its name that is there.
    pub(super) fn of(
        member: Member,
        old: Option<&Arc<Endpoint>>,
        around: &Around,
        hosts: &mut Hosts,
    ) -> Result<Self, BuildError> {
        let terms = terms(&member);
        let is_same = old.is_some_and(|old| old.origin.is_same(&member.origin));
        if let Some(old) = old.filter(|old| is_same && old.terms == terms) {
            return Ok(Self::Keep(old.clone()));
        }
        let name = member.name.clone();
        let reached = match old.filter(|_| is_same) {
            Some(old) => {
                Reached { server: old.server.clone(), isolated: old.settings.isolated.clone() }
            }
            None => member
                .origin
                .reached(&name, around)
                .map_err(|source| BuildError::Transport { server: name.to_string(), source })?,
        };
        let breakers = match member.breaker.clone() {
            Some(config) => breakers(&member, config, hosts).map_err(setting(&name, "breaker"))?,
            None => Breakers::default(),
        };
        let limits = Limits::new(member.limit, member.user_limit, member.tool_limits);
        let gate = member.concurrency.map(|config| Gate::with_clock(&config, Arc::new(TokioClock)));
        let settings = Settings {
            capabilities: member.capabilities,
            prefix: member.prefix,
            trusted: member.trusted,
            tools: member.tools.into_iter().collect(),
            breakers,
            limits: limits.map_err(setting(&name, "rateLimit"))?,
            gate: gate.transpose().map_err(setting(&name, "concurrency"))?,
            timeout: member.timeout,
            ttl: member.ttl,
            isolated: reached.isolated,
            cached: member.cached,
            attempts: member.attempts,
            retry_percent: member.retry_percent,
            hedge_percent: member.hedge_percent,
            lazy: member.lazy,
            idle_stop: member.idle_stop,
        };
        let place = match old.filter(|_| is_same) {
            Some(old) => old.place.clone(),
            None => member.origin.place(&name, around).map(Arc::new),
        };
        // What runs already knows better.
        let kept = place.as_ref().filter(|_| !is_same).and_then(|place| place.load());
        let (origin, old, server) = (member.origin, old.cloned(), reached.server);
        Ok(Self::Make(Box::new(Made {
            name,
            server,
            origin,
            terms,
            settings,
            zone: member.zone,
            place,
            kept,
            old,
            is_same,
        })))
    }

    /// Carries it out as far as the router is concerned.
    pub(super) fn endpoint(
        self,
        router: &Router,
        observers: &[Arc<dyn Observer>],
    ) -> Arc<Endpoint> {
        let made = match self {
            Self::Keep(endpoint) => return endpoint,
            Self::Make(made) => *made,
        };
        let capabilities = made.settings.capabilities.iter().map(String::as_str);
        // One name keeps its id, and with it what is known of it and what is subscribed to there.
        let id = match &made.old {
            Some(old) => {
                router.set_capabilities(old.id, capabilities);
                router.set_zone(old.id, made.zone.as_deref());
                old.id
            }
            None => {
                let server = Registration::new(made.name.clone()).capabilities(capabilities);
                router.register(match made.zone {
                    Some(zone) => server.zone(zone),
                    None => server,
                })
            }
        };
        let mut settings = made.settings;
        let breaker = settings.breakers.server.take();
        settings.breakers.server = breaker.map(|breaker| heard(breaker, id, &made.name, observers));
        let identity = (made.origin, made.terms, made.place);
        let endpoint = Endpoint::new(id, made.name, made.server, settings, identity);
        if let Some(old) = &made.old {
            endpoint.inherit(old, made.is_same);
        }
        if let Some(kept) = made.kept {
            endpoint.recall(kept);
        }
        Arc::new(endpoint)
    }
}

/// All that is said of a server beside how it is reached, in words that differ where anything does.
fn terms(member: &Member) -> String {
    let Member {
        name: _,
        origin: _,
        capabilities,
        prefix,
        trusted,
        breaker,
        tool_failures,
        host,
        limit,
        user_limit,
        tool_limits,
        concurrency,
        timeout,
        ttl,
        cached,
        attempts,
        retry_percent,
        hedge_percent,
        tools,
        lazy,
        idle_stop,
        zone,
    } = member;
    let limits = (limit, user_limit, tool_limits);
    let guards = (
        breaker,
        tool_failures,
        host,
        limits,
        concurrency,
        timeout,
        attempts,
        retry_percent,
        hedge_percent,
    );
    format!(
        "{:?}",
        (capabilities, prefix, trusted, guards, ttl, cached, tools, lazy, idle_stop, zone)
    )
}

/// The breakers of hosts, which several servers may share.
#[derive(Default)]
pub(super) struct Hosts(HashMap<Arc<str>, Arc<Breaker<TokioClock>>>);

impl Hosts {
    /// Those that servers have which stay as they are.
    pub(super) fn of(members: &[Member], there: &[Arc<Endpoint>]) -> Self {
        let mut hosts = HashMap::new();
        for member in members {
            let Some(host) = &member.host else { continue };
            let Some(old) = there.iter().find(|old| old.name == member.name) else { continue };
            if let (Some(breaker), true) = (&old.settings.breakers.host, old.terms == terms(member))
            {
                hosts.insert(host.clone(), breaker.clone());
            }
        }
        Self(hosts)
    }
}

/// Of so many tools of a server it is remembered how they fare.
const TOOLS_MAX: usize = 1_024;

fn breakers(
    member: &Member,
    config: toolweir_breaker::Config,
    hosts: &mut Hosts,
) -> Result<Breakers, toolweir_breaker::ConfigError> {
    let server = Breaker::with_clock(config.clone(), TokioClock)?;
    let tools = match member.tool_failures {
        0 => None,
        failures => {
            let config = config.clone().failures(failures);
            let tools = Keyed::with_clock(config, TOOLS_MAX, TokioClock)?;
            let server = member.name.clone();
            Some(tools.on_transition(move |tool: &Arc<str>, transition| {
                let (from, to) = (transition.from.name(), transition.to.name());
                tracing::info!(server = &*server, tool = &**tool, from, to, "breaker");
            }))
        }
    };
    let host = match &member.host {
        Some(name) => match hosts.0.get(name) {
            Some(known) => Some(known.clone()),
            None => {
                let host = name.clone();
                let breaker = Breaker::with_clock(config, TokioClock)?;
                let breaker = Arc::new(breaker.on_transition(move |transition| {
                    let (from, to) = (transition.from.name(), transition.to.name());
                    tracing::info!(host = &*host, from, to, "breaker");
                }));
                hosts.0.insert(name.clone(), breaker.clone());
                Some(breaker)
            }
        },
        None => None,
    };
    Ok(Breakers { host, server: Some(server), tools })
}

/// Lets observers hear of a breaker's transitions.
fn heard(
    breaker: Breaker<TokioClock>,
    id: ServerId,
    name: &Arc<str>,
    observers: &[Arc<dyn Observer>],
) -> Breaker<TokioClock> {
    let (name, observers) = (name.clone(), observers.to_vec());
    breaker.on_transition(move |transition| {
        tracing::info!(
            server = &*name,
            from = transition.from.name(),
            to = transition.to.name(),
            "breaker"
        );
        let event =
            Event::Breaker { server: ServerRef { id, name: &name }, state: transition.to.name() };
        for observer in &observers {
            observer.on_event(&event, TokioClock.now());
        }
    })
}
