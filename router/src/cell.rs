//! What is known of one server: a cache line of atomics.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Answer, Instant, Outcome, Verdict};

use crate::estimate::{Estimate, OCTAVE, nanos};
use crate::logarithm::number;

use super::pool::Pool;
use super::sync::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Where a latency has decayed below this level, of about a microsecond, only the calls in flight count.
const FLOOR: u32 = 10 * OCTAVE;

/// What [`Cell::health`] holds: settled, so that nothing about it needs a second look.
const SETTLED: u64 = 0;
/// This bit: healthy, and starting slowly since the time in the other bits; 0 there until the first answer.
const SLOW: u64 = 1 << 63;
/// No longer registered, so its health is counted no more.
const REMOVED: u64 = u64::MAX;

/// Anything between is unhealthy, and the time when it may be tried again.
fn is_unhealthy(health: u64) -> bool {
    health != SETTLED && health < SLOW
}

/// Since when it starts slowly.
fn slow_since(health: u64) -> Option<Instant> {
    (health >= SLOW && health != REMOVED).then(|| Instant::from_nanos(health & !SLOW))
}

/// One server's load and health.
///
/// Alone in its cache line: feedback on one server must not slow down the ranking of another.
///
/// ```text
/// Settled, Slow => Unhealthy: more consecutive errors than are tolerated, or a probe says so
/// Unhealthy     => Unhealthy: its pause is over and one ranking offers it first, as a trial; the pause doubles
/// Unhealthy     => Slow:      a call succeeds, or a probe says so; without a slow start, Settled
/// Slow          => Slow:      its first answer begins the time
/// Slow          => Settled:   the time is over and somebody looks
/// ```
///
/// A server that comes to others which are in use begins as Slow, any other as Settled.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Cell {
    pool: Arc<Pool>,
    /// An [`Estimate`].
    latency: AtomicU64,
    /// [`SETTLED`], slow since a time, unhealthy until a time, or [`REMOVED`].
    health: AtomicU64,
    /// A [`Known`].
    known: AtomicU64,
    /// Consecutive ones.
    errors: AtomicU32,
    /// Since it became unhealthy.
    trials: AtomicU32,
}

impl Cell {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        let is_late = pool.starts_slowly() && pool.is_in_use();
        Self {
            pool,
            latency: AtomicU64::new(Estimate::NONE.word()),
            health: AtomicU64::new(if is_late { SLOW } else { SETTLED }),
            known: AtomicU64::new(0),
            errors: AtomicU32::new(0),
            trials: AtomicU32::new(0),
        }
    }

    /// What one more call here costs at a weight of 1, as a level: latency × (calls in flight + 1).
    ///
    /// `pool` is this cell's own, handed in so that one reading serves many cells.
    ///
    /// A server of which nothing is known comes first, with one call, which is `None`: until that is answered it counts as
    /// slow.
    #[inline]
    pub(crate) fn cost(self: &Arc<Self>, pool: &Pool, tick: u32) -> Option<u32> {
        let calls = self.calls();
        match Estimate::from_word(self.latency.load(Relaxed)).at_least(FLOOR, tick) {
            Some(latency) => Some(latency + pool.level_after(calls)),
            None => unknown_cost(pool, calls),
        }
    }

    /// The latency as it counts now; `None` where nothing is known.
    pub(crate) fn latency(&self, tick: u32) -> Option<Duration> {
        let estimate = Estimate::from_word(self.latency.load(Relaxed));
        estimate.at(tick).map(|level| Duration::from_nanos(number(level)))
    }

    /// Calls under way: those that were heard of, and whoever else but a table holds on to this cell.
    ///
    /// An attempt must hold it anyway, so that counting it costs nothing. While a table is being changed, the
    /// number may be off by one.
    pub(crate) fn in_flight(self: &Arc<Self>) -> u32 {
        u32::try_from(self.calls().max(0)).unwrap_or(u32::MAX)
    }

    /// The same; for a moment it may be below zero.
    #[inline]
    fn calls(self: &Arc<Self>) -> i64 {
        let surplus = Known::from_word(self.known.load(Relaxed)).surplus;
        Arc::strong_count(self) as i64 - i64::from(surplus)
    }

    pub(crate) fn errors(&self) -> u32 {
        self.errors.load(Relaxed)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        let health = self.health.load(Relaxed);
        !is_unhealthy(health) && health != REMOVED
    }

    /// Whether it is healthy, with nothing else to look at.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.health.load(Relaxed) == SETTLED
    }

    /// When an unhealthy server may be tried again.
    pub(crate) fn trial_at(&self) -> Option<Instant> {
        let health = self.health.load(Relaxed);
        is_unhealthy(health).then(|| Instant::from_nanos(health))
    }

    /// What a slow start adds to its cost, as a level: none where it is not in one.
    pub(crate) fn handicap(&self, now: Instant) -> u32 {
        let health = self.health.load(Relaxed);
        let Some(since) = slow_since(health) else { return 0 };
        // Not begun: until the first answer there is no cost to add to.
        let since = if health == SLOW { now } else { since };
        self.pool.handicap(since, now).unwrap_or_else(|| {
            // Slow => Settled, unless it changed meanwhile.
            let _ = self.health.compare_exchange(health, SETTLED, Relaxed, Relaxed);
            0
        })
    }

    /// Whether this unhealthy server is to be tried now. Says yes once, then not before a doubled pause.
    ///
    /// A call that is not `repeatable`, and so cannot be saved if the trial fails, is used only where none that is
    /// came for a second pause.
    #[cold]
    pub(crate) fn try_trial(&self, now: Instant, repeatable: bool) -> bool {
        let Some((due, trials)) = self.due(now, repeatable) else { return false };
        let trials = trials.saturating_add(1);
        let next = trial_time(now, self.pool.pause(trials));
        let won = self.health.compare_exchange(due, next, Relaxed, Relaxed).is_ok();
        if won {
            self.trials.store(trials, Relaxed);
        }
        won
    }

    /// Whether [`try_trial`](Self::try_trial) would say yes.
    pub(crate) fn would_try(&self, now: Instant, repeatable: bool) -> bool {
        self.due(now, repeatable).is_some()
    }

    /// When it was due, and the trials before; `None` where it is not, or not for such a call.
    fn due(&self, now: Instant, repeatable: bool) -> Option<(u64, u32)> {
        let due = self.health.load(Relaxed);
        if !is_unhealthy(due) || now.as_nanos() < due {
            return None;
        }
        let trials = self.trials.load(Relaxed);
        let is_last = now - self.pool.pause(trials) >= Instant::from_nanos(due);
        (repeatable || is_last).then_some((due, trials))
    }

    /// A call was heard of that is under way.
    pub(crate) fn start_heard(&self) {
        self.change_known(Known::start);
    }

    /// It ended. Never below zero: a listener may have been added while calls were under way.
    pub(crate) fn end_heard(&self) {
        self.change_known(Known::end);
    }

    fn change_known(&self, change: impl Fn(Known) -> Option<Known>) {
        let _ = self
            .known
            .fetch_update(Relaxed, Relaxed, |word| change(Known::from_word(word)).map(Known::word));
    }

    /// Learns from how a call ended that took `elapsed`, of the time `allowed` by its caller; both in nanoseconds.
    pub(crate) fn learn(&self, outcome: &Outcome, elapsed: u64, allowed: u64, now: Instant) {
        match (outcome.verdict(), outcome) {
            (Verdict::Success, Outcome::Answered(Answer::Ok)) => self.succeed(elapsed, now),
            // Alive, but an instant refusal is no reason to send more.
            (Verdict::Success, _) => {
                self.recover(now);
                self.update(now, |latency, tick| latency.hold(elapsed, tick));
            }
            (Verdict::Failure, _) => self.fail(elapsed, allowed, now),
            (Verdict::Neutral, Outcome::Throttled { retry_after }) => {
                let pause = retry_after.map_or_else(|| self.pool.penalty(), nanos);
                self.update(now, |latency, tick| latency.raise(elapsed.max(pause), tick));
            }
            // The caller left: the answer would have taken longer than this.
            (Verdict::Neutral, Outcome::Abandoned) => self.update(now, |latency, tick| {
                if latency == Estimate::NONE { latency } else { latency.raise(elapsed, tick) }
            }),
            (Verdict::Neutral, _) => {}
        }
    }

    /// A success resets everything; after an ejection the old latency counts no more.
    pub(crate) fn succeed(&self, elapsed: u64, now: Instant) {
        if self.recover(now) {
            self.update(now, |latency, tick| latency.restart(elapsed, tick));
        } else {
            self.update(now, |latency, tick| latency.observe(elapsed, tick));
        }
    }

    /// A failure counts as a latency of what the caller was ready to wait, and of no less than the penalty.
    pub(crate) fn fail(&self, elapsed: u64, allowed: u64, now: Instant) {
        let cost = elapsed.max(allowed).max(self.pool.penalty());
        self.update(now, |latency, tick| latency.observe(cost, tick));
        let errors = self.errors.fetch_add(1, Relaxed).saturating_add(1);
        if self.pool.tolerates(errors) || !self.is_healthy() || !self.pool.try_eject() {
            return;
        }
        // Settled, Slow => Unhealthy, unless another thread was first or it is removed.
        let due = trial_time(now, self.pool.pause(0));
        let ejected = self.health.fetch_update(Relaxed, Relaxed, |old| {
            (!is_unhealthy(old) && old != REMOVED).then_some(due)
        });
        if ejected.is_err() {
            self.pool.readmit();
        }
    }

    /// A probe says that it cannot be called. Each further word of it puts the trial off.
    pub(crate) fn mark_unhealthy(&self, now: Instant) {
        self.pool.eject();
        let due = trial_time(now, self.pool.pause(self.trials.load(Relaxed)));
        let old = self.health.fetch_update(Relaxed, Relaxed, |old| match old {
            REMOVED => None,
            old if is_unhealthy(old) => Some(old.max(due)),
            _ => Some(due),
        });
        if old.is_err() || old.is_ok_and(is_unhealthy) {
            self.pool.readmit();
        }
    }

    /// A probe says that it can be called again: it starts over as a server of which nothing is known.
    ///
    /// Changes nothing about a healthy server: that it answers probes does not excuse errors of calls.
    pub(crate) fn mark_healthy(&self) {
        let slow = if self.pool.starts_slowly() { SLOW } else { SETTLED };
        if !self.is_healthy() && self.readmit(slow) {
            self.latency.store(Estimate::NONE.word(), Relaxed);
        }
    }

    /// Not registered any more: whatever comes late changes no count.
    pub(crate) fn retire(&self) {
        if is_unhealthy(self.health.swap(REMOVED, Relaxed)) {
            self.pool.readmit();
        }
    }

    /// An answer came. Unhealthy => Slow or Settled; tells whether it was unhealthy.
    #[inline]
    fn recover(&self, now: Instant) -> bool {
        // The usual success writes nothing.
        !(self.is_settled() && self.errors.load(Relaxed) == 0) && self.recover_from(now)
    }

    #[cold]
    fn recover_from(&self, now: Instant) -> bool {
        let begun = SLOW | now.as_nanos().clamp(1, !SLOW - 1);
        // Slow => Slow: the first answer begins the time.
        let _ = self.health.compare_exchange(SLOW, begun, Relaxed, Relaxed);
        self.readmit(if self.pool.starts_slowly() { begun } else { SETTLED })
    }

    /// Unhealthy => `health`; tells whether it was unhealthy.
    fn readmit(&self, health: u64) -> bool {
        let was_unhealthy = self
            .health
            .fetch_update(Relaxed, Relaxed, |old| is_unhealthy(old).then_some(health))
            .is_ok();
        if was_unhealthy {
            self.trials.store(0, Relaxed);
            self.pool.readmit();
        }
        self.errors.store(0, Relaxed);
        was_unhealthy
    }

    fn update(&self, now: Instant, change: impl Fn(Estimate, u32) -> Estimate) {
        let tick = self.pool.tick(now);
        let old = self.latency.fetch_update(Relaxed, Relaxed, |word| {
            let changed = change(Estimate::from_word(word), tick).word();
            (changed != word).then_some(changed)
        });
        if old == Ok(Estimate::NONE.word()) {
            self.pool.use_begins();
        }
    }
}

/// What a server costs of which nothing is known.
#[cold]
fn unknown_cost(pool: &Pool, calls: i64) -> Option<u32> {
    (calls > 0).then(|| pool.penalty_level() + pool.level_after(calls - 1))
}

/// `pause` from now, told apart from the marks.
fn trial_time(now: Instant, pause: Duration) -> u64 {
    (now + pause).as_nanos().clamp(SETTLED + 1, SLOW - 1)
}

/// What an [`Arc`]'s count does not tell about the calls in flight; fits an atomic word.
#[derive(Clone, Copy)]
struct Known {
    /// Calls under way that were heard of; nobody holds the cell for them.
    heard: u32,
    /// Holds of tables, which are no calls, less the calls that were heard of: what the count is too high by.
    surplus: i32,
}

impl Known {
    #[inline]
    fn from_word(word: u64) -> Self {
        Self { heard: (word >> 32) as u32, surplus: word as u32 as i32 }
    }

    fn word(self) -> u64 {
        u64::from(self.heard) << 32 | u64::from(self.surplus as u32)
    }

    fn start(self) -> Option<Self> {
        let heard = self.heard.checked_add(1)?;
        Some(Self { heard, surplus: self.surplus.checked_sub(1)? })
    }

    fn end(self) -> Option<Self> {
        let heard = self.heard.checked_sub(1)?;
        Some(Self { heard, surplus: self.surplus.checked_add(1)? })
    }

    fn hold(self) -> Option<Self> {
        Some(Self { surplus: self.surplus.checked_add(1)?, ..self })
    }

    fn let_go(self) -> Option<Self> {
        Some(Self { surplus: self.surplus.checked_sub(1)?, ..self })
    }
}

/// A table's hold on a cell.
#[derive(Debug)]
pub(crate) struct Held(Arc<Cell>);

impl Held {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        cell.change_known(Known::hold);
        Self(cell)
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.change_known(Known::let_go);
    }
}

impl Deref for Held {
    type Target = Arc<Cell>;
    fn deref(&self) -> &Arc<Cell> {
        &self.0
    }
}
