//! Why each server stands where it does.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use toolweir_core::ServerId;

use crate::logarithm::OCTAVE;
use crate::rank::{self, Request};
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
    /// Whether the call that this is about can be sent again where it fails; `None` where it is about no single call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeatable: Option<bool>,
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
    /// The share of its weight that its slow start has come to, in percent; `None` where it has all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start_percent: Option<u8>,
    /// Its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it is seen from the router's zone; `None` where no server is of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// What one more call would cost: latency × (in flight + 1) / weight, in milliseconds; more during a slow start.
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

/// Where a server is, seen from the router's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Distance {
    /// In the same zone, or in none: it comes first.
    Near,
    /// As near, with so much to do that it comes among those of other zones.
    Overloaded,
    /// In another zone.
    Far,
}

/// `call` tells, where this is about one call, whether that can be repeated.
pub(crate) fn explain(
    table: &Table,
    candidates: &Candidates<'_>,
    required: Vec<String>,
    request: &Request<'_>,
    call: Option<bool>,
) -> Explanation {
    let ranked = rank::standing(table, candidates, request, call.is_some());
    let mut servers: Vec<Standing> = ranked
        .iter()
        .enumerate()
        .map(|(at, slot)| standing(slot, Some(at + 1), &required, request, call))
        .collect();
    let mut placed: Vec<ServerId> = ranked.iter().map(|slot| slot.id).collect();
    placed.sort();
    for slot in table.slots().iter().filter(|slot| placed.binary_search(&slot.id).is_err()) {
        servers.push(standing(slot, None, &required, request, call));
    }
    Explanation { required, repeatable: call, servers }
}

fn standing(
    slot: &Slot,
    place: Option<usize>,
    required: &[String],
    request: &Request<'_>,
    call: Option<bool>,
) -> Standing {
    let (now, tick) = (request.now, request.tick);
    let (cost, overloaded) = rank::cost(slot, request);
    let distance = match (rank::is_far(slot), overloaded) {
        (true, _) => Distance::Far,
        (false, true) => Distance::Overloaded,
        (false, false) => Distance::Near,
    };
    let handicap = match slot.cell.handicap(now) {
        0 => None,
        level => Some(((-f64::from(level) / f64::from(OCTAVE)).exp2() * 100.0).round() as u8),
    };
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
        slow_start_percent: handicap,
        zone: registration.zone.as_deref().map(str::to_owned),
        distance: request.is_zoned.then_some(distance),
        cost_ms: match cost {
            0 => 0.0,
            // May be beyond 64 bits.
            level => ((f64::from(level) / f64::from(OCTAVE)).exp2() / 1e3).round() / 1e3,
        },
        reason: String::new(),
    };
    let refused = call == Some(false) && !slot.cell.would_try(now, false);
    standing.reason = standing.sentence(refused);
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
    /// `refused`: it is no call for a trial.
    fn sentence(&self, refused: bool) -> String {
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
            (Health::Unhealthy, None | Some(0)) if refused => {
                ", unhealthy, due for a trial, but this call cannot be repeated".to_owned()
            }
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
        let slow = self
            .slow_start_percent
            .map(|percent| format!(", slow start at {percent} %"))
            .unwrap_or_default();
        let zone = match (self.distance, &self.zone) {
            (Some(Distance::Far), Some(zone)) => format!(", in another zone ({zone})"),
            (Some(Distance::Overloaded), _) => {
                ", in our zone, but it has too much to do for that to count".to_owned()
            }
            (Some(Distance::Near), Some(_)) => ", in our zone".to_owned(),
            _ => String::new(),
        };
        format!("{cost}{weight}{slow}{priority}{zone}{health}")
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
