//! How much was answered well, and when.

use std::time::Duration;

/// How many slices of time are told apart; what comes later counts into the last.
const SLICES_MAX: usize = 100_000;

/// What is enough.
const ENOUGH: f64 = 0.95;

/// Counts by slices of time; times are told from one beginning.
#[derive(Clone, Debug)]
pub(crate) struct Goodput {
    slice: Duration,
    /// How many ended, and how many of them well.
    slices: Vec<(u64, u64)>,
}

impl Goodput {
    pub(crate) fn new(slice: Duration) -> Self {
        Self { slice, slices: Vec::new() }
    }

    /// Something that was begun at `at` ended, well or not.
    pub(crate) fn record(&mut self, at: Duration, is_good: bool) {
        let slice = self.slice(at);
        if self.slices.len() <= slice {
            self.slices.resize(slice + 1, (0, 0));
        }
        let (all, good) = &mut self.slices[slice];
        *all += 1;
        *good += u64::from(is_good);
    }

    /// Adds what another has counted in slices of the same length.
    pub(crate) fn add(&mut self, other: &Self) {
        let length = self.slices.len().max(other.slices.len());
        self.slices.resize(length, (0, 0));
        for (own, (all, good)) in self.slices.iter_mut().zip(&other.slices) {
            own.0 += all;
            own.1 += good;
        }
    }

    /// The share that ended well of all that began in this time; `None` where nothing did.
    pub(crate) fn share(&self, from: Duration, to: Duration) -> Option<f64> {
        let (first, end) = (self.slice(from), self.slice(to).min(self.slices.len()));
        let slices = self.slices.get(first..end)?;
        let sum = slices.iter().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        (sum.0 > 0).then(|| sum.1 as f64 / sum.0 as f64)
    }

    /// How long after `healed` it was until, slice by slice, enough ended well and did so until `to`.
    pub(crate) fn back(&self, healed: Duration, to: Duration) -> Option<Duration> {
        let (first, end) = (self.slice(healed), self.slice(to).min(self.slices.len()));
        let is_enough = |(all, good): &(u64, u64)| *all > 0 && *good as f64 >= ENOUGH * *all as f64;
        let last_bad = self.slices.get(first..end)?.iter().rposition(|slice| !is_enough(slice));
        let slices = u32::try_from(last_bad.map_or(0, |at| at + 1)).ok()?;
        (first + (slices as usize) < end).then(|| self.slice * slices)
    }

    fn slice(&self, at: Duration) -> usize {
        let slice = at.as_nanos() / self.slice.as_nanos().max(1);
        usize::try_from(slice).unwrap_or(usize::MAX).min(SLICES_MAX)
    }
}
