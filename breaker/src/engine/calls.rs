//! The last n calls, exactly.

use std::collections::VecDeque;

use super::sync::{AtomicU64, Ordering, number, stripes};
use crate::WindowSnapshot;

/// The good calls, counted by each thread for itself.
///
/// Which calls were bad matters, and of the good ones only how many there were in between. So a bad call is kept with its
/// position, which is the number of all calls so far, and a good one adds one to its thread's count: a load and a store.
/// A swap of a position that all threads share takes five times as long, and a multiple of that where two threads do it.
#[derive(Debug)]
pub(crate) struct CallWindow {
    size: u64,
    stripes: Box<[Stripe]>,
}

/// Written by one thread alone. Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    /// What generation `good` belongs to; a thread that comes to a new one begins again.
    generation: AtomicU64,
    good: AtomicU64,
}

/// The bad calls, and good ones of threads without a stripe.
#[derive(Debug)]
pub(crate) struct CallTally {
    /// Positions of the bad calls in the window, oldest first, and what was wrong with each.
    bad: VecDeque<u64>,
    failures: u64,
    slow: u64,
    /// Calls of this generation that no stripe counts.
    others: u64,
}

const FAILED: u64 = 1;
const SLOW: u64 = 2;
const FLAG_BITS: u32 = 2;

impl CallWindow {
    pub(crate) fn new(calls: usize) -> (Self, CallTally) {
        let stripes = (0..stripes()).map(|_| Stripe::default()).collect();
        let bad = VecDeque::with_capacity(calls);
        let tally = CallTally { bad, failures: 0, slow: 0, others: 0 };
        (Self { size: calls as u64, stripes }, tally)
    }

    /// Counts a good call; `false` where the thread has no stripe and needs the lock.
    #[inline]
    pub(crate) fn good(&self, generation: u32) -> bool {
        let Some(stripe) = self.stripes.get(number()) else { return false };
        if stripe.generation.load(Ordering::Relaxed) == u64::from(generation) {
            let good = stripe.good.load(Ordering::Relaxed);
            stripe.good.store(good + 1, Ordering::Release);
        } else {
            stripe.begin(generation);
        }
        true
    }

    /// Counts a good call of a thread without a stripe. Under the lock.
    pub(crate) fn add(tally: &mut CallTally) {
        tally.others += 1;
    }

    /// Counts a bad call. Under the lock.
    pub(crate) fn bad(&self, tally: &mut CallTally, generation: u32, failed: bool, slow: bool) {
        tally.others += 1;
        let flags = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        let position = self.position(tally, generation);
        self.evict(tally, position);
        tally.bad.push_back(position << FLAG_BITS | flags);
        tally.failures += u64::from(failed);
        tally.slow += u64::from(slow);
    }

    /// How many calls there were in this generation.
    fn position(&self, tally: &CallTally, generation: u32) -> u64 {
        let of_generation = |stripe: &&Stripe| {
            // Together with the store in `begin`: who sees the generation sees a count of it.
            stripe.generation.load(Ordering::Acquire) == u64::from(generation)
        };
        let good = |stripe: &Stripe| stripe.good.load(Ordering::Acquire);
        self.stripes.iter().filter(of_generation).map(good).sum::<u64>() + tally.others
    }

    /// Drops what is no longer among the last n calls.
    fn evict(&self, tally: &mut CallTally, position: u64) {
        while let Some(oldest) = tally.bad.front().copied()
            && (oldest >> FLAG_BITS) + self.size <= position
        {
            tally.bad.pop_front();
            tally.failures -= oldest & FAILED;
            tally.slow -= (oldest & SLOW) >> 1;
        }
    }

    pub(crate) fn sums(&self, tally: &mut CallTally, generation: u32) -> WindowSnapshot {
        let position = self.position(tally, generation);
        self.evict(tally, position);
        let calls = position.min(self.size);
        WindowSnapshot { calls, failures: tally.failures, slow: tally.slow }
    }
}

impl CallTally {
    /// Empties it; a new generation begins, which no stripe has counted for.
    pub(crate) fn reset(&mut self) {
        self.bad.clear();
        (self.failures, self.slow, self.others) = (0, 0, 0);
    }
}

impl Stripe {
    /// Begins a generation with one good call, unless it is older than what is counted here.
    #[cold]
    fn begin(&self, generation: u32) {
        let current = self.generation.load(Ordering::Relaxed) as u32;
        if (generation.wrapping_sub(current) as i32) < 0 {
            return;
        }
        // Before the generation, so that nobody adds the former one's calls to it.
        self.good.store(0, Ordering::Relaxed);
        self.generation.store(u64::from(generation), Ordering::Release);
        self.good.store(1, Ordering::Release);
    }
}

// Not on loom's atomics, which work only inside of a schedule.
#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    /// Where a generation ends between a look at the word and the count.
    #[test]
    fn a_call_of_an_older_generation_changes_no_count() {
        let (window, mut tally) = CallWindow::new(10);
        assert!(window.good(0) && window.good(1) && window.good(1) && window.good(0));
        assert_eq!(window.sums(&mut tally, 1).calls, 2);
    }
}
