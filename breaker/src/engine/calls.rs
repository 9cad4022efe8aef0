//! The last n calls, exactly.

use super::sync::{AtomicU64, Ordering};
use crate::WindowSnapshot;

/// A ring of the last n calls. A good call takes a position and looks at its slot; only bad calls, and good
/// ones that push a bad one out, write a slot, and they hold the machine's lock.
#[derive(Debug)]
pub(crate) struct CallWindow {
    /// Generation (16 bits) and the next position (48).
    cursor: AtomicU64,
    /// A bad call's position and what was wrong with it; 0 for a good one.
    slots: Box<[AtomicU64]>,
}

/// Bad calls in the ring.
#[derive(Debug, Default)]
pub(crate) struct CallTally {
    failures: u64,
    slow: u64,
}

const POSITION_BITS: u32 = 48;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

const FAILED: u64 = 1;
const SLOW: u64 = 2;
/// Tells a slot in use from an empty one.
const USED: u64 = 4;
const FLAG_BITS: u32 = 3;

impl CallWindow {
    pub(crate) fn new(calls: usize) -> Self {
        Self { cursor: AtomicU64::new(0), slots: (0..calls).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts a good call; returns its position where a bad call is to be evicted from there.
    #[inline]
    pub(crate) fn good(&self, generation: u32) -> Option<u64> {
        let position = self.advance(generation)?;
        // Sequentially consistent with `bad`: either this sees the slot that `bad` has just written, or `bad`
        // sees that the cursor has passed it.
        (self.slot(position).load(Ordering::SeqCst) != 0).then_some(position)
    }

    /// Takes the next position; `None` where the generation has passed.
    #[inline]
    fn advance(&self, generation: u32) -> Option<u64> {
        let mut cursor = self.cursor.load(Ordering::Acquire);
        loop {
            if cursor >> POSITION_BITS != u64::from(generation & 0xFFFF) {
                return None;
            }
            let next = (cursor & !POSITION_MASK) | (cursor.wrapping_add(1) & POSITION_MASK);
            match self.cursor.compare_exchange_weak(
                cursor,
                next,
                Ordering::SeqCst,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(cursor & POSITION_MASK),
                Err(seen) => cursor = seen,
            }
        }
    }

    fn slot(&self, position: u64) -> &AtomicU64 {
        &self.slots[(position % self.slots.len() as u64) as usize]
    }

    pub(crate) fn bad(&self, tally: &mut CallTally, generation: u32, failed: bool, slow: bool) {
        let Some(position) = self.advance(generation) else { return };
        self.evict(tally, position);
        let flags = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 } | USED;
        self.slot(position).store(position << FLAG_BITS | flags, Ordering::SeqCst);
        tally.failures += u64::from(failed);
        tally.slow += u64::from(slow);
        let passed = (self.cursor.load(Ordering::SeqCst) & POSITION_MASK).wrapping_sub(position)
            & POSITION_MASK;
        if passed > self.slots.len() as u64 {
            self.evict(tally, position + self.slots.len() as u64);
        }
    }

    /// Empties the slot of `position` where an older call lies there.
    pub(crate) fn evict(&self, tally: &mut CallTally, position: u64) {
        let slot = self.slot(position);
        let old = slot.load(Ordering::SeqCst);
        let newer = (old >> FLAG_BITS).wrapping_sub(position) & POSITION_MASK <= POSITION_MASK / 2;
        if old != 0 && !newer {
            slot.store(0, Ordering::SeqCst);
            tally.failures -= old & FAILED;
            tally.slow -= (old & SLOW) >> 1;
        }
    }

    pub(crate) fn sums(&self, tally: &CallTally) -> WindowSnapshot {
        let position = self.cursor.load(Ordering::Acquire) & POSITION_MASK;
        let calls = position.min(self.slots.len() as u64);
        WindowSnapshot { calls, failures: tally.failures, slow: tally.slow }
    }

    /// Empties the ring; verdicts of other generations find no position from here on.
    pub(crate) fn reset(&self, tally: &mut CallTally, generation: u32) {
        *tally = CallTally::default();
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
        self.cursor.store(u64::from(generation & 0xFFFF) << POSITION_BITS, Ordering::SeqCst);
    }
}

// Not on loom's atomics, which work only inside of a schedule.
#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_overtaken_evicts_no_newer_one() {
        let (window, mut tally) = (CallWindow::new(2), CallTally::default());
        assert_eq!((window.good(0), window.good(0)), (None, None));
        window.bad(&mut tally, 0, true, false); // position 2, in the slot of position 0
        window.evict(&mut tally, 0);
        assert_eq!(window.sums(&tally).failures, 1);
        window.evict(&mut tally, 4);
        assert_eq!(window.sums(&tally).failures, 0);
    }
}
