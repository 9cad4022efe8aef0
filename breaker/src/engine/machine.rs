//! The state machine.
//!
//! Closed => Open: too many failures in a row, or too large a share of the window failed or was slow.
//! Open => HalfOpen: the cooldown is over and a call comes, which is the first probe.
//! HalfOpen => Closed: every probe succeeded.
//! HalfOpen => Open: a probe failed, was slow, was throttled, or was not settled in its time.
//!
//! A generation is one stay in one state. A verdict counts only in the generation that admitted its call.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use toolweir_core::Instant;

use super::cooldown::Cooldown;
use super::outbox::Outbox;
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use super::window::{Tally, Window};
use super::word::{MAX_COUNT, Phase, Word};
use crate::engine::Settings;
use crate::{Reason, Refused, Snapshot, State, Transition};

/// What the machine must be told again when an admitted call has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) generation: u32,
    pub(crate) admitted: Instant,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    /// A failed probe, and nothing otherwise.
    Throttled(Option<Duration>),
    Unknown,
}

/// How long a refused caller is told to wait while probes are under way.
const PROBING: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Machine {
    /// [`Word`]. Leaves closed only under the lock; written under the lock in every other phase.
    word: AtomicU64,
    /// When the refusals of this generation end: an open breaker's cooldown, a probe's time.
    until: AtomicU64,
    /// The length that `until` was set for. Time left is never more, whatever the clock does.
    length: AtomicU64,
    refused: AtomicU64,
    /// Whether the time is needed to count a success.
    reads_time: bool,
    slow: u64,
    window: Window,
    settings: Arc<Settings>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tally: Tally,
    cooldown: Cooldown,
    /// Probes that succeeded in this generation.
    succeeded: u32,
    opened: u64,
    late: u64,
    /// Whether anyone listens.
    observed: bool,
    outbox: Outbox,
}

impl Machine {
    pub(crate) fn new(settings: Arc<Settings>, seed: u64) -> Self {
        let (window, tally) = Window::new(&settings);
        Self {
            word: AtomicU64::new(Word::new(0, Phase::Closed, 0).0),
            until: AtomicU64::new(0),
            length: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            reads_time: matches!(window, Window::Time(_)) || settings.slow != u64::MAX,
            slow: settings.slow,
            window,
            inner: Mutex::new(Inner {
                tally,
                cooldown: Cooldown::new(seed),
                succeeded: 0,
                opened: 0,
                late: 0,
                observed: false,
                outbox: Outbox::default(),
            }),
            settings,
        }
    }

    /// Keeps transitions for delivery from here on.
    pub(crate) fn observe(&self) {
        self.lock().observed = true;
    }

    /// Whether a call's own time matters.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.slow != u64::MAX
    }

    /// Whether a fresh machine would do the same: closed, with nothing counted.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        let word = self.word();
        let sums = self.window.sums(&mut inner.tally, word.generation(), now.as_nanos());
        word.phase() == Phase::Closed
            && word.count() == 0
            && sums.is_none_or(|sums| sums.calls == 0)
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics half-way; a poisoned lock is as good as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation that admits a call without asking for the time, if there is one.
    #[inline]
    pub(crate) fn admit_at_once(&self) -> Option<u32> {
        let word = self.word();
        word.passes_all().then(|| word.generation())
    }

    /// Admits a call, or says how long to wait; and whether transitions are to be delivered.
    pub(crate) fn admit(&self, now: Instant) -> (Result<Pass, Refused>, bool) {
        if let Some(generation) = self.admit_at_once() {
            return (Ok(Pass { generation, admitted: now }), false);
        }
        if let Some(refused) = self.refuse_at_once(now) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return (Err(refused), false);
        }
        let mut inner = self.lock();
        let admitted = self.admit_locked(&mut inner, now);
        if admitted.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        (admitted, inner.outbox.claim())
    }

    /// The refusal that needs no lock: nothing is to change.
    pub(crate) fn refuse_at_once(&self, now: Instant) -> Option<Refused> {
        let word = self.word();
        let left = self.until.load(Ordering::Acquire).saturating_sub(now.as_nanos());
        let waits = left > 0 && left <= self.length.load(Ordering::Acquire);
        if self.word() != word {
            return None; // what was read may belong to the probe that has just passed
        }
        match word.phase() {
            Phase::ForcedOpen => Some(refusal(State::Open, self.settings.cooldown)),
            Phase::Open if waits => Some(refusal(State::Open, left)),
            Phase::HalfOpen if waits && word.count() >= self.settings.probes => {
                Some(self.refusal_while_probing(left))
            }
            _ => None,
        }
    }

    fn refusal_while_probing(&self, left: u64) -> Refused {
        refusal(State::HalfOpen, left.min(self.settings.cooldown).min(PROBING))
    }

    fn admit_locked(&self, inner: &mut Inner, now: Instant) -> Result<Pass, Refused> {
        let nanos = now.as_nanos();
        let length = self.length.load(Ordering::Acquire);
        // A clock that went back must not make the wait longer.
        let until = self.until.load(Ordering::Acquire).min(nanos.saturating_add(length));
        let left = until.saturating_sub(nanos);
        let mut word = self.word();
        match word.phase() {
            Phase::Closed | Phase::ForcedClosed | Phase::Disabled => {
                return Ok(Pass { generation: word.generation(), admitted: now });
            }
            Phase::ForcedOpen => return Err(refusal(State::Open, self.settings.cooldown)),
            Phase::Open if left > 0 => {
                self.until.store(until, Ordering::Release);
                return Err(refusal(State::Open, left));
            }
            Phase::Open => {
                inner.succeeded = 0;
                self.enter(inner, Phase::HalfOpen, Reason::CooldownOver, now);
                word = self.word();
            }
            Phase::HalfOpen if word.count() < self.settings.probes => {}
            Phase::HalfOpen if left > 0 => {
                self.until.store(until, Ordering::Release);
                return Err(self.refusal_while_probing(left));
            }
            Phase::HalfOpen => {
                self.open(inner, Reason::ProbeLost, None, now);
                return Err(refusal(State::Open, self.length.load(Ordering::Acquire)));
            }
        }
        let timeout = self.settings.probe_timeout;
        self.length.store(timeout, Ordering::Release);
        self.until.store(nanos.saturating_add(timeout), Ordering::Release);
        let word = word.with_count(word.count() + 1);
        self.word.store(word.0, Ordering::Release);
        Ok(Pass { generation: word.generation(), admitted: now })
    }

    /// Hears that a call went well; reads the time only where that matters.
    #[inline]
    pub(crate) fn succeed(&self, pass: Pass, now: impl FnOnce() -> Instant) -> bool {
        if self.word() == Word::new(pass.generation, Phase::Closed, 0) {
            match &self.window {
                Window::Off => return false,
                Window::Calls(window) if !self.is_timed() && window.good(pass.generation) => {
                    return false;
                }
                _ => {}
            }
        }
        self.succeed_counted(pass, now)
    }

    fn succeed_counted(&self, pass: Pass, now: impl FnOnce() -> Instant) -> bool {
        let word = self.word();
        if word.phase() == Phase::Disabled {
            return false;
        }
        if word.generation() != pass.generation || !word.counts() {
            return self.settle(pass, Ending::Success, now());
        }
        let now = if self.reads_time { now() } else { Instant::default() };
        if self.is_slow(pass, now) {
            return self.settle(pass, Ending::Success, now);
        }
        self.forget_failures(word);
        if !self.window.good(pass.generation, now.as_nanos()) {
            let mut inner = self.lock();
            if self.word().generation() == pass.generation {
                self.window.add(&mut inner.tally, now.as_nanos());
            }
        }
        false
    }

    #[inline]
    fn is_slow(&self, pass: Pass, now: Instant) -> bool {
        self.is_timed() && now.as_nanos().saturating_sub(pass.admitted.as_nanos()) >= self.slow
    }

    /// Sets the failures in a row to zero, unless the generation has passed.
    fn forget_failures(&self, mut word: Word) {
        let generation = word.generation();
        while word.generation() == generation && word.count() != 0 {
            match self.word.compare_exchange_weak(
                word.0,
                word.with_count(0).0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(seen) => word = Word(seen),
            }
        }
    }

    /// Adds one to the failures in a row and returns them. Under the lock.
    fn add_failure(&self, mut word: Word) -> u32 {
        loop {
            let count = word.count().saturating_add(1).min(MAX_COUNT);
            match self.word.compare_exchange_weak(
                word.0,
                word.with_count(count).0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return count,
                Err(seen) => word = Word(seen),
            }
        }
    }

    /// Hears how a call ended; tells whether transitions are to be delivered.
    pub(crate) fn settle(&self, pass: Pass, verdict: Ending, now: Instant) -> bool {
        let says_nothing = matches!(verdict, Ending::Unknown | Ending::Throttled(_));
        let word = self.word();
        if word.phase() == Phase::Disabled || (says_nothing && word.passes_all()) {
            return false;
        }
        let mut inner = self.lock();
        let inner = &mut *inner;
        let word = self.word();
        if word.generation() != pass.generation {
            inner.late += 1;
            return false;
        }
        match word.phase() {
            Phase::Closed | Phase::ForcedClosed if !says_nothing => {
                self.count(inner, word, pass, verdict, now);
            }
            Phase::HalfOpen => self.settle_probe(inner, word, pass, verdict, now),
            _ => {}
        }
        inner.outbox.claim()
    }

    fn count(&self, inner: &mut Inner, word: Word, pass: Pass, verdict: Ending, now: Instant) {
        let (generation, nanos) = (pass.generation, now.as_nanos());
        let failed = verdict == Ending::Failure;
        let slow = self.is_slow(pass, now);
        let in_a_row = if failed {
            self.add_failure(word)
        } else {
            self.forget_failures(word);
            0
        };
        if failed || slow {
            self.window.bad(&mut inner.tally, generation, nanos, failed, slow);
        } else {
            self.window.add(&mut inner.tally, nanos);
        }
        if word.phase() == Phase::Closed
            && (failed || slow)
            && let Some(reason) = self.reason_to_open(inner, in_a_row, generation, nanos)
        {
            self.open(inner, reason, None, now);
        }
    }

    fn reason_to_open(
        &self,
        inner: &mut Inner,
        in_a_row: u32,
        generation: u32,
        nanos: u64,
    ) -> Option<Reason> {
        if in_a_row >= self.settings.failures {
            return Some(Reason::Failures);
        }
        let sums = self.window.sums(&mut inner.tally, generation, nanos)?;
        let reaches = |bad: u64, share: u64| {
            u128::from(bad) * 1_000_000 >= u128::from(share) * u128::from(sums.calls)
        };
        if sums.calls < self.settings.minimum {
            None
        } else if reaches(sums.failures, self.settings.failure_rate) {
            Some(Reason::FailureRate)
        } else if reaches(sums.slow, self.settings.slow_rate) {
            Some(Reason::SlowRate)
        } else {
            None
        }
    }

    fn settle_probe(
        &self,
        inner: &mut Inner,
        word: Word,
        pass: Pass,
        verdict: Ending,
        now: Instant,
    ) {
        match verdict {
            Ending::Success if !self.is_slow(pass, now) => {
                inner.succeeded += 1;
                if inner.succeeded >= self.settings.probes {
                    self.enter(inner, Phase::Closed, Reason::ProbesSucceeded, now);
                }
            }
            Ending::Success | Ending::Failure => self.open(inner, Reason::ProbeFailed, None, now),
            Ending::Throttled(pause) => {
                self.open(inner, Reason::ProbeThrottled, Some(pause.unwrap_or_default()), now);
            }
            Ending::Unknown => {
                self.word.store(word.with_count(word.count() - 1).0, Ordering::Release);
            }
        }
    }

    /// Opens; `pause` is what a throttled probe was asked for, and makes the back-off no steeper.
    fn open(&self, inner: &mut Inner, reason: Reason, pause: Option<Duration>, now: Instant) {
        let Settings { cooldown, backoff, cap, jitter, .. } = *self.settings;
        let wait = match pause {
            None => inner.cooldown.next(cooldown, backoff, cap, jitter),
            Some(pause) => {
                let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX).min(cap);
                inner.cooldown.again(cooldown, backoff, cap, jitter).max(pause)
            }
        };
        inner.opened += 1;
        self.length.store(wait, Ordering::Release);
        self.until.store(now.as_nanos().saturating_add(wait), Ordering::Release);
        self.enter(inner, Phase::Open, reason, now);
    }

    /// Begins the next generation.
    fn enter(&self, inner: &mut Inner, phase: Phase, reason: Reason, now: Instant) {
        let before = self.word();
        let generation = before.generation().wrapping_add(1);
        if matches!(phase, Phase::Closed | Phase::ForcedClosed) {
            inner.cooldown.reset();
            inner.tally.reset();
        }
        // Last, so that whoever sees the new phase sees what belongs to it.
        self.word.store(Word::new(generation, phase, 0).0, Ordering::Release);
        if inner.observed && before.phase() != phase {
            let retry_after = match phase {
                Phase::Open => self.length.load(Ordering::Acquire),
                Phase::ForcedOpen => self.settings.cooldown,
                _ => 0,
            };
            inner.outbox.push(Transition {
                from: before.phase().state(),
                to: phase.state(),
                mode: phase.mode(),
                reason,
                generation,
                at: now,
                retry_after: Duration::from_nanos(retry_after),
            });
        }
    }

    /// Enters a phase that an operator asks for; `Closed` hands the decision back to the machine.
    pub(crate) fn force(&self, phase: Phase, now: Instant) -> bool {
        let mut inner = self.lock();
        // Closed again is a fresh start; nothing else has anything to forget.
        if self.word().phase() != phase || phase == Phase::Closed {
            self.enter(&mut inner, phase, Reason::Forced, now);
        }
        inner.outbox.claim()
    }

    /// The next transition for whoever was told to deliver.
    pub(crate) fn next_transition(&self) -> Option<Transition> {
        self.lock().outbox.next()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.word().generation()
    }

    pub(crate) fn state(&self) -> State {
        self.word().phase().state()
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut inner = self.lock();
        let word = self.word();
        let (phase, nanos) = (word.phase(), now.as_nanos());
        let probing = phase == Phase::HalfOpen;
        let left = self.until.load(Ordering::Acquire).saturating_sub(nanos);
        let left = left.min(self.length.load(Ordering::Acquire));
        let retry_after = match phase {
            Phase::Closed | Phase::ForcedClosed | Phase::Disabled => 0,
            Phase::ForcedOpen => self.settings.cooldown,
            Phase::Open => left,
            Phase::HalfOpen if word.count() < self.settings.probes => 0,
            Phase::HalfOpen => left.min(self.settings.cooldown).min(PROBING),
        };
        let window = self.window.sums(&mut inner.tally, word.generation(), nanos);
        Snapshot {
            state: phase.state(),
            mode: phase.mode(),
            generation: word.generation(),
            failures: if word.counts() { word.count() } else { 0 },
            probes: if probing { word.count() - inner.succeeded } else { 0 },
            probes_succeeded: if probing { inner.succeeded } else { 0 },
            window,
            retry_after: Duration::from_nanos(retry_after),
            opened: inner.opened,
            refused: self.refused.load(Ordering::Relaxed),
            late: inner.late,
            missed: inner.outbox.missed,
        }
    }
}

fn refusal(state: State, nanos: u64) -> Refused {
    Refused { state, retry_after: Duration::from_nanos(nanos) }
}
