//! Which server first: the decision, given a table, a time and random bits.

use toolweir_core::{Instant, RANKED_MAX, Ranked};

use crate::hash::mix;
use crate::random::below;
use crate::table::{Candidates, Slot, Table};

/// Up to so many candidates are all looked at.
pub(crate) const SCANNED_MAX: usize = 8;

/// A place in the order: smaller is better. From the top: class (2 bits), priority (8), cost (32), tie (22).
type Key = u64;

const TRIAL: u64 = 0;
const HEALTHY: u64 = 1;
const UNHEALTHY: u64 = 2;
const TIE_BITS: u32 = 22;

fn key(class: u64, priority: u8, cost: f32, tie: u64) -> Key {
    // The bits of floats that are not negative order as the floats do.
    class << 62
        | u64::from(priority) << 54
        | u64::from(cost.to_bits()) << TIE_BITS
        | tie & ((1 << TIE_BITS) - 1)
}

fn class(key: Key) -> u64 {
    key >> 62
}

/// The best candidates so far, best first.
#[derive(Debug)]
pub(crate) struct Best<'t> {
    held: [Option<(Key, &'t Slot)>; RANKED_MAX],
}

impl<'t> Best<'t> {
    fn new() -> Self {
        Self { held: [None; RANKED_MAX] }
    }

    fn iter(&self) -> impl Iterator<Item = (Key, &'t Slot)> {
        self.held.iter().flatten().copied()
    }

    fn holds(&self, slot: &Slot) -> bool {
        self.iter().any(|(_, held)| held.id == slot.id)
    }

    fn healthy(&self) -> usize {
        self.iter().take_while(|(key, _)| class(*key) != UNHEALTHY).count()
    }

    /// Takes `slot` in where it is among the best.
    fn offer(&mut self, key: Key, slot: &'t Slot) {
        let behind = |held: &Option<(Key, &Slot)>| held.is_none_or(|(held, _)| key < held);
        let Some(at) = self.held.iter().position(behind) else { return };
        // Ids that were given twice: the first counts.
        if self.holds(slot) {
            return;
        }
        self.held[at..].rotate_right(1);
        self.held[at] = Some((key, slot));
    }

    /// Puts `slot` in front of all others.
    fn lead(&mut self, slot: &Slot) {
        let at = self.iter().position(|(_, held)| held.id == slot.id);
        if let Some(at) = at {
            self.held[..=at].rotate_right(1);
        }
    }

    pub(crate) fn first(&self) -> Option<&'t Slot> {
        self.held[0].map(|(_, slot)| slot)
    }

    pub(crate) fn ranked(&self) -> Ranked {
        self.iter().map(|(_, slot)| slot.id).collect()
    }
}

/// Gives candidates their keys, and at most one of them a trial.
struct Judge {
    now: Instant,
    tick: u32,
    ties: u64,
    trial_given: bool,
}

impl Judge {
    fn key(&mut self, slot: &Slot) -> Key {
        let cost = slot.cell.cost(self.tick) * slot.scale;
        self.ties = self.ties.rotate_left(TIE_BITS) ^ u64::from(slot.id.get());
        key(self.class(slot), slot.priority, cost, self.ties)
    }

    fn class(&mut self, slot: &Slot) -> u64 {
        if slot.cell.is_healthy() {
            HEALTHY
        } else if !self.trial_given && slot.cell.try_trial(self.now) {
            self.trial_given = true;
            TRIAL
        } else {
            UNHEALTHY
        }
    }
}

/// How a ranking is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) now: Instant,
    pub(crate) tick: u32,
    pub(crate) random: u64,
    /// How many servers are wanted.
    pub(crate) want: usize,
}

/// The best of `candidates` at `now`.
pub(crate) fn rank<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    request: Request,
) -> Best<'t> {
    let places = candidates.places(table);
    let Request { now, tick, random, want } = request;
    let mut judge = Judge { now, tick, ties: mix(random), trial_given: false };
    let mut best = Best::new();
    if places == 0 {
        return best;
    }
    if places <= SCANNED_MAX || candidates.is_sparse() || table.mixed_priorities {
        for slot in (0..places).filter_map(|place| candidates.get(table, place)) {
            best.offer(judge.key(slot), slot);
        }
        return best;
    }

    // Two different places at random: the better of them leads, so that callers who rank at the same
    // moment do not all run to one server.
    let one = below(random as u32, places);
    let other = (one + 1 + below((random >> 32) as u32, places - 1)) % places;
    for slot in [one, other].into_iter().filter_map(|place| candidates.get(table, place)) {
        best.offer(judge.key(slot), slot);
    }
    let leader = best.first().filter(|_| best.healthy() > 0);
    if leader.is_some() && want <= 1 {
        return best;
    }
    // The rest from a third place on; it goes on for as long as healthy servers are missing.
    let third = below(mix(random ^ 1) as u32, places);
    for place in (third..places).chain(0..third) {
        if best.healthy() >= want.min(RANKED_MAX) {
            break;
        }
        if let Some(slot) = candidates.get(table, place).filter(|slot| !best.holds(slot)) {
            best.offer(judge.key(slot), slot);
        }
    }
    if let Some(leader) = leader.filter(|_| !judge.trial_given) {
        best.lead(leader);
    }
    best
}

/// The order of `candidates` for a sticky key (weighted rendezvous hashing): it depends on the key, the names and
/// the weights alone, so a server that comes or goes moves no keys but its own.
pub(crate) fn rank_sticky<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    sticky: u64,
    now: Instant,
) -> Best<'t> {
    let mut best = Best::new();
    let mut home: Option<(Key, &Slot)> = None;
    for slot in (0..candidates.places(table)).filter_map(|place| candidates.get(table, place)) {
        let drawn = mix(sticky ^ slot.hash);
        // In (0, 1]; its negative logarithm, by weight, is an exponential draw: the least one wins.
        let unit = ((drawn >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let draw = (-unit.ln()) as f32 * slot.scale;
        let class = if slot.cell.is_healthy() { HEALTHY } else { UNHEALTHY };
        best.offer(key(class, slot.priority, draw.abs(), drawn), slot);
        let anyway = key(HEALTHY, slot.priority, draw.abs(), drawn);
        if home.is_none_or(|(held, _)| anyway < held) {
            home = Some((anyway, slot));
        }
    }
    // An unhealthy server is tried with its own keys only.
    if let Some((key, slot)) = home.filter(|(_, slot)| slot.cell.try_trial(now)) {
        best.offer(key, slot);
        best.lead(slot);
    }
    best
}

/// The order in which `candidates` stand, without chance and without changing anything.
pub(crate) fn standing<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    tick: u32,
) -> Vec<&'t Slot> {
    let mut slots: Vec<(Key, &Slot)> = Vec::new();
    for slot in (0..candidates.places(table)).filter_map(|place| candidates.get(table, place)) {
        let class = if slot.cell.is_healthy() { HEALTHY } else { UNHEALTHY };
        slots.push((key(class, slot.priority, slot.cell.cost(tick) * slot.scale, 0), slot));
    }
    slots.sort_by_key(|(key, slot)| (*key, slot.id));
    slots.dedup_by_key(|(_, slot)| slot.id);
    slots.into_iter().map(|(_, slot)| slot).collect()
}
