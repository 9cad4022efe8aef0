//! A bucket that several threads use.

use std::sync::PoisonError;
use std::task::Waker;
use std::time::Duration;

use toolweir_core::Instant;

use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::Refusal;
use crate::line::{Line, Look, Pause};
use crate::rate::Rate;

/// A bucket and the line before it.
///
/// The full time is one atomic word: a check reads and swaps it, and takes no lock. The line has a lock, which
/// only those take who wait, leave or pause.
#[derive(Debug)]
pub(crate) struct Shared {
    full_at: AtomicU64,
    rate: Rate,
    line: Mutex<Line>,
}

impl Shared {
    pub(crate) fn new(rate: Rate, full_at: u64) -> Self {
        Self { full_at: AtomicU64::new(full_at), rate, line: Mutex::new(Line::default()) }
    }

    pub(crate) fn rate(&self) -> &Rate {
        &self.rate
    }

    pub(crate) fn full_at(&self) -> u64 {
        self.full_at.load(Ordering::Acquire)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Swaps the full time for what `step` makes of it, however often others come in between.
    #[inline]
    fn update<T, E>(&self, step: impl Fn(u64) -> Result<(u64, T), E>) -> Result<T, E> {
        let mut seen = self.full_at();
        loop {
            let (next, answer) = step(seen)?;
            match self.full_at.compare_exchange_weak(
                seen,
                next,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(answer),
                Err(other) => seen = other,
            }
        }
    }

    /// Takes `cost`, or says when it could. Returns the full times before and after.
    #[inline]
    pub(crate) fn take(&self, now: Instant, cost: u32) -> Result<(u64, u64), Instant> {
        self.update(|seen| self.rate.decide(seen, now, cost).map(|next| (next, (seen, next))))
    }

    /// Undoes a take that nothing has come after; where something has, the take stays.
    pub(crate) fn undo(&self, (before, after): (u64, u64)) {
        let _ = self.full_at.compare_exchange(after, before, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Takes `cost` at the earliest time there is, at the end of the line. Returns the caller's number in the
    /// line, or `None` where it may go now.
    pub(crate) fn reserve(
        &self,
        now: Instant,
        cost: u32,
        deadline: Instant,
        max_waiting: usize,
    ) -> Result<Option<u64>, Refusal> {
        let mut line = self.line();
        let full = line.len() >= max_waiting;
        let due = self.update(|seen| {
            let (next, due) = self.rate.reserve(seen, now, cost);
            let retry_after = due - now;
            if due > now && due > deadline {
                Err(Refusal::TooLate { retry_after })
            } else if due > now && full {
                Err(Refusal::QueueFull { retry_after })
            } else {
                Ok((next, due))
            }
        })?;
        Ok((due > now).then(|| line.join(cost, due, deadline)))
    }

    pub(crate) fn due(&self, id: u64) -> Option<Instant> {
        self.line().due(id)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.line().len()
    }

    /// Tells a caller in the line whether to go; where it goes, it has left the line.
    pub(crate) fn look(&self, id: u64, now: Instant, waker: Option<&Waker>) -> Look {
        let mut line = self.line();
        let look = line.look(id, now, waker);
        let next = if look == Look::Go { line.go(id) } else { None };
        drop(line);
        next.into_iter().for_each(Waker::wake);
        look
    }

    /// Takes a caller out of the line that will not go.
    pub(crate) fn leave(&self, id: u64, now: Instant) {
        let mut line = self.line();
        let (back, next) = line.leave(id, now, &self.rate);
        self.move_full_at(|seen| seen.saturating_sub(back));
        drop(line);
        next.into_iter().for_each(Waker::wake);
    }

    /// Admits nothing for `pause` from `now` on.
    pub(crate) fn pause(&self, pause: Duration, now: Instant) {
        let mut line = self.line();
        let (change, too_late) = line.pause(now + pause, now, &self.rate);
        self.move_full_at(|seen| match change {
            Pause::PutOff(by) => seen.saturating_add(by),
            Pause::AtLeast(full_at) => seen.max(full_at),
        });
        drop(line);
        too_late.into_iter().for_each(Waker::wake);
    }

    fn move_full_at(&self, step: impl Fn(u64) -> u64) {
        let moved = self.update(|seen| Ok::<_, std::convert::Infallible>((step(seen), ())));
        let Ok(()) = moved;
    }
}
