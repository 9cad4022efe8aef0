//! The last records of one stripe, in five words each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WORDS: usize = 5;

/// Stands for "succeeded" where the number of an error's text would be.
pub(crate) const SUCCESS: u32 = 0;
/// Stands for "failed without a text".
pub(crate) const NO_TEXT: u32 = 1;

/// One operation, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compact {
    /// When it was recorded, for putting the stripes in order.
    pub(crate) now: u64,
    /// The same for people, since 1970.
    pub(crate) wall: u64,
    pub(crate) nanos: u64,
    pub(crate) slot: u32,
    /// [`SUCCESS`], [`NO_TEXT`], or the number of the error's text.
    pub(crate) text: u32,
    /// Sizes stop at 4 GiB.
    pub(crate) request_bytes: u32,
    pub(crate) response_bytes: u32,
}

impl Compact {
    #[inline]
    fn pack(&self) -> [u64; WORDS] {
        let pair = |high, low| u64::from(high) << 32 | u64::from(low);
        let sizes = pair(self.request_bytes, self.response_bytes);
        [self.now, self.wall, self.nanos, pair(self.slot, self.text), sizes]
    }

    fn unpack([now, wall, nanos, ids, sizes]: [u64; WORDS]) -> Self {
        Self {
            now,
            wall,
            nanos,
            slot: (ids >> 32) as u32,
            text: ids as u32,
            request_bytes: (sizes >> 32) as u32,
            response_bytes: sizes as u32,
        }
    }
}

/// Keeps the last `capacity` records; written and read only by who holds the stripe.
pub(crate) struct Ring {
    capacity: usize,
    /// How many were ever written.
    written: AtomicU64,
    /// Made when the stripe is first used: a program with one thread pays for one.
    slots: OnceLock<Box<[[AtomicU64; WORDS]]>>,
    /// Where the next goes.
    place: AtomicU64,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            written: AtomicU64::new(0),
            slots: OnceLock::new(),
            place: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn push(&self, record: &Compact) {
        let slots = self.slots.get_or_init(|| {
            (0..self.capacity).map(|_| [const { AtomicU64::new(0) }; WORDS]).collect()
        });
        let place = self.place.load(Relaxed) as usize;
        if let Some(slot) = slots.get(place) {
            for (word, value) in slot.iter().zip(record.pack()) {
                word.store(value, Relaxed);
            }
        }
        let next = if place + 1 == self.capacity { 0 } else { place + 1 };
        self.place.store(next as u64, Relaxed);
        self.written.store(self.written.load(Relaxed) + 1, Relaxed);
    }

    /// How many were ever written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Copies records from the `from`-th ever written on, at most `most`; returns where to go on.
    pub(crate) fn copy(&self, from: u64, most: usize, into: &mut Vec<Compact>) -> u64 {
        let Some(slots) = self.slots.get() else { return from };
        let written = self.written();
        let first = from.max(written.saturating_sub(self.capacity as u64));
        let last = written.min(first + most as u64);
        for number in first..last {
            let slot = &slots[(number % self.capacity as u64) as usize];
            let mut words = [0; WORDS];
            for (word, value) in words.iter_mut().zip(slot) {
                *word = value.load(Relaxed);
            }
            into.push(Compact::unpack(words));
        }
        last.max(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Compact {
        Compact {
            now: number,
            wall: number + 1,
            nanos: u64::MAX - number,
            slot: 7,
            text: u32::MAX,
            request_bytes: number as u32,
            response_bytes: u32::MAX,
        }
    }

    #[test]
    fn the_last_ones_come_back_in_order_and_whole() {
        for written in [0, 1, 9, 10, 11, 25, 100] {
            let ring = Ring::new(10);
            (0..written).for_each(|number| ring.push(&record(number)));
            let mut copied = Vec::new();
            let mut from = 0;
            while from < ring.written() {
                from = ring.copy(from, 3, &mut copied);
            }
            let expected: Vec<_> = (written.saturating_sub(10)..written).map(record).collect();
            assert_eq!(copied, expected);
        }
    }
}
