//! The decision, as a function of the bucket's one number and the time.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
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
    /// governor decides. It sees a clock that stands still and a bucket that is full so much later than that: all that
    /// it weighs are differences.
    #[inline]
    pub(crate) fn decide(&self, full_at: u64, now: Instant, cost: u32) -> Result<u64, Instant> {
        let now = now.min(Instant::FAR_FUTURE).as_nanos();
        let lack = Lack(Cell::new(full_at.saturating_sub(now)));
        let verdict = match NonZeroU32::new(cost) {
            None | Some(NonZeroU32::MIN) => self.engine.check_key(&lack),
            // A cost above the burst is refused before it comes here: its products might overflow.
            Some(cost) => self.engine.check_key_n(&lack, cost).unwrap_or(Ok(())),
        };
        match verdict {
            Ok(()) => Ok(now + lack.0.get()),
            Err(not_until) => {
                Err(Instant::from_nanos(now + not_until.earliest_possible().as_u64()))
            }
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

/// governor without a state or a clock of its own: it is made once, and is handed each bucket as the key.
///
/// Made anew for each question, with both inside it, it took 48 instructions a check; with both in a variable of the
/// thread 30, three stores among them that the swap of the bucket has to wait for.
type Engine = RateLimiter<Lack, Handed, StandsStill, NoOpMiddleware<Nanos>>;

fn engine(quota: Quota) -> Engine {
    RateLimiter::new(quota, Handed, StandsStill)
}

/// How much later than now a bucket is full, in nanoseconds; 0 for one that is full.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lack(Cell<u64>);

/// governor asks it of keys; nothing here hashes one.
impl Hash for Lack {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

/// The state is what is handed over.
#[derive(Debug)]
struct Handed;

impl StateStore for Handed {
    type Key = Lack;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, lack: &Lack, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, next) = decide(Some(Nanos::new(lack.0.get())))?;
        lack.0.set(next.as_u64());
        Ok(answer)
    }
}

/// Its time is the origin, always.
#[derive(Clone, Debug)]
struct StandsStill;

impl Clock for StandsStill {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}
