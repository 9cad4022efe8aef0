//! What is heard through `Observer`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

use toolweir_core::{CacheUse, Call, Event, Instant, Method, Observer};

use crate::recorder::{Recorder, Sample};
use crate::slot::{Family, lock};

/// What was heard of one server beside its operations.
pub(crate) struct ServerState {
    in_flight: AtomicI64,
    abandoned: AtomicU64,
    limited: [AtomicU64; 3],
    up: AtomicU8,
    breaker: AtomicU8,
    transitions: [AtomicU64; 3],
    outcomes: Mutex<Vec<(&'static str, u64)>>,
}

/// A breaker's states, in the order in which they are counted.
pub(crate) const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];
/// Whose limit refused a call, in the order in which that is counted.
const LIMIT_SCOPES: [&str; 3] = ["server", "tool", "user"];
/// More labels than [`toolweir_core::Outcome::label`] has.
const MAX_LABELS: usize = 64;

impl ServerState {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: AtomicI64::new(0),
            abandoned: AtomicU64::new(0),
            limited: [const { AtomicU64::new(0) }; 3],
            up: AtomicU8::new(0),
            breaker: AtomicU8::new(0),
            transitions: [const { AtomicU64::new(0) }; 3],
            outcomes: Mutex::new(Vec::with_capacity(MAX_LABELS)),
        }
    }

    fn outcome(&self, label: &'static str) {
        let mut outcomes = lock(&self.outcomes);
        if let Some((_, count)) = outcomes.iter_mut().find(|(known, _)| *known == label) {
            *count += 1;
        } else if outcomes.len() < MAX_LABELS {
            outcomes.push((label, 1));
        }
    }

    pub(crate) fn events(&self) -> ServerEvents {
        ServerEvents {
            up: match self.up.load(Relaxed) {
                0 => None,
                up => Some(up == 2),
            },
            breaker: match self.breaker.load(Relaxed) {
                0 => None,
                state => BREAKER_STATES.get(usize::from(state) - 1).copied(),
            },
            breaker_transitions: BREAKER_STATES
                .into_iter()
                .zip(self.transitions.iter().map(|count| count.load(Relaxed)))
                .collect(),
            in_flight: self.in_flight.load(Relaxed).max(0) as u64,
            abandoned: self.abandoned.load(Relaxed),
            limited: LIMIT_SCOPES
                .into_iter()
                .zip(self.limited.iter().map(|count| count.load(Relaxed)))
                .collect(),
            errors: lock(&self.outcomes).clone(),
        }
    }
}

/// What was heard of one server beside its operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerEvents {
    /// Whether it can be called; `None` before anything was heard.
    pub up: Option<bool>,
    /// Its breaker's state; `None` before the first transition.
    pub breaker: Option<&'static str>,
    /// How often the breaker went into each state.
    pub breaker_transitions: Vec<(&'static str, u64)>,
    /// Calls that began and did not end.
    pub in_flight: u64,
    /// Calls that their caller left; they are neither successes nor failures.
    pub abandoned: u64,
    /// How often a rate limit refused a call: its own (`server`), a tool's, a user's.
    pub limited: Vec<(&'static str, u64)>,
    /// How often calls ended in each way but success.
    pub errors: Vec<(&'static str, u64)>,
}

/// How often the cache was asked, by how that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Found.
    pub hit: u64,
    /// Fetched.
    pub miss: u64,
    /// Served past its time.
    pub stale: u64,
    /// Shared another caller's fetch.
    pub coalesced: u64,
    /// Not asked.
    pub bypass: u64,
}

/// The cache's counters.
#[derive(Default)]
pub(crate) struct CacheState {
    counts: [AtomicU64; 5],
}

impl CacheState {
    fn count(&self, result: CacheUse) {
        let index = match result {
            CacheUse::Hit => 0,
            CacheUse::Miss => 1,
            CacheUse::Stale => 2,
            CacheUse::Coalesced => 3,
            CacheUse::Bypass => 4,
            _ => return,
        };
        self.counts[index].fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> CacheCounts {
        let [hit, miss, stale, coalesced, bypass] =
            self.counts.each_ref().map(|count| count.load(Relaxed));
        CacheCounts { hit, miss, stale, coalesced, bypass }
    }
}

/// A tool counts under its name; every other method under its own, since URIs have no bound.
fn operation(call: &Call) -> (Family, &str) {
    match &call.target {
        Some(tool) if call.method == Method::TOOLS_CALL => (Family::Tool, tool),
        _ => (Family::Method, call.method.as_str()),
    }
}

/// Counts what happens: each [`Event::CallEnd`] is an operation, a success where the server's answer was a
/// result and no error. A call that its caller left counts apart.
impl Observer for Recorder {
    fn on_event(&self, event: &Event<'_>, now: Instant) {
        let table = &self.shared.table;
        match event {
            Event::CallStart(start) => table.server(start.server.name, now, |server| {
                server.state.in_flight.fetch_add(1, Relaxed);
            }),
            Event::CallEnd(end) => {
                let label = end.outcome.label();
                let (family, name) = operation(end.call);
                table.operation(end.server.name, family, name, now, |slot| {
                    let state = &slot.server.state;
                    state.in_flight.fetch_sub(1, Relaxed);
                    if matches!(end.outcome, toolweir_core::Outcome::Abandoned) {
                        state.abandoned.fetch_add(1, Relaxed);
                        return;
                    }
                    let success = end.outcome.is_ok();
                    if !success {
                        state.outcome(label);
                    }
                    let sample = Sample {
                        duration: end.elapsed,
                        success,
                        error: (!success).then_some(label),
                        timestamp: None,
                        request_bytes: end.call.size() as u64,
                        response_bytes: end.reply_size as u64,
                    };
                    self.shared.record(slot, &sample, now);
                });
            }
            Event::Health { server, healthy, .. } => table.server(server.name, now, |server| {
                server.state.up.store(1 + u8::from(*healthy), Relaxed);
            }),
            Event::Breaker { server, state } => table.server(server.name, now, |server| {
                if let Some(index) = BREAKER_STATES.iter().position(|known| known == state) {
                    server.state.breaker.store(index as u8 + 1, Relaxed);
                    server.state.transitions[index].fetch_add(1, Relaxed);
                }
            }),
            Event::Limited { server, scope, .. } => table.server(server.name, now, |server| {
                if let Some(index) = LIMIT_SCOPES.iter().position(|known| known == scope) {
                    server.state.limited[index].fetch_add(1, Relaxed);
                }
            }),
            Event::Cache { result } => self.shared.cache.count(*result),
            _ => {}
        }
    }
}
