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
