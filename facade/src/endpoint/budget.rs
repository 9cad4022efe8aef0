//! How much may be repeated: a share of what is called, so that repeating never turns a fault into an overload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use toolweir_core::{Instant, TokioClock};
use toolweir_ratelimit::{Bucket, Config};

/// One repetition, in the unit of the balance.
const ONE: u32 = 1_000;
/// So many repetitions can be saved up.
const MOST: u32 = 100 * ONE;
/// What a server that is called rarely has beside its share: so many at once, and one more a second.
const RESERVE: u32 = 10;

/// Every call pays in a share of a repetition; every repetition takes a whole one out.
///
/// The share of a tenth and a small reserve for quiet times are Finagle's `RetryBudget`.
#[derive(Debug)]
pub(crate) struct Budget {
    share: u32,
    balance: AtomicU32,
    reserve: Option<Bucket>,
}

impl Budget {
    /// Repetitions of `percent` of the calls; none at all where that is 0.
    pub(crate) fn new(percent: u8) -> Self {
        let reserve = Config::default().requests_per_second(1.0).burst(RESERVE);
        Self {
            share: u32::from(percent) * ONE / 100,
            balance: AtomicU32::new(0),
            reserve: (percent > 0)
                .then(|| Bucket::with_clock(&reserve, Arc::new(TokioClock)).ok())
                .flatten(),
        }
    }

    /// A call was made.
    pub(crate) fn deposit(&self) {
        let balance = self.balance.load(Ordering::Relaxed);
        if balance < MOST {
            // Two at once may pay in once too little or too much: a thousandth part of nothing that matters.
            self.balance.fetch_add(self.share, Ordering::Relaxed);
        }
    }

    /// Takes a repetition out, with the share that it will pay in itself; false where none is left.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let take = |balance: u32| balance.checked_sub(ONE + self.share);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            || self.reserve.as_ref().is_some_and(|reserve| reserve.check_at(now).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolweir_core::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_tenth_of_the_calls_can_be_repeated() {
        let (budget, now) = (Budget::new(10), TokioClock.now());
        let left = || (0..1_000).take_while(|_| budget.withdraw(now)).count();
        assert_eq!(left(), 10, "the reserve");
        for _ in 0..500 {
            budget.deposit();
        }
        assert_eq!(left(), 45, "50, less what they pay in themselves");
        for _ in 0..1_000_000 {
            budget.deposit();
        }
        assert_eq!(left(), 90, "no more is saved up");
        let later = now + std::time::Duration::from_secs(3);
        assert_eq!((0..9).take_while(|_| budget.withdraw(later)).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_repeated_where_that_is_switched_off() {
        let budget = Budget::new(0);
        budget.deposit();
        assert!(!budget.withdraw(TokioClock.now()));
    }
}
