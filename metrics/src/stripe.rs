//! Who may write where.
//!
//! What is counted is kept in stripes, and a stripe is written by one thread at a time, with plain loads and
//! stores: an atomic addition for each counter costs four times as much, and one lock for all of them twice as much.
//! The first eight threads that record own a stripe each until they end; all others share two behind a flag.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};

use crate::ring::Ring;

/// How many threads own a stripe.
const OWNED: usize = 8;
/// How many stripes the others share.
const SHARED: usize = 2;
/// How many stripes there are.
pub(crate) const STRIPES: usize = OWNED + SHARED;

/// The stripes of one recorder.
pub(crate) struct Stripes([Stripe; STRIPES]);

/// Two cache lines, since processors fetch them in pairs.
#[repr(align(128))]
struct Stripe {
    /// Whether somebody writes; of shared stripes only.
    taken: AtomicBool,
    ring: Ring,
}

impl Stripes {
    pub(crate) fn new(records: usize) -> Self {
        let stripe = |_| Stripe { taken: AtomicBool::new(false), ring: Ring::new(records) };
        Self(std::array::from_fn(stripe))
    }

    /// Takes the thread's own stripe, or a shared one.
    #[inline]
    pub(crate) fn take(&self) -> Turn<'_> {
        let index = number();
        if index < OWNED {
            return Turn { index, stripe: &self.0[index], shared: false };
        }
        self.take_shared()
    }

    #[cold]
    #[inline(never)]
    fn take_shared(&self) -> Turn<'_> {
        loop {
            for index in OWNED..STRIPES {
                let stripe = &self.0[index];
                if !stripe.taken.swap(true, Acquire) {
                    return Turn { index, stripe, shared: true };
                }
            }
            // A holder does a few stores and leaves; where both are taken, one may have lost its processor.
            std::thread::yield_now();
        }
    }

    pub(crate) fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.0.iter().map(|stripe| &stripe.ring)
    }
}

/// The right to write one stripe; given back on drop.
pub(crate) struct Turn<'a> {
    pub(crate) index: usize,
    stripe: &'a Stripe,
    shared: bool,
}

impl Turn<'_> {
    #[inline]
    pub(crate) fn ring(&self) -> &Ring {
        &self.stripe.ring
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.shared {
            self.stripe.taken.store(false, Release);
        }
    }
}

/// Numbers that no living thread has, one bit each. Taking one synchronizes with its giving back, so the next
/// owner sees all that the last one wrote.
static FREE: AtomicU32 = AtomicU32::new((1 << OWNED) - 1);

/// Not asked yet.
const UNKNOWN: usize = usize::MAX;
/// Has none of its own.
const NONE: usize = OWNED;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEAVE: Leave = const { Leave };
}

/// The calling thread's number, below [`OWNED`] where it has one of its own.
#[inline]
fn number() -> usize {
    let number = NUMBER.get();
    if number == UNKNOWN { enter() } else { number }
}

#[cold]
#[inline(never)]
fn enter() -> usize {
    // A thread that is ending can no longer promise to give a number back.
    let number = if LEAVE.try_with(|_| ()).is_ok() { claim() } else { NONE };
    NUMBER.set(number);
    number
}

fn claim() -> usize {
    let lowest = |free: u32| (free != 0).then(|| free & (free - 1));
    match FREE.fetch_update(AcqRel, Acquire, lowest) {
        Ok(free) => free.trailing_zeros() as usize,
        Err(_) => NONE,
    }
}

/// Gives the thread's number back when it ends.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        let number = NUMBER.replace(NONE);
        if number < OWNED {
            FREE.fetch_or(1 << number, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn living_threads_never_share_an_owned_stripe_and_ended_ones_give_it_back() {
        let stripes = Stripes::new(1);
        assert_eq!(stripes.rings().count(), OWNED + SHARED);
        for round in 0..20 {
            let all = Barrier::new(12);
            let record = || {
                let number = number();
                all.wait();
                let turn = stripes.take();
                assert_eq!(turn.shared, number >= OWNED);
                assert!(turn.index == number || turn.shared && turn.index >= OWNED);
                number
            };
            let numbers: Vec<usize> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..12).map(|_| scope.spawn(record)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let mut owned: Vec<_> = numbers.into_iter().filter(|n| *n < OWNED).collect();
            let all = owned.len();
            owned.sort_unstable();
            owned.dedup();
            assert_eq!(owned.len(), all);
            // Other tests of this process hold a few.
            assert!(all > OWNED / 2, "{all} of {OWNED} in round {round}");
        }
    }

    #[test]
    fn a_shared_stripe_has_one_holder_at_a_time() {
        let stripes = Stripes::new(1);
        let first = stripes.take_shared();
        let second = stripes.take_shared();
        assert_eq!((first.index, second.index), (OWNED, OWNED + 1));
        drop(first);
        assert_eq!(stripes.take_shared().index, OWNED);
    }
}
