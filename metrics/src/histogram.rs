//! Log-linear buckets: the arithmetic.
//!
//! Durations are counted in units of 64 ns. The first 64 buckets are one unit wide; each power of two above has
//! 32 buckets, so a bucket is never wider than 1/32 of its values, and its middle never further than 1/64
//! (1.6 %) from any of them. Coarse buckets are pairs of these: 1/32 (3.2 %).

/// Buckets of one histogram: up to 2^42 ns (73 minutes); longer ones fall into the last.
pub(crate) const BUCKETS: usize = 1024;
/// Coarse buckets, each a pair of the others.
pub(crate) const COARSE: usize = BUCKETS / 2;

const UNIT_BITS: u32 = 6;
const SUB_BITS: u32 = 5;
const SUBS: u64 = 1 << SUB_BITS;

/// Which bucket counts a duration of `nanos`.
#[inline]
pub(crate) const fn index(nanos: u64) -> usize {
    let units = nanos >> UNIT_BITS;
    if units < SUBS {
        return units as usize;
    }
    let shift = 63 - units.leading_zeros() - SUB_BITS;
    let index = ((shift as u64) << SUB_BITS) + (units >> shift);
    if index < BUCKETS as u64 { index as usize } else { BUCKETS - 1 }
}

/// The least duration that bucket `index` counts.
pub(crate) const fn lower(index: usize) -> u64 {
    let index = index as u64;
    if index < SUBS {
        return index << UNIT_BITS;
    }
    let shift = (index >> SUB_BITS) - 1;
    ((index & (SUBS - 1)) + SUBS) << shift << UNIT_BITS
}

/// The middle of bucket `index`: what its durations are taken for.
pub(crate) const fn middle(index: usize) -> u64 {
    let (low, high) = (lower(index), lower(index + 1));
    low + (high - low) / 2
}

/// The middle of coarse bucket `index`.
pub(crate) const fn coarse_middle(index: usize) -> u64 {
    let (low, high) = (lower(2 * index), lower(2 * index + 2));
    low + (high - low) / 2
}

/// Bounds of the histogram that is exported, in nanoseconds, as OpenTelemetry's conventions for MCP have them.
pub(crate) const BOUNDS: [u64; 14] = {
    const MILLI: u64 = 1_000_000;
    let millis =
        [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000];
    let mut bounds = [0; 14];
    let mut i = 0;
    while i < 14 {
        bounds[i] = millis[i] * MILLI;
        i += 1;
    }
    bounds
};

/// The exported bucket of bucket `index`: the first bound that its least duration does not exceed.
pub(crate) const fn bound(index: usize) -> usize {
    let mut bound = 0;
    while bound < BOUNDS.len() && BOUNDS[bound] < lower(index) {
        bound += 1;
    }
    bound
}

/// Buckets that a bound divides, one bit each; none is divided by two.
static DIVIDED: [u64; BUCKETS / 64] = {
    let mut divided = [0; BUCKETS / 64];
    let mut i = 0;
    while i < BOUNDS.len() {
        let index = index(BOUNDS[i]);
        divided[index / 64] |= 1 << (index % 64);
        i += 1;
    }
    divided
};

/// Whether an exported bound divides bucket `index`.
#[inline]
pub(crate) fn is_divided(index: usize) -> bool {
    DIVIDED[index / 64] >> (index % 64) & 1 == 1
}

/// The bound within bucket `index` that `nanos` exceeds.
pub(crate) fn exceeded_within(nanos: u64, index: usize) -> Option<usize> {
    let bound = bound(index);
    BOUNDS.get(bound).is_some_and(|&limit| nanos > limit).then_some(bound)
}

/// The rank of quantile `q` among `count` values in ascending order: `floor(count * q)`, at most the last.
pub(crate) fn rank(count: u64, q: f64) -> u64 {
    ((count as f64 * q) as u64).min(count.saturating_sub(1))
}

/// The bucket in which the value of `rank` lies.
pub(crate) fn find(counts: impl IntoIterator<Item = u64>, rank: u64) -> usize {
    let mut seen = 0;
    let mut last = 0;
    for (index, count) in counts.into_iter().enumerate() {
        if count > 0 {
            seen += count;
            last = index;
            if seen > rank {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gap_or_overlap() {
        for i in 0..BUCKETS - 1 {
            assert!(lower(i) < lower(i + 1));
            assert_eq!(index(lower(i)), i);
            assert_eq!(index(lower(i + 1) - 1), i);
        }
        assert_eq!(lower(BUCKETS), 1 << 42);
        for longer in [1 << 42, (1 << 42) + 1, u64::MAX] {
            assert_eq!(index(longer), BUCKETS - 1);
        }
    }

    #[test]
    fn no_bucket_is_wider_than_stated() {
        for i in 64..BUCKETS {
            let half = (lower(i + 1) - lower(i)) as f64 / 2.0;
            assert!(half <= lower(i) as f64 / 64.0);
        }
        for i in 32..COARSE {
            assert_eq!(coarse_middle(i), lower(2 * i + 1));
            let half = (lower(2 * i + 2) - lower(2 * i)) as f64 / 2.0;
            assert!(half <= lower(2 * i) as f64 / 32.0);
        }
    }

    #[test]
    fn exported_bounds_count_exactly() {
        for nanos in BOUNDS.iter().flat_map(|b| [b - 1, *b, b + 1]).chain([0, 1, u64::MAX]) {
            let expected = BOUNDS.iter().filter(|bound| nanos > **bound).count();
            let index = index(nanos);
            let divided = is_divided(index).then(|| exceeded_within(nanos, index)).flatten();
            assert_eq!(bound(index) + usize::from(divided.is_some()), expected, "{nanos}");
        }
    }

    #[test]
    fn ranks_are_floors() {
        assert_eq!(rank(1, 0.5), 0);
        assert_eq!(rank(2, 0.5), 1);
        assert_eq!(rank(100, 0.99), 99);
        assert_eq!(rank(1_000, 0.999), 999);
        assert_eq!(rank(10, 1.0), 9);
        assert_eq!(rank(0, 0.5), 0);
        assert_eq!(find([0, 2, 0, 3], 1), 1);
        assert_eq!(find([0, 2, 0, 3], 2), 3);
        assert_eq!(find([0, 2, 0, 0], 9), 1);
    }
}
