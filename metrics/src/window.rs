//! Rolling windows: slices of time, each a coarse histogram.
//!
//! The counters of a server only ever grow. Each five seconds, what they grew by is added to the current slice
//! of three rings: twelve slices of 5 s, ten of 30 s, twelve of 5 min.

use serde::{Deserialize, Serialize};
use toolweir_core::Instant;

use crate::histogram::COARSE;
use crate::statistics::Summary;

/// Over which operations figures are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Window {
    /// The last records that are kept ([`Config::max_records`](crate::Config::max_records)); exact.
    Records,
    /// The last minute, in steps of 5 s; percentiles within 3.2 %.
    Minute,
    /// The last five minutes, in steps of 30 s; percentiles within 3.2 %.
    FiveMinutes,
    /// The last hour, in steps of 5 min; percentiles within 3.2 %.
    Hour,
    /// Since the recorder was made; percentiles within 1.6 %.
    Lifetime,
}

const SECOND: u64 = 1_000_000_000;
/// How often counters are looked at.
pub(crate) const STEP: u64 = 5 * SECOND;

/// A server's counters at one moment.
pub(crate) struct Totals {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) sum: u64,
    pub(crate) counts: [u64; COARSE],
}

impl Totals {
    pub(crate) const fn zero() -> Self {
        Self { ok: 0, failed: 0, sum: 0, counts: [0; COARSE] }
    }
}

/// What happened in one stretch of time.
struct Slice {
    /// Which stretch, counted from the origin of time.
    number: u64,
    ok: u64,
    failed: u64,
    sum: u64,
    counts: [u32; COARSE],
}

struct Tier {
    width: u64,
    slices: Box<[Slice]>,
}

impl Tier {
    fn new(width: u64, slices: usize) -> Self {
        let empty = || Slice { number: 0, ok: 0, failed: 0, sum: 0, counts: [0; COARSE] };
        Self { width, slices: (0..slices).map(|_| empty()).collect() }
    }

    /// The slice in which `at` lies, emptied where it held an older stretch.
    fn slice(&mut self, at: Instant) -> &mut Slice {
        let number = at.as_nanos() / self.width;
        let place = (number % self.slices.len() as u64) as usize;
        let slice = &mut self.slices[place];
        if slice.number != number {
            (slice.number, slice.ok, slice.failed, slice.sum) = (number, 0, 0, 0);
            slice.counts.fill(0);
        }
        slice
    }

    fn read(&self, now: Instant, into: &mut Summary) {
        let current = now.as_nanos() / self.width;
        let live = current.saturating_sub(self.slices.len() as u64 - 1)..=current;
        for slice in self.slices.iter().filter(|slice| live.contains(&slice.number)) {
            into.ok += slice.ok;
            into.failed += slice.failed;
            into.sum = into.sum.saturating_add(slice.sum);
            for (sum, count) in into.counts.iter_mut().zip(&slice.counts) {
                *sum += u64::from(*count);
            }
        }
    }
}

/// The rolling windows of one server.
pub(crate) struct Rolling {
    since: Instant,
    last: Totals,
    tiers: [Tier; 3],
}

impl Rolling {
    pub(crate) fn new(now: Instant) -> Box<Self> {
        let tiers = [Tier::new(STEP, 12), Tier::new(30 * SECOND, 10), Tier::new(300 * SECOND, 12)];
        Box::new(Self { since: now, last: Totals::zero(), tiers })
    }

    /// Adds what `totals` grew by since the last time to the slices of that time; returns when to come again.
    ///
    /// Right as long as this is called before the first operation of each step is counted.
    pub(crate) fn roll(&mut self, totals: Totals, now: Instant) -> Instant {
        let (ok, failed) = (grown(totals.ok, self.last.ok), grown(totals.failed, self.last.failed));
        if ok + failed > 0 {
            let sum = grown(totals.sum, self.last.sum);
            for tier in &mut self.tiers {
                let slice = tier.slice(self.since);
                slice.ok += ok;
                slice.failed += failed;
                slice.sum = slice.sum.saturating_add(sum);
                let deltas = totals.counts.iter().zip(&self.last.counts);
                for (count, (new, old)) in slice.counts.iter_mut().zip(deltas) {
                    let delta = u32::try_from(grown(*new, *old)).unwrap_or(u32::MAX);
                    *count = count.saturating_add(delta);
                }
            }
            self.last = totals;
        }
        self.since = self.since.max(now);
        Instant::from_nanos((self.since.as_nanos() / STEP + 1) * STEP)
    }

    /// Adds up the slices of one of the three windows.
    pub(crate) fn read(&self, window: Window, now: Instant, into: &mut Summary) {
        let now = now.max(self.since);
        match window {
            Window::Minute => self.tiers[0].read(now, into),
            Window::FiveMinutes => self.tiers[1].read(now, into),
            Window::Hour => self.tiers[2].read(now, into),
            Window::Records | Window::Lifetime => {}
        }
    }
}

/// Counters are read while they are written, so one may lag behind another; none ever shrinks.
fn grown(new: u64, old: u64) -> u64 {
    new.saturating_sub(old)
}
