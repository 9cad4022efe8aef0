//! What is counted of an operation and of a server, a share for each stripe.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::histogram::{self, BOUNDS, BUCKETS, COARSE};
use crate::statistics::Summary;
use crate::stripe::STRIPES;
use crate::window::Totals;

/// Adds to a counter that only the holder of its stripe writes.
#[inline]
fn add(counter: &AtomicU64, value: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(value), Relaxed);
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

/// One stripe's share of an operation's figures. How many there were is the sum of the counts.
#[repr(align(128))]
pub(crate) struct Cell {
    failed: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    counts: [AtomicU64; BUCKETS],
    /// Of each bucket that an exported bound divides, how many lie above the bound.
    above: [AtomicU64; BOUNDS.len()],
}

impl Cell {
    fn new() -> Box<Self> {
        Box::new(Self {
            failed: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            counts: zeros(),
            above: zeros(),
        })
    }

    /// Counts one operation; only while the stripe is held.
    #[inline]
    pub(crate) fn count(&self, nanos: u64, index: usize, success: bool) {
        add(&self.counts[index], 1);
        add(&self.sum, nanos);
        if nanos < self.min.load(Relaxed) {
            self.min.store(nanos, Relaxed);
        }
        if nanos > self.max.load(Relaxed) {
            self.max.store(nanos, Relaxed);
        }
        if histogram::is_divided(index) {
            self.count_divided(nanos, index);
        }
        if !success {
            add(&self.failed, 1);
        }
    }

    #[cold]
    #[inline(never)]
    fn count_divided(&self, nanos: u64, index: usize) {
        if let Some(bound) = histogram::exceeded_within(nanos, index) {
            add(&self.above[bound], 1);
        }
    }

    fn read(&self, into: &mut Summary) {
        let failed = self.failed.load(Relaxed);
        let mut total = 0;
        for (sum, count) in into.counts.iter_mut().zip(&self.counts) {
            let count = count.load(Relaxed);
            *sum += count;
            total += count;
        }
        into.ok += total.saturating_sub(failed);
        into.failed += failed;
        into.sum = into.sum.saturating_add(self.sum.load(Relaxed));
        let (min, max) = (self.min.load(Relaxed), self.max.load(Relaxed));
        if min <= max {
            let (least, most) = into.extremes.unwrap_or((min, max));
            into.extremes = Some((least.min(min), most.max(max)));
        }
    }
}

/// One stripe's share of a server's figures: what the rolling windows are made of.
#[repr(align(128))]
pub(crate) struct ServerCell {
    failed: AtomicU64,
    sum: AtomicU64,
    counts: [AtomicU64; COARSE],
}

impl ServerCell {
    fn new() -> Box<Self> {
        Box::new(Self { failed: AtomicU64::new(0), sum: AtomicU64::new(0), counts: zeros() })
    }

    /// Counts one operation; only while the stripe is held.
    #[inline]
    pub(crate) fn count(&self, nanos: u64, index: usize, success: bool) {
        add(&self.counts[index / 2], 1);
        add(&self.sum, nanos);
        if !success {
            add(&self.failed, 1);
        }
    }
}

/// The figures of one operation, a cell for each stripe that ever counted it.
pub(crate) struct Cells([OnceLock<Box<Cell>>; STRIPES]);

impl Cells {
    pub(crate) fn new() -> Self {
        Self([const { OnceLock::new() }; STRIPES])
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

    /// The exported histogram: sum in nanoseconds and, for each bound, how many lie between it and the one
    /// before.
    #[cfg(feature = "prometheus")]
    pub(crate) fn bounds(&self) -> (u64, [u64; BOUNDS.len() + 1]) {
        let mut sum = 0_u64;
        let mut counts = [0_u64; BOUNDS.len() + 1];
        for cell in self.live() {
            sum = sum.wrapping_add(cell.sum.load(Relaxed));
            for (index, count) in cell.counts.iter().enumerate() {
                counts[histogram::bound(index)] += count.load(Relaxed);
            }
            for (bound, above) in cell.above.iter().enumerate() {
                let above = above.load(Relaxed).min(counts[bound]);
                counts[bound] -= above;
                counts[bound + 1] += above;
            }
        }
        (sum, counts)
    }
}

/// The figures of one server, a cell for each stripe that ever counted it.
pub(crate) struct ServerCells([OnceLock<Box<ServerCell>>; STRIPES]);

impl ServerCells {
    pub(crate) fn new() -> Self {
        Self([const { OnceLock::new() }; STRIPES])
    }

    #[inline]
    pub(crate) fn of(&self, stripe: usize) -> &ServerCell {
        self.0[stripe].get_or_init(ServerCell::new)
    }

    fn live(&self) -> impl Iterator<Item = &ServerCell> {
        self.0.iter().filter_map(|cell| cell.get().map(|cell| &**cell))
    }

    /// How many operations were counted.
    pub(crate) fn total(&self) -> u64 {
        self.live().flat_map(|cell| &cell.counts).map(|count| count.load(Relaxed)).sum()
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::zero();
        let mut total = 0;
        for cell in self.live() {
            totals.failed += cell.failed.load(Relaxed);
            totals.sum = totals.sum.wrapping_add(cell.sum.load(Relaxed));
            for (sum, count) in totals.counts.iter_mut().zip(&cell.counts) {
                let count = count.load(Relaxed);
                *sum += count;
                total += count;
            }
        }
        totals.ok = total.saturating_sub(totals.failed);
        totals
    }
}
