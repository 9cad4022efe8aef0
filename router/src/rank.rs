//! Which server first: the decision, given a table, a time and random bits.

use std::collections::HashSet;

use toolweir_core::{Instant, RANKED_MAX, Ranked};

use crate::hash::mix;
use crate::pool::Pool;
use crate::random::below;
use crate::table::{Candidates, Look, Slot, Table};

/// Up to so many candidates are all looked at.
pub(crate) const SCANNED_MAX: usize = 8;

/// A place in the order: smaller is better. From the top: class (2 bits), priority (8), whether it is far (1),
/// cost (32), tie (21).
pub(crate) type Key = u64;

const TRIAL: Key = 0;
const HEALTHY: Key = 1 << CLASS_SHIFT;
const UNHEALTHY: Key = 2 << CLASS_SHIFT;
const CLASS_SHIFT: u32 = 62;
const PRIORITY_SHIFT: u32 = 54;
/// In a key: of another zone, or of the own one and overloaded.
const FAR: Key = 1 << 53;
const TIE_BITS: u32 = 21;

/// The bits of chance.
const TIE: Key = (1 << TIE_BITS) - 1;

/// What stays the same in the key of a healthy server of this priority, in the own zone or `far` from it.
pub(crate) fn base(priority: u8, far: bool) -> Key {
    HEALTHY | Key::from(priority) << PRIORITY_SHIFT | if far { FAR } else { 0 }
}

/// The same, weighted: with the level of one by the weight, so that only a cost has to be added.
///
/// The sum keeps the cost within its bits, because no weight is as far from 1 as the least latency is from nothing.
pub(crate) fn weighted(base: Key, scale: i32) -> Key {
    base.wrapping_add_signed(i64::from(scale) << TIE_BITS)
}

/// The key of the same healthy server, in another class.
fn in_class(class: Key, healthy: Key) -> Key {
    healthy ^ HEALTHY ^ class
}

fn key(base: Key, cost: u32, tie: u64) -> Key {
    base | Key::from(cost) << TIE_BITS | tie & TIE
}

fn class(key: Key) -> Key {
    key >> CLASS_SHIFT << CLASS_SHIFT
}

/// The best candidates so far, best first.
#[derive(Debug)]
pub(crate) struct Best<'t> {
    /// Unused places hold [`NOBODY`].
    keys: [Key; RANKED_MAX],
    slots: [Option<&'t Slot>; RANKED_MAX],
}

/// Behind every key.
const NOBODY: Key = Key::MAX;

impl<'t> Best<'t> {
    fn new() -> Self {
        Self { keys: [NOBODY; RANKED_MAX], slots: [None; RANKED_MAX] }
    }

    fn holds(&self, slot: &Slot) -> bool {
        self.slots.iter().flatten().any(|held| held.id == slot.id)
    }

    fn healthy(&self) -> usize {
        self.keys.iter().take_while(|key| class(**key) < UNHEALTHY).count()
    }

    /// Takes `slot` in where it is among the best.
    fn offer(&mut self, key: Key, slot: &'t Slot) {
        // Ids that were given twice: the first counts.
        if key >= self.keys[RANKED_MAX - 1] || self.holds(slot) {
            return;
        }
        let mut at = RANKED_MAX - 1;
        while at > 0 && key < self.keys[at - 1] {
            self.keys[at] = self.keys[at - 1];
            self.slots[at] = self.slots[at - 1];
            at -= 1;
        }
        self.keys[at] = key;
        self.slots[at] = Some(slot);
    }

    /// Puts `slot` in front of all others.
    fn lead(&mut self, slot: &Slot) {
        let is_leader = |held: &Option<&Slot>| held.is_some_and(|held| held.id == slot.id);
        if let Some(at) = self.slots.iter().position(is_leader) {
            self.keys[..=at].rotate_right(1);
            self.slots[..=at].rotate_right(1);
        }
    }

    pub(crate) fn first(&self) -> Option<&'t Slot> {
        self.slots[0]
    }

    pub(crate) fn ranked(&self) -> Ranked {
        self.slots.iter().flatten().map(|slot| slot.id).collect()
    }
}

/// Gives candidates their keys, and at most one of them a trial.
struct Judge<'r> {
    request: &'r Request<'r>,
    ties: u64,
    trial_given: bool,
}

impl<'r> Judge<'r> {
    #[inline]
    fn new(request: &'r Request<'r>, places: usize) -> Self {
        // Where two are drawn by the same bits, chance between equals must be another.
        let ties = if places > SCANNED_MAX { mix(request.random) } else { request.random };
        Self { request, ties, trial_given: false }
    }

    #[inline]
    fn key(&mut self, slot: &Slot) -> Key {
        self.ties = self.ties.rotate_left(TURN);
        let cost = slot.cell.cost(self.request.pool, self.request.tick);
        let key = match cost {
            Some(cost) if slot.cell.is_settled() && !self.request.is_zoned => {
                with_cost(slot.weighted, cost)
            }
            _ => rare_key(slot, cost, self.request, &mut self.trial_given),
        };
        key | self.ties & TIE
    }
}

/// Odd, so that each of a few servers gets other bits of the same random number.
const TURN: u32 = 23;

#[inline]
fn with_cost(weighted: Key, cost: u32) -> Key {
    weighted.wrapping_add(Key::from(cost) << TIE_BITS)
}

/// The key of a server in a class, without chance.
fn weigh(slot: &Slot, class: Key, cost: Option<u32>, request: &Request<'_>) -> Key {
    let Some(cost) = cost else { return in_class(class, slot.base()) };
    let far = if is_overloaded(slot, cost, request) { FAR } else { 0 };
    in_class(class, with_cost(slot.weighted, cost + slot.cell.handicap(request.now)) | far)
}

/// Whether a server of the own zone has so much to do that it is no better than one of another zone.
fn is_overloaded(slot: &Slot, cost: u32, request: &Request<'_>) -> bool {
    request.is_zoned && request.pool.spills(cost) && !is_far(slot)
}

/// What one more call at this server costs, as a level, with its weight and its slow start; and whether that is too much
/// for its being near to count.
pub(crate) fn cost(slot: &Slot, request: &Request<'_>) -> (u32, bool) {
    let cost = slot.cell.cost(request.pool, request.tick);
    let overloaded = cost.is_some_and(|cost| is_overloaded(slot, cost, request));
    ((weigh(slot, HEALTHY, cost, request) >> TIE_BITS) as u32, overloaded)
}

/// Whether it is of another zone.
pub(crate) fn is_far(slot: &Slot) -> bool {
    slot.base() & FAR != 0
}

/// The key of a server that needs a second look: unhealthy, or unknown, or starting slowly, or near where others are far.
#[cold]
#[inline(never)]
fn rare_key(slot: &Slot, cost: Option<u32>, request: &Request<'_>, trial_given: &mut bool) -> Key {
    if slot.cell.is_healthy() {
        return weigh(slot, HEALTHY, cost, request);
    }
    let is_trial = !*trial_given && slot.cell.try_trial(request.now, request.repeatable);
    *trial_given |= is_trial;
    weigh(slot, if is_trial { TRIAL } else { UNHEALTHY }, cost, request)
}

/// How a ranking is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'t> {
    pub(crate) pool: &'t Pool,
    pub(crate) now: Instant,
    pub(crate) tick: u32,
    pub(crate) random: u64,
    /// How many servers are wanted.
    pub(crate) want: usize,
    /// Whether a call that fails can be sent again.
    pub(crate) repeatable: bool,
    /// Whether some servers are nearer than others.
    pub(crate) is_zoned: bool,
}

/// The best of `candidates`: the first of what [`rank`] would find, without the others.
pub(crate) fn first<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    request: &Request<'_>,
) -> Option<&'t Slot> {
    candidates.visit(table, First { request, scan_all: table.is_mixed })
}

/// Looks for one.
///
/// The request is handed on by reference: small parts of a struct that are written one by one and copied at once keep the
/// processor waiting, for longer than the look at a server takes.
#[derive(Clone, Copy)]
struct First<'r> {
    request: &'r Request<'r>,
    scan_all: bool,
}

/// So many of a key's last bits say at which place it was found.
const PLACE: Key = SCANNED_MAX as Key - 1;

impl<'t> Look<'t> for First<'_> {
    type Found = Option<&'t Slot>;

    #[inline]
    fn at(
        self,
        places: usize,
        sparse: bool,
        get: impl Fn(usize) -> Option<&'t Slot>,
    ) -> Option<&'t Slot> {
        if places > SCANNED_MAX {
            return self.of_many(places, sparse, get);
        }
        // The least of numbers needs no branch, which nobody could predict: the place stands in the key itself.
        let mut judge = Judge::new(self.request, places);
        let mut best = NOBODY;
        for place in 0..places {
            if let Some(slot) = get(place) {
                best = best.min(judge.key(slot) & !PLACE | place as u64);
            }
        }
        if best == NOBODY { None } else { get((best & PLACE) as usize) }
    }
}

impl First<'_> {
    /// The better of two, unless one must look at all.
    #[inline]
    fn of_many<'t>(
        self,
        places: usize,
        sparse: bool,
        get: impl Fn(usize) -> Option<&'t Slot>,
    ) -> Option<&'t Slot> {
        if !sparse && !self.scan_all {
            let (one, other) = two(self.request.random, places);
            if let (Some(one), Some(other)) = (get(one), get(other)) {
                let mut judge = Judge::new(self.request, places);
                let (one_key, other_key) = (judge.key(one), judge.key(other));
                let (key, slot) =
                    if one_key <= other_key { (one_key, one) } else { (other_key, other) };
                if class(key) < UNHEALTHY {
                    return Some(slot);
                }
            }
        }
        self.of_all(places, sparse, get)
    }

    #[cold]
    #[inline(never)]
    fn of_all<'t>(
        self,
        places: usize,
        sparse: bool,
        get: impl Fn(usize) -> Option<&'t Slot>,
    ) -> Option<&'t Slot> {
        let request = Request { want: 1, ..*self.request };
        Cheapest { request: &request, scan_all: self.scan_all }.at(places, sparse, get).first()
    }
}

/// Two different places out of more than one.
fn two(random: u64, places: usize) -> (usize, usize) {
    let one = below(random as u32, places);
    let other = one + 1 + below((random >> 32) as u32, places - 1);
    (one, if other < places { other } else { other - places })
}

/// The best of `candidates`.
pub(crate) fn rank<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    request: &Request<'_>,
) -> Best<'t> {
    candidates.visit(table, Cheapest { request, scan_all: table.is_mixed })
}

/// Looks for the healthiest and cheapest.
struct Cheapest<'r> {
    request: &'r Request<'r>,
    scan_all: bool,
}

impl<'t> Look<'t> for Cheapest<'_> {
    type Found = Best<'t>;

    fn at(self, places: usize, sparse: bool, get: impl Fn(usize) -> Option<&'t Slot>) -> Best<'t> {
        let Request { random, want, .. } = *self.request;
        let mut judge = Judge::new(self.request, places);
        let mut best = Best::new();
        if places <= SCANNED_MAX || sparse || self.scan_all {
            (0..places).filter_map(get).for_each(|slot| best.offer(judge.key(slot), slot));
            return best;
        }

        // Two different places at random: the better of them leads, so that callers who rank at the same
        // moment do not all run to one server.
        let (one, other) = two(random, places);
        for slot in [one, other].into_iter().filter_map(&get) {
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
            if let Some(slot) = get(place).filter(|slot| !best.holds(slot)) {
                best.offer(judge.key(slot), slot);
            }
        }
        if let Some(leader) = leader.filter(|_| !judge.trial_given) {
            best.lead(leader);
        }
        best
    }
}

/// The class of a server that is given no trial.
fn class_of(slot: &Slot) -> Key {
    if slot.cell.is_healthy() { HEALTHY } else { UNHEALTHY }
}

/// The order of `candidates` for a sticky key (weighted rendezvous hashing): it depends on the key, the names and
/// the weights alone, so a server that comes or goes moves no keys but its own.
pub(crate) fn rank_sticky<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    sticky: u64,
    now: Instant,
) -> Best<'t> {
    candidates.visit(table, Nearest { sticky, now })
}

/// Looks for the home of a sticky key.
struct Nearest {
    sticky: u64,
    now: Instant,
}

impl<'t> Look<'t> for Nearest {
    type Found = Best<'t>;

    fn at(self, places: usize, _: bool, get: impl Fn(usize) -> Option<&'t Slot>) -> Best<'t> {
        let mut best = Best::new();
        let mut home: Option<(Key, &Slot)> = None;
        for slot in (0..places).filter_map(get) {
            let drawn = mix(self.sticky ^ slot.hash());
            // In (0, 1]; its negative logarithm, by weight, is an exponential draw: the least one wins.
            let unit = ((drawn >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            let draw = (-unit.ln() / f64::from(slot.registration().weight)).abs() as f32;
            // The bits of floats that are not negative order as the floats do.
            let draw = draw.to_bits();
            best.offer(key(in_class(class_of(slot), slot.base()), draw, drawn), slot);
            let anyway = key(slot.base(), draw, drawn);
            if home.is_none_or(|(held, _)| anyway < held) {
                home = Some((anyway, slot));
            }
        }
        // An unhealthy server is tried with its own keys only.
        if let Some((key, slot)) = home.filter(|(_, slot)| slot.cell.try_trial(self.now, true)) {
            best.offer(key, slot);
            best.lead(slot);
        }
        best
    }
}

/// The order in which `candidates` stand, without chance and without changing anything. A server that is due for a trial
/// leads where it `may_lead`.
pub(crate) fn standing<'t>(
    table: &'t Table,
    candidates: &Candidates<'_>,
    request: &Request<'_>,
    may_lead: bool,
) -> Vec<&'t Slot> {
    candidates.visit(table, Standing { request, may_lead })
}

/// Looks at all.
struct Standing<'r> {
    request: &'r Request<'r>,
    may_lead: bool,
}

impl<'t> Look<'t> for Standing<'_> {
    type Found = Vec<&'t Slot>;

    fn at(self, places: usize, _: bool, get: impl Fn(usize) -> Option<&'t Slot>) -> Self::Found {
        let Self { request, mut may_lead } = self;
        let mut keyed = |slot: &'t Slot| {
            let leads = may_lead && slot.cell.would_try(request.now, request.repeatable);
            may_lead &= !leads;
            let class = if leads { TRIAL } else { class_of(slot) };
            (weigh(slot, class, slot.cell.cost(request.pool, request.tick), request), slot)
        };
        let mut slots: Vec<(Key, &Slot)> = (0..places).filter_map(get).map(&mut keyed).collect();
        slots.sort_by_key(|(key, slot)| (*key, slot.id));
        let mut seen = HashSet::with_capacity(slots.len());
        slots.retain(|(_, slot)| seen.insert(slot.id));
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}
