//! The decision, as a function of the bucket's one number and the time.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use toolweir_core::Instant;

/// A rate and a burst.
///
/// A bucket's whole state is its *full time* in nanoseconds: when it will be full again (the "theoretical
/// arrival time" of the generic cell rate algorithm). A bucket whose full time has passed is as good as new,
/// and 0 is a new one.
#[derive(Debug)]
pub(crate) struct Rate {
    engine: Engine,
    quota: Quota,
    interval: u64,
    tolerance: u64,
}

impl Clone for Rate {
    fn clone(&self) -> Self {
        Self { engine: engine(self.quota), ..*self }
    }
}

impl Rate {
    /// A rate that [`Config`](crate::Config) has checked.
    pub(crate) fn new(per_second: f64, burst: NonZeroU32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the configuration keeps it between 1 and a year"
        )]
        let interval = ((1e9 / per_second).ceil() as u64).max(1);
        let quota = Quota::with_period(Duration::from_nanos(interval))
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        Self {
            engine: engine(quota),
            quota,
            interval,
            tolerance: interval * u64::from(burst.get() - 1),
        }
    }

    /// The most that one call may cost.
    pub(crate) fn burst(&self) -> u32 {
        self.quota.burst_size().get()
    }

    /// Time in which `cost` comes back, in nanoseconds.
    pub(crate) fn worth(&self, cost: u32) -> u64 {
        self.interval.saturating_mul(u64::from(cost))
    }

    /// How far ahead of now the full time of a bucket may lie that still admits a call of cost 1.
    pub(crate) fn tolerance(&self) -> u64 {
        self.tolerance
    }

    /// The full time after a call of `cost` at `now`, or the earliest time at which it would be admitted.
    ///
    /// governor decides, on a bucket that holds `full_at` and a clock that shows `now`.
    #[inline]
    pub(crate) fn decide(&self, full_at: u64, now: Instant, cost: u32) -> Result<u64, Instant> {
        QUESTION.set(Question { full_at, now: now.min(Instant::FAR_FUTURE).as_nanos() });
        let verdict = match NonZeroU32::new(cost) {
            None | Some(NonZeroU32::MIN) => self.engine.check(),
            // A cost above the burst is refused before it comes here: its products might overflow.
            Some(cost) => self.engine.check_n(cost).unwrap_or(Ok(())),
        };
        match verdict {
            Ok(()) => Ok(QUESTION.get().full_at),
            Err(not_until) => Err(Instant::from_nanos(not_until.earliest_possible().as_u64())),
        }
    }

    /// The full time after a call of `cost` at the earliest time that admits it, and that time.
    pub(crate) fn reserve(&self, full_at: u64, now: Instant, cost: u32) -> (u64, Instant) {
        match self.decide(full_at, now, cost) {
            Ok(next) => (next, now),
            Err(due) => (self.decide(full_at, due, cost).unwrap_or(full_at), due),
        }
    }

    /// The earliest full time with which nothing is admitted before `until`.
    pub(crate) fn paused_until(&self, until: Instant) -> u64 {
        until.as_nanos().saturating_add(self.tolerance)
    }
}

/// governor without a state or a clock of its own: it is made once, and finds both in [`QUESTION`]. Made anew for
/// each question, with both inside it, it took 48 instructions a check instead of 30.
type Engine = RateLimiter<NotKeyed, Asked, Asked, NoOpMiddleware<Nanos>>;

fn engine(quota: Quota) -> Engine {
    // It takes its first reading of the clock as its zero, which is our origin.
    QUESTION.set(Question { full_at: 0, now: 0 });
    RateLimiter::new(quota, Asked, Asked)
}

/// What this thread asks the engine, and where it finds the answer.
#[derive(Clone, Copy)]
struct Question {
    full_at: u64,
    now: u64,
}

thread_local! {
    static QUESTION: Cell<Question> = const { Cell::new(Question { full_at: 0, now: 0 }) };
}

/// The bucket and the clock of the question.
#[derive(Debug)]
struct Asked;

impl StateStore for Asked {
    type Key = NotKeyed;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let question = QUESTION.get();
        let (answer, next) = decide(Some(Nanos::new(question.full_at)))?;
        QUESTION.set(Question { full_at: next.as_u64(), ..question });
        Ok(answer)
    }
}

impl Clock for Asked {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        Nanos::new(QUESTION.get().now)
    }
}
