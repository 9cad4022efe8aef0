//! Randomness for ties and choices: one counter a thread, or one seeded counter that can be replayed.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hash::{STEP, mix};

thread_local! {
    static COUNTER: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
}

/// Draws random numbers.
#[derive(Debug)]
pub(crate) struct Random {
    /// Shared by all threads, so that one seed gives one sequence; unseeded draws share nothing.
    seeded: Option<AtomicU64>,
}

impl Random {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self { seeded: seed.map(AtomicU64::new) }
    }

    pub(crate) fn draw(&self) -> u64 {
        match &self.seeded {
            Some(counter) => mix(counter.fetch_add(STEP, Ordering::Relaxed)),
            None => COUNTER.with(|counter| {
                let value = counter.get().wrapping_add(STEP);
                counter.set(value);
                mix(value)
            }),
        }
    }
}

/// A number below `bound` from 32 random bits; `bound` is at least 1.
pub(crate) fn below(bits: u32, bound: usize) -> usize {
    ((u64::from(bits) * bound as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let draws = |seed| {
            let random = Random::new(Some(seed));
            (0..4).map(|_| random.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }

    #[test]
    fn below_covers_its_range_and_no_more() {
        assert_eq!(below(0, 7), 0);
        assert_eq!(below(u32::MAX, 7), 6);
        assert_eq!(below(u32::MAX, 1), 0);
    }
}
