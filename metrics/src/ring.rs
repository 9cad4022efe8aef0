//! The last records of one stripe, in five words each.
//!
//! One thread writes at a time; others read meanwhile without a lock. A reader looks at the number of records
//! before and after, and leaves out those that may have been overwritten in between. The fences make sure
//! that a reader who sees a word of a record sees, after it, that the record before it is complete.

use crate::sync::{AtomicU64, OnceLock, Ordering::*, fence};

const WORDS: usize = 5;

/// Stands for "succeeded" where the number of an error's text would be.
pub(crate) const SUCCESS: u32 = 0;
/// Stands for "failed without a text".
pub(crate) const NO_TEXT: u32 = 1;

/// One operation, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compact {
    /// When it ended, in nanoseconds since 1970; puts the stripes in order, too.
    pub(crate) wall: u64,
    pub(crate) nanos: u64,
    pub(crate) slot: u32,
    /// [`SUCCESS`], [`NO_TEXT`], or the number of the error's text.
    pub(crate) text: u32,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl Compact {
    #[inline]
    fn pack(&self) -> [u64; WORDS] {
        let ids = u64::from(self.slot) << 32 | u64::from(self.text);
        [self.wall, self.nanos, ids, self.request_bytes, self.response_bytes]
    }

    fn unpack([wall, nanos, ids, request_bytes, response_bytes]: [u64; WORDS]) -> Self {
        Self {
            wall,
            nanos,
            slot: (ids >> 32) as u32,
            text: ids as u32,
            request_bytes,
            response_bytes,
        }
    }
}

/// Keeps the last `capacity` records.
pub(crate) struct Ring {
    capacity: usize,
    /// How many were ever written; changed by the writer alone.
    written: AtomicU64,
    /// Where the next goes; the writer's own.
    place: AtomicU64,
    /// Made when the stripe is first used: a program with one thread pays for one. There is one more than are
    /// kept, for the record that is being written.
    slots: OnceLock<Box<[[AtomicU64; WORDS]]>>,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            written: AtomicU64::new(0),
            place: AtomicU64::new(0),
            slots: OnceLock::new(),
        }
    }

    /// Adds a record; only while the stripe is held.
    #[inline]
    pub(crate) fn push(&self, record: &Compact) {
        let slots = self.slots.get_or_init(|| {
            (0..=self.capacity).map(|_| [(); WORDS].map(|()| AtomicU64::new(0))).collect()
        });
        let place = self.place.load(Relaxed) as usize;
        let Some(slot) = slots.get(place) else { return };
        fence(Release);
        for (word, value) in slot.iter().zip(record.pack()) {
            word.store(value, Relaxed);
        }
        let next = if place == self.capacity { 0 } else { place + 1 };
        self.place.store(next as u64, Relaxed);
        self.written.store(self.written.load(Relaxed) + 1, Release);
    }

    /// Copies the kept records, oldest first.
    pub(crate) fn copy(&self, into: &mut Vec<Compact>) {
        let written = self.written.load(Acquire);
        let Some(slots) = self.slots.get() else { return };
        let (len, capacity) = (slots.len() as u64, self.capacity as u64);
        let (begin, first) = (into.len(), written.saturating_sub(capacity));
        for number in first..written {
            let slot = &slots[(number % len) as usize];
            let mut words = [0; WORDS];
            for (word, value) in words.iter_mut().zip(slot) {
                *word = value.load(Relaxed);
            }
            into.push(Compact::unpack(words));
        }
        fence(Acquire);
        // The record of this number may be half written, in the place of one that is `len` older.
        let writing = self.written.load(Relaxed);
        let overwritten = (writing + 1).saturating_sub(len).saturating_sub(first);
        let copied = into.len() - begin;
        into.drain(begin..begin + copied.min(overwritten as usize));
    }
}
