//! The calls of the last so much time, in ten slices.

use super::sync::{AtomicU64, Ordering};
use crate::WindowSnapshot;

/// How many slices a window has; the oldest is dropped whole.
pub(crate) const SLICES: usize = 10;

/// A count a slice. A good call is one compare-and-swap, however many calls the window holds; only the first
/// call of a slice needs the machine's lock.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    slice: u64,
    slots: [AtomicU64; SLICES],
}

/// Bad calls by slice.
#[derive(Debug, Default)]
pub(crate) struct TimeTally([Bad; SLICES]);

#[derive(Clone, Copy, Debug, Default)]
struct Bad {
    tag: u64,
    failures: u64,
    slow: u64,
}

/// A slot: a mark that it is in use (1 bit), generation (7), slice number (30), calls (26).
const CALL_BITS: u32 = 26;
const CALL_MASK: u64 = (1 << CALL_BITS) - 1;
const SLICE_MASK: u64 = (1 << 30) - 1;

fn tag(generation: u32, number: u64) -> u64 {
    (1 << 37) | (u64::from(generation & 0x7F) << 30) | (number & SLICE_MASK)
}

/// Whether what is tagged `seen` lies within the window that ends with `current`.
fn is_live(seen: u64, current: u64) -> bool {
    let age = current.wrapping_sub(seen) & SLICE_MASK;
    seen >> 30 == current >> 30 && age < SLICES as u64
}

impl TimeWindow {
    pub(crate) fn new(nanos: u64) -> Self {
        Self {
            slice: nanos.div_ceil(SLICES as u64),
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn place(&self, generation: u32, now: u64) -> (usize, u64) {
        let number = now / self.slice;
        ((number % SLICES as u64) as usize, tag(generation, number))
    }

    /// Counts a call; `false` where it is the first of its slice and needs the lock.
    #[inline]
    pub(crate) fn good(&self, generation: u32, now: u64) -> bool {
        let (index, tag) = self.place(generation, now);
        let slot = &self.slots[index];
        let mut seen = slot.load(Ordering::Relaxed);
        // Not an addition: the slice may have been taken over in between, and an older generation must not
        // count in it.
        while seen >> CALL_BITS == tag {
            if seen & CALL_MASK == CALL_MASK {
                return true;
            }
            match slot.compare_exchange_weak(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Counts a call, taking its slice over from an older one where needed. Under the lock.
    pub(crate) fn add(&self, generation: u32, now: u64) {
        if !self.good(generation, now) {
            let (index, tag) = self.place(generation, now);
            self.slots[index].store(tag << CALL_BITS | 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn bad(
        &self,
        tally: &mut TimeTally,
        generation: u32,
        now: u64,
        failed: bool,
        slow: bool,
    ) {
        let (index, tag) = self.place(generation, now);
        let bad = &mut tally.0[index];
        if bad.tag != tag {
            *bad = Bad { tag, ..Bad::default() };
        }
        bad.failures += u64::from(failed);
        bad.slow += u64::from(slow);
    }

    pub(crate) fn sums(&self, tally: &TimeTally, generation: u32, now: u64) -> WindowSnapshot {
        let (_, current) = self.place(generation, now);
        let mut sums = WindowSnapshot::default();
        for (slot, bad) in self.slots.iter().zip(&tally.0) {
            let slot = slot.load(Ordering::Relaxed);
            if is_live(slot >> CALL_BITS, current) {
                sums.calls += slot & CALL_MASK;
            }
            if is_live(bad.tag, current) {
                sums.failures += bad.failures;
                sums.slow += bad.slow;
            }
        }
        sums
    }

    pub(crate) fn reset(&self, tally: &mut TimeTally) {
        *tally = TimeTally::default();
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }
}
