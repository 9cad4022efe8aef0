//! Counting what happens.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a cache has done since it was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Answered from the store, in time.
    pub hits: u64,
    /// Not found: a fetch was begun, or a plain `get` found nothing.
    pub misses: u64,
    /// Shared a fetch that another caller had begun.
    pub coalesced: u64,
    /// Answered from the store, past the entry's time.
    pub stale: u64,
    /// Answered with a remembered failure.
    pub negative: u64,
    /// Fetches that failed or panicked.
    pub failures: u64,
    /// Refused because too many callers waited for one fetch.
    pub refused: u64,
    /// Values stored.
    pub stored: u64,
    /// Entries held now, with those that are out of date and not yet dropped.
    pub entries: u64,
    /// Bytes held now, likewise, as weighed.
    pub bytes: u64,
    /// Fetches under way now.
    pub in_flight: usize,
    /// Groups known now.
    pub groups: usize,
    /// Found by the further tier; counted as misses, too.
    pub tier_hits: u64,
    /// Not found by the further tier either.
    pub tier_misses: u64,
    /// How often the further tier failed, was late or panicked.
    pub tier_failures: u64,
    /// Values that were not written to the further tier, since it rested or too much waited.
    pub tier_dropped: u64,
    /// What the further tier is still to be told.
    pub tier_pending: usize,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Hit,
    Miss,
    Coalesced,
    Stale,
    Negative,
    Failure,
    Refused,
    Stored,
}

const COUNTS: usize = 8;
const STRIPES: usize = 8;

/// One counter of each sort on its own cache lines, so that threads do not write the same ones.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Stripe([AtomicU64; COUNTS]);

/// The counters of one cache.
#[derive(Debug, Default)]
pub(crate) struct Counters([Stripe; STRIPES]);

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    MINE.try_with(|mine| *mine).unwrap_or(0) // no thread-locals while a thread ends
}

impl Counters {
    pub(crate) fn add(&self, count: Count) {
        self.0[stripe()].0[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn sum(&self, count: Count) -> u64 {
        self.0.iter().map(|stripe| stripe.0[count as usize].load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            hits: self.sum(Count::Hit),
            misses: self.sum(Count::Miss),
            coalesced: self.sum(Count::Coalesced),
            stale: self.sum(Count::Stale),
            negative: self.sum(Count::Negative),
            failures: self.sum(Count::Failure),
            refused: self.sum(Count::Refused),
            stored: self.sum(Count::Stored),
            ..Stats::default()
        }
    }
}
