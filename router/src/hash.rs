//! One small hash, the same in every process: for lookups by id and name, and for sticky keys.
//!
//! Not hardened against chosen keys: what is stored under it comes from the configuration, never from a caller.

use std::hash::{BuildHasherDefault, Hasher};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit of `value` over all bits (the finalizer of splitmix64).
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The hash of `text`, the same on every machine.
pub(crate) fn text(text: &str) -> u64 {
    let mut state = Folded::default();
    state.write(text.as_bytes());
    mix(state.0 ^ text.len() as u64)
}

/// A step of the counter that [`mix`] turns into random numbers.
pub(crate) const STEP: u64 = GOLDEN;

/// Folds eight bytes at a time.
#[derive(Debug, Default)]
pub(crate) struct Folded(u64);

/// Builds [`Folded`] for hash maps.
pub(crate) type Folding = BuildHasherDefault<Folded>;

impl Folded {
    fn fold(&mut self, word: u64) {
        let product = (self.0 ^ word).wrapping_mul(GOLDEN);
        self.0 = product ^ (product >> 32);
    }
}

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        // The map takes its bucket from the low bits and its tag from the high ones: both must vary.
        self.0.wrapping_mul(GOLDEN)
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while let Some((word, rest)) = bytes.split_first_chunk() {
            self.fold(u64::from_le_bytes(*word));
            bytes = rest;
        }
        // The rest in two overlapping halves, because copying a few bytes costs a call.
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            self.fold(u64::from(first) << 32 | u64::from(last));
        } else {
            bytes.iter().for_each(|byte| self.fold(u64::from(*byte) | 1 << 8));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn texts_of_any_length_hash_apart() {
        let mut seen = HashSet::new();
        for length in 0..40 {
            for letter in ["a", "b", "\0"] {
                let fresh = seen.insert(text(&letter.repeat(length)));
                assert!(fresh || length == 0, "{letter} × {length}");
            }
        }
    }

    /// Sticky keys rest on it, in gateways of several versions side by side.
    #[test]
    fn the_hash_is_the_same_in_every_version() {
        // What the author of splitmix64 gets from seed 0.
        let drawn = [1, 2, 3].map(|n: u64| mix(n.wrapping_mul(STEP)));
        assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
        assert_eq!([mix(1), mix(u64::MAX)], [0x5692_161d_100b_05e5, 0xb4d0_55fc_f2cb_bd7b]);
        for (name, hash) in [
            ("", 0),
            ("a", 0x7110_6fa0_907e_c595),
            ("github", 0x015e_9092_0924_c75f),
            ("repository", 0xe043_42b4_3f35_4068),
            ("a name of twenty-one", 0x0d8b_1f5a_fac0_4dce),
        ] {
            assert_eq!(text(name), hash, "{name:?}");
        }
    }

    /// A map looks at the lowest bits first, and then at the highest seven.
    #[test]
    fn ids_and_names_spread_over_a_map() {
        let folding = Folding::default();
        let ids = (0..1_000_u32).map(|id| folding.hash_one(id)).collect();
        let names = (0..1_000).map(|n| folding.hash_one(format!("server {n}"))).collect();
        for hashes in [ids, names] {
            let hashes: Vec<u64> = hashes;
            let places: HashSet<u64> = hashes.iter().map(|hash| hash & 1_023).collect();
            let tags: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            // Thrown at random, a thousand hit 632 of 1,024 places.
            assert!(places.len() > 560, "{} places", places.len());
            assert_eq!(tags.len(), 128);
        }
        assert_ne!(folding.hash_one(("ab", "c")), folding.hash_one(("a", "bc")));
    }
}
