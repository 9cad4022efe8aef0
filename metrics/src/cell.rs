//! What is counted, in stripes.
//!
//! One atomic swap takes a stripe; all that one operation changes is then written with plain loads and stores.
//! A thread keeps to its own stripe, so two threads share no cache line; where its stripe is taken it uses
//! the next one. Counting with an atomic addition for each counter costs four times as much.

use std::cell::Cell as ThreadCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};

use crate::histogram::{self, BOUNDS, BUCKETS, COARSE};
use crate::ring::Ring;
use crate::statistics::Summary;
use crate::window::Totals;

/// Adds to a counter that only the holder of its stripe writes.
fn add(counter: &AtomicU64, value: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(value), Relaxed);
}

/// One stripe's share of an operation's figures.
pub(crate) struct Cell {
    ok: AtomicU64,
    failed: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    bounds: [AtomicU64; BOUNDS.len() + 1],
    counts: [AtomicU64; BUCKETS],
}

impl Cell {
    fn new() -> Box<Self> {
        Box::new(Self {
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            bounds: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            counts: [const { AtomicU64::new(0) }; BUCKETS],
        })
    }

    /// Counts one operation; only while the stripe is held.
    #[inline]
    pub(crate) fn count(&self, nanos: u64, success: bool) {
        let index = histogram::index(nanos);
        add(if success { &self.ok } else { &self.failed }, 1);
        add(&self.sum, nanos);
        add(&self.bounds[histogram::bound(nanos, index)], 1);
        add(&self.counts[index], 1);
        if nanos < self.min.load(Relaxed) {
            self.min.store(nanos, Relaxed);
        }
        if nanos > self.max.load(Relaxed) {
            self.max.store(nanos, Relaxed);
        }
    }

    fn read(&self, into: &mut Summary) {
        into.ok += self.ok.load(Relaxed);
        into.failed += self.failed.load(Relaxed);
        into.sum = into.sum.saturating_add(self.sum.load(Relaxed));
        let (min, max) = (self.min.load(Relaxed), self.max.load(Relaxed));
        if min <= max {
            let (least, most) = into.extremes.unwrap_or((min, max));
            into.extremes = Some((least.min(min), most.max(max)));
        }
        for (sum, count) in into.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Relaxed);
        }
    }
}

/// One stripe's share of a server's figures: what the rolling windows are made of.
pub(crate) struct ServerCell {
    ok: AtomicU64,
    failed: AtomicU64,
    sum: AtomicU64,
    counts: [AtomicU64; COARSE],
}

impl ServerCell {
    fn new() -> Box<Self> {
        Box::new(Self {
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            counts: [const { AtomicU64::new(0) }; COARSE],
        })
    }

    /// Counts one operation; only while the stripe is held.
    #[inline]
    pub(crate) fn count(&self, nanos: u64, success: bool) {
        add(if success { &self.ok } else { &self.failed }, 1);
        add(&self.sum, nanos);
        add(&self.counts[histogram::index(nanos) / 2], 1);
    }
}

/// The figures of one operation, a cell for each stripe that ever counted it.
pub(crate) struct Cells(Box<[OnceLock<Box<Cell>>]>);

impl Cells {
    pub(crate) fn new(stripes: usize) -> Self {
        Self((0..stripes).map(|_| OnceLock::new()).collect())
    }

    #[inline]
    pub(crate) fn of(&self, stripe: usize) -> &Cell {
        self.0[stripe].get_or_init(Cell::new)
    }

    fn live(&self) -> impl Iterator<Item = &Cell> {
        self.0.iter().filter_map(|cell| cell.get().map(|cell| &**cell))
    }

    pub(crate) fn read(&self, into: &mut Summary) {
        self.live().for_each(|cell| cell.read(into));
    }

    /// The exported histogram: sum in nanoseconds and counts up to each bound.
    #[cfg(feature = "prometheus")]
    pub(crate) fn bounds(&self) -> (u64, [u64; BOUNDS.len() + 1]) {
        let mut sum = 0_u64;
        let mut counts = [0; BOUNDS.len() + 1];
        for cell in self.live() {
            sum = sum.wrapping_add(cell.sum.load(Relaxed));
            for (total, count) in counts.iter_mut().zip(&cell.bounds) {
                *total += count.load(Relaxed);
            }
        }
        (sum, counts)
    }
}

/// The figures of one server, a cell for each stripe that ever counted it.
pub(crate) struct ServerCells(Box<[OnceLock<Box<ServerCell>>]>);

impl ServerCells {
    pub(crate) fn new(stripes: usize) -> Self {
        Self((0..stripes).map(|_| OnceLock::new()).collect())
    }

    #[inline]
    pub(crate) fn of(&self, stripe: usize) -> &ServerCell {
        self.0[stripe].get_or_init(ServerCell::new)
    }

    /// How many operations were counted.
    pub(crate) fn total(&self) -> u64 {
        let cells = self.0.iter().filter_map(|cell| cell.get());
        cells.map(|cell| cell.ok.load(Relaxed) + cell.failed.load(Relaxed)).sum()
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::zero();
        for cell in self.0.iter().filter_map(|cell| cell.get()) {
            totals.ok += cell.ok.load(Relaxed);
            totals.failed += cell.failed.load(Relaxed);
            totals.sum = totals.sum.wrapping_add(cell.sum.load(Relaxed));
            for (sum, count) in totals.counts.iter_mut().zip(&cell.counts) {
                *sum += count.load(Relaxed);
            }
        }
        totals
    }
}

/// The stripes of one recorder.
pub(crate) struct Stripes(Box<[Stripe]>);

/// Two cache lines, since processors fetch them in pairs.
#[repr(align(128))]
struct Stripe {
    taken: AtomicBool,
    ring: Ring,
}

impl Stripes {
    /// As many as threads run at once, at most eight.
    pub(crate) fn new(records: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let stripe = || Stripe { taken: AtomicBool::new(false), ring: Ring::new(records) };
        Self((0..threads.next_power_of_two().min(8)).map(|_| stripe()).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the thread's own stripe, or where that is taken, any that is free.
    #[inline]
    pub(crate) fn take(&self) -> Turn<'_> {
        let mut index = own();
        let mut misses = 0;
        loop {
            index &= self.0.len() - 1;
            if let Some(turn) = self.try_take(index) {
                return turn;
            }
            index += 1;
            misses += 1;
            // A holder does a few stores and leaves; where all are taken, one of them lost its processor.
            if misses % self.0.len() == 0 {
                std::thread::yield_now();
            }
        }
    }

    /// Takes this stripe.
    pub(crate) fn take_at(&self, index: usize) -> Turn<'_> {
        loop {
            if let Some(turn) = self.try_take(index) {
                return turn;
            }
            std::thread::yield_now();
        }
    }

    #[inline]
    fn try_take(&self, index: usize) -> Option<Turn<'_>> {
        let stripe = &self.0[index];
        (!stripe.taken.swap(true, Acquire)).then_some(Turn { index, stripe })
    }
}

/// The right to write one stripe; given back on drop.
pub(crate) struct Turn<'a> {
    pub(crate) index: usize,
    stripe: &'a Stripe,
}

impl Turn<'_> {
    pub(crate) fn ring(&self) -> &Ring {
        &self.stripe.ring
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.stripe.taken.store(false, Release);
    }
}

/// The number of the calling thread's stripe, dealt out in turn.
#[inline]
fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static OWN: ThreadCell<usize> = const { ThreadCell::new(usize::MAX) } }
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed) & 0xFFFF);
        }
        own.get()
    })
}
