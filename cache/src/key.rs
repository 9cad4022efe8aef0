//! A key and its hash, computed once.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use equivalent::Equivalent;

/// A key with its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hashed<K> {
    pub(crate) hash: u64,
    pub(crate) key: K,
}

/// A borrowed key with its hash, to look things up with.
#[derive(Debug)]
pub(crate) struct HashedRef<'a, Q: ?Sized> {
    pub(crate) hash: u64,
    pub(crate) key: &'a Q,
}

impl<K> Hashed<K> {
    pub(crate) fn borrowed(&self) -> HashedRef<'_, K> {
        HashedRef { hash: self.hash, key: &self.key }
    }
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<Q: ?Sized> Hash for HashedRef<'_, Q> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K, Q: Equivalent<K> + ?Sized> Equivalent<Hashed<K>> for HashedRef<'_, Q> {
    fn equivalent(&self, stored: &Hashed<K>) -> bool {
        self.hash == stored.hash && self.key.equivalent(&stored.key)
    }
}

impl<K, Q: Equivalent<K> + ?Sized> Equivalent<Arc<Hashed<K>>> for HashedRef<'_, Q> {
    fn equivalent(&self, stored: &Arc<Hashed<K>>) -> bool {
        self.equivalent(&**stored)
    }
}

/// Takes the hash that the key carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried;

/// See [`Carried`].
#[derive(Debug, Default)]
pub(crate) struct CarriedHasher(u64);

impl BuildHasher for Carried {
    type Hasher = CarriedHasher;
    fn build_hasher(&self) -> CarriedHasher {
        CarriedHasher::default()
    }
}

impl Hasher for CarriedHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Not reached by the two types above; a correct hasher all the same.
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_hash_are_two_keys() {
        let stored = Arc::new(Hashed { hash: 7, key: 1 });
        for (hash, key, same) in [(7, 1, true), (7, 2, false), (8, 1, false)] {
            assert_eq!(HashedRef { hash, key: &key }.equivalent(&stored), same, "{key} of {hash}");
            assert_eq!(HashedRef { hash, key: &key }.equivalent(&*stored), same, "{key} of {hash}");
        }
        let hashes = [Carried.hash_one(&stored), Carried.hash_one(stored.borrowed())];
        assert_eq!(hashes, [7, 7], "as it was carried");
    }

    /// No key of ours comes this way; whoever else does finds a hash of all its bytes.
    #[test]
    fn bytes_are_hashed_in_their_order() {
        let hash = |bytes: &[u8]| {
            let mut hasher = Carried.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        // FNV-1a from 0.
        let hashes = [b"".as_slice(), b"a", b"ab", b"ba"].map(hash);
        assert_eq!(hashes, [0, 0x6100_0000_a4d3, 0x0149_8400_0117_d8c3, 0x014d_6d00_011b_9a85]);
    }
}
