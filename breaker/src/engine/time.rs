//! The calls of the last so much time, in ten slices.

use super::sync::{AtomicU64, Ordering, number, stripes};
use crate::WindowSnapshot;

/// How many slices a window has; the oldest is dropped whole.
pub(crate) const SLICES: usize = 10;

/// The good calls by slice, counted by each thread for itself: a few loads and a store, however many calls the window
/// holds and however many threads count.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    slice: u64,
    stripes: Box<[Stripe]>,
}

/// Written by one thread alone. Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    /// What generation the slots belong to; a thread that comes to a new one begins again.
    generation: AtomicU64,
    /// When the slice began that this thread counted in last, and its place: most calls need no division.
    begun: AtomicU64,
    place: AtomicU64,
    slots: [AtomicU64; SLICES],
}

/// Bad calls by slice, and good ones of threads without a stripe.
#[derive(Debug, Default)]
pub(crate) struct TimeTally([Slice; SLICES]);

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    calls: u64,
    failures: u64,
    slow: u64,
}

/// A slot: number of its slice (38 bits: nine years of the shortest), calls (26).
const CALL_BITS: u32 = 26;
const CALL_MASK: u64 = (1 << CALL_BITS) - 1;
const NUMBER_MASK: u64 = u64::MAX >> CALL_BITS;

impl TimeWindow {
    pub(crate) fn new(nanos: u64) -> (Self, TimeTally) {
        let stripes = (0..stripes()).map(|_| Stripe::default()).collect();
        (Self { slice: nanos.div_ceil(SLICES as u64), stripes }, TimeTally::default())
    }

    fn number(&self, now: u64) -> u64 {
        (now / self.slice) & NUMBER_MASK
    }

    /// Counts a good call; `false` where the thread has no stripe and needs the lock.
    #[inline]
    pub(crate) fn good(&self, generation: u32, now: u64) -> bool {
        let Some(stripe) = self.stripes.get(number()) else { return false };
        if stripe.generation.load(Ordering::Relaxed) == u64::from(generation)
            && now.wrapping_sub(stripe.begun.load(Ordering::Relaxed)) < self.slice
            && let Some(slot) = stripe.slots.get(stripe.place.load(Ordering::Relaxed) as usize)
            && let seen = slot.load(Ordering::Relaxed)
            && (1..CALL_MASK).contains(&(seen & CALL_MASK))
        {
            slot.store(seen + 1, Ordering::Release);
        } else {
            self.rotate(stripe, generation, now);
        }
        true
    }

    /// Counts the first call of a slice, of a generation, or after the clock went back.
    #[cold]
    fn rotate(&self, stripe: &Stripe, generation: u32, now: u64) {
        let current = stripe.generation.load(Ordering::Relaxed) as u32;
        match generation.wrapping_sub(current) as i32 {
            0 => {}
            ..0 => return,
            _ => {
                // Before the generation, so that nobody adds the former one's calls to it.
                stripe.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
                stripe.generation.store(u64::from(generation), Ordering::Release);
            }
        }
        let number = self.number(now);
        let place = place(number);
        let slot = &stripe.slots[place];
        let seen = slot.load(Ordering::Relaxed);
        let calls = if seen >> CALL_BITS == number { (seen & CALL_MASK) + 1 } else { 1 };
        slot.store(number << CALL_BITS | calls.min(CALL_MASK), Ordering::Release);
        stripe.begun.store(now - now % self.slice, Ordering::Relaxed);
        stripe.place.store(place as u64, Ordering::Relaxed);
    }

    /// Counts a good call of a thread without a stripe. Under the lock.
    pub(crate) fn add(&self, tally: &mut TimeTally, now: u64) {
        tally.slice(self.number(now)).calls += 1;
    }

    /// Counts a bad call. Under the lock.
    pub(crate) fn bad(&self, tally: &mut TimeTally, now: u64, failed: bool, slow: bool) {
        let slice = tally.slice(self.number(now));
        slice.calls += 1;
        slice.failures += u64::from(failed);
        slice.slow += u64::from(slow);
    }

    pub(crate) fn sums(&self, tally: &TimeTally, generation: u32, now: u64) -> WindowSnapshot {
        let current = self.number(now);
        let is_live = |number: u64| (current.wrapping_sub(number) & NUMBER_MASK) < SLICES as u64;
        let mut sums = WindowSnapshot::default();
        for slice in tally.0.iter().filter(|slice| is_live(slice.number)) {
            sums.calls += slice.calls;
            sums.failures += slice.failures;
            sums.slow += slice.slow;
        }
        for stripe in &self.stripes {
            // Together with the store in `rotate`: who sees the generation sees slots of it.
            if stripe.generation.load(Ordering::Acquire) != u64::from(generation) {
                continue;
            }
            let slots = stripe.slots.iter().map(|slot| slot.load(Ordering::Acquire));
            let live = slots.filter(|slot| is_live(slot >> CALL_BITS));
            sums.calls += live.map(|slot| slot & CALL_MASK).sum::<u64>();
        }
        sums
    }
}

/// Where the slice of this number is kept.
fn place(number: u64) -> usize {
    (number % SLICES as u64) as usize
}

impl TimeTally {
    /// The slice of this number, emptied where another was kept in its place.
    fn slice(&mut self, number: u64) -> &mut Slice {
        let slice = &mut self.0[place(number)];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice
    }

    /// Empties it; a new generation begins, which no stripe has counted for.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

// Not on loom's atomics, which work only inside of a schedule.
#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    /// Counts a good call at each of `times` in a window of 1,000 with slices of 100, and looks at `now`.
    fn check(times: &[u64], now: u64, calls: u64) {
        let (window, tally) = TimeWindow::new(1_000);
        assert!(times.iter().all(|time| window.good(0, *time)));
        assert_eq!(window.sums(&tally, 0, now).calls, calls, "{times:?} at {now}");
    }

    #[test]
    fn a_call_counts_in_the_slice_of_its_time() {
        check(&[0, 99], 999, 2);
        check(&[0, 99], 1_000, 0);
        check(&[0, 100], 1_000, 1);
        check(&[50, 110], 1_000, 1);
        check(&[50, 150, 60], 150, 3); // a clock that goes back
        check(&[50, 150, 60], 1_000, 1);
        check(&[50, 1_050], 1_050, 1);
    }

    /// Where a generation ends between a look at the word and the count.
    #[test]
    fn a_call_of_an_older_generation_changes_no_count() {
        let (window, tally) = TimeWindow::new(1_000);
        assert!(window.good(0, 5) && window.good(1, 5) && window.good(1, 5) && window.good(0, 5));
        assert_eq!(window.sums(&tally, 1, 5).calls, 2);
    }
}
