//! Why each server stands where it does.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use toolweir_core::{Instant, ServerId};

use crate::logarithm::OCTAVE;
use crate::pool::Pool;
use crate::rank;
use crate::table::{Candidates, Slot, Table};

/// How the servers stand at one moment, and why. Looking changes nothing.
///
/// Those that can answer come first, in their order without chance: servers that cost the same are in truth
/// ranked by lot, and of more than eight only two, chosen by lot, compete for the first place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// What was asked for; empty where any server would do.
    pub required: Vec<String>,
    /// Every server.
    pub servers: Vec<Standing>,
}

/// How one server stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its place, from 1; `None` where it cannot answer.
    pub place: Option<usize>,
    /// What it lacks of what was asked for.
    pub missing: Vec<String>,
    /// Whether it is healthy.
    pub health: Health,
    /// Consecutive errors.
    pub errors: u32,
    /// Where it is unhealthy: how long until a call may try it again, in milliseconds.
    pub trial_in_ms: Option<u64>,
    /// Its latency as it counts now, in milliseconds; `None` before the first answer.
    pub latency_ms: Option<f64>,
    /// Calls under way.
    pub in_flight: u32,
    /// Its weight.
    pub weight: f32,
    /// Its priority.
    pub priority: u8,
    /// What one more call would cost: latency × (in flight + 1) / weight, in milliseconds.
    pub cost_ms: f64,
    /// All this in a sentence.
    pub reason: String,
}

impl Standing {
    /// Its id.
    #[must_use]
    pub fn server(&self) -> ServerId {
        ServerId::new(self.id)
    }
}

/// Whether a server is used like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// Yes.
    Healthy,
    /// Only where no healthy one can answer, or as a trial.
    Unhealthy,
}

pub(crate) fn explain(
    table: &Table,
    candidates: &Candidates<'_>,
    required: Vec<String>,
    pool: &Pool,
    now: Instant,
) -> Explanation {
    let ranked = rank::standing(table, candidates, pool, pool.tick(now));
    let mut servers: Vec<Standing> = ranked
        .iter()
        .enumerate()
        .map(|(at, slot)| standing(slot, Some(at + 1), &required, pool, now))
        .collect();
    let mut placed: Vec<ServerId> = ranked.iter().map(|slot| slot.id).collect();
    placed.sort();
    for slot in table.slots().iter().filter(|slot| placed.binary_search(&slot.id).is_err()) {
        servers.push(standing(slot, None, &required, pool, now));
    }
    Explanation { required, servers }
}

fn standing(
    slot: &Slot,
    place: Option<usize>,
    required: &[String],
    pool: &Pool,
    now: Instant,
) -> Standing {
    let tick = pool.tick(now);
    let registration = slot.registration();
    let has = |wanted: &&String| registration.capabilities.iter().any(|have| **have == ***wanted);
    let missing = required.iter().filter(|wanted| !has(wanted)).cloned().collect();
    let healthy = slot.cell.is_healthy();
    let mut standing = Standing {
        id: slot.id.get(),
        name: registration.name.to_string(),
        place,
        missing,
        health: if healthy { Health::Healthy } else { Health::Unhealthy },
        errors: slot.cell.errors(),
        trial_in_ms: slot.cell.trial_at().map(|due| whole_millis(due - now)),
        latency_ms: slot.cell.latency(tick).map(rounded_millis),
        in_flight: slot.cell.in_flight(),
        weight: registration.weight,
        priority: registration.priority,
        cost_ms: match rank::cost(slot, pool, tick) {
            0 => 0.0,
            // May be beyond 64 bits.
            level => ((f64::from(level) / f64::from(OCTAVE)).exp2() / 1e3).round() / 1e3,
        },
        reason: String::new(),
    };
    standing.reason = standing.sentence();
    standing
}

/// To the microsecond, which is what it is exact to.
fn rounded_millis(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e6).round() / 1e3
}

/// Rounded up, so that zero means now.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Standing {
    fn sentence(&self) -> String {
        if !self.missing.is_empty() {
            return format!("cannot answer: lacks {}", self.missing.join(", "));
        }
        if self.place.is_none() {
            return "cannot answer: not among the candidates".to_owned();
        }
        let calls = self.in_flight;
        let cost = match self.latency_ms {
            None if calls == 0 => "no answer yet: first in line".to_owned(),
            None => format!("no answer yet and {calls} in flight: counts as slow"),
            Some(latency) => format!("{latency:.1} ms × ({calls} in flight + 1)"),
        };
        let health = match (self.health, self.trial_in_ms) {
            (Health::Healthy, _) => String::new(),
            (Health::Unhealthy, None | Some(0)) => ", unhealthy, due for a trial".to_owned(),
            (Health::Unhealthy, Some(millis)) => {
                format!(", unhealthy ({} errors), next trial in {millis} ms", self.errors)
            }
        };
        let weight =
            if self.weight == 1.0 { String::new() } else { format!(", weight {}", self.weight) };
        let priority = if self.priority == 0 {
            String::new()
        } else {
            format!(", priority {}", self.priority)
        };
        format!("{cost}{weight}{priority}{health}")
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, standing) in self.servers.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{standing}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place:>2}. ")?,
            None => f.write_str(" -  ")?,
        }
        write!(f, "{} (#{}): {}", self.name, self.id, self.reason)
    }
}
