//! The buckets of many keys, in bounded memory.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{DefaultHashBuilder, HashTable};
use toolweir_core::Instant;

use crate::rate::Rate;
use crate::shared::Shared;

/// How many keys a shard holds: few enough that growing one takes well under a millisecond.
const KEYS_PER_SHARD: usize = 1_024;

/// How many places an eviction looks at.
const SAMPLE: usize = 16;

/// A bucket a key, at most so many keys.
///
/// A bucket whose full time has passed is as good as a new one, so it is dropped when the table would grow.
/// Beyond the bound the key that would be full soonest gives way, and its full time becomes the *floor* from
/// which unknown keys of that shard begin. So a key that was evicted and comes back has never more than it
/// had, and a flood of keys costs newcomers the little that the emptiest key had used.
pub(crate) struct Table<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: DefaultHashBuilder,
    rate: Rate,
    max_keys: usize,
    keys: AtomicUsize,
}

struct Shard<K> {
    entries: HashTable<Entry<K>>,
    /// The full time of every key that is not in `entries`.
    floor: u64,
    /// Where the next eviction begins to look.
    hand: usize,
}

struct Entry<K> {
    key: K,
    full_at: u64,
    /// The bucket instead of `full_at`, while somebody waits for it.
    shared: Option<Arc<Shared>>,
}

impl<K> Entry<K> {
    /// Goes back to the plain form where nobody waits any more. Returns whether it has that form.
    fn settle(&mut self) -> bool {
        if let Some(shared) = &mut self.shared {
            // Only turns hold it besides this entry, so it stays unique while the shard is locked.
            let Some(shared) = Arc::get_mut(shared) else { return false };
            self.full_at = shared.full_at();
            self.shared = None;
        }
        true
    }
}

/// Where a key's bucket is.
pub(crate) enum Place<'a> {
    /// The key's own full time, with nobody waiting.
    Plain(&'a mut u64),
    /// The key's bucket, with a line before it.
    Shared(&'a Arc<Shared>),
}

impl<K> Table<K> {
    pub(crate) fn new(rate: Rate, max_keys: usize) -> Self {
        let shards = (max_keys / KEYS_PER_SHARD).next_power_of_two();
        let shard = || Mutex::new(Shard { entries: HashTable::new(), floor: 0, hand: 0 });
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            hasher: DefaultHashBuilder::default(),
            rate,
            max_keys,
            keys: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub(crate) fn rate(&self) -> &Rate {
        &self.rate
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K>> {
        // The table below uses the lowest and the highest seven bits.
        let place = (hash >> 32) as usize & (self.shards.len() - 1);
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Table<K> {
    /// Lets `step` read and change the full time of `key`, or take the shared bucket in its stead.
    ///
    /// A key without a bucket gets one only where `step` succeeds. `None` where there is no room for it, and
    /// then what `step` took is charged to every unknown key.
    #[inline]
    pub(crate) fn with<Q, T, E>(
        &self,
        key: &Q,
        now: Instant,
        step: impl FnOnce(Place<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some(entry) = shard.entries.find_mut(hash, |entry| entry.key.borrow() == key) {
            return step(match &entry.shared {
                None => Place::Plain(&mut entry.full_at),
                Some(shared) => Place::Shared(shared),
            });
        }
        let mut full_at = shard.floor;
        let answer = step(Place::Plain(&mut full_at))?;
        self.insert(&mut shard, hash, key, full_at, now);
        Ok(answer)
    }

    /// The shared bucket of `key`, made so where it is not; `None` where there is no room for the key.
    pub(crate) fn shared<Q>(&self, key: &Q, now: Instant) -> Option<Arc<Shared>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        let is_key = |entry: &Entry<K>| entry.key.borrow() == key;
        if shard.entries.find(hash, is_key).is_none() {
            let floor = shard.floor;
            self.insert(&mut shard, hash, key, floor, now);
        }
        let entry = shard.entries.find_mut(hash, is_key)?;
        let full_at = entry.full_at;
        let shared =
            entry.shared.get_or_insert_with(|| Arc::new(Shared::new(self.rate.clone(), full_at)));
        Some(Arc::clone(shared))
    }

    /// What `look` makes of the key's full time.
    pub(crate) fn peek<Q, T>(&self, key: &Q, look: impl FnOnce(u64) -> T) -> T
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash);
        look(match shard.entries.find(hash, |entry| entry.key.borrow() == key) {
            None => shard.floor,
            Some(Entry { shared: None, full_at, .. }) => *full_at,
            Some(Entry { shared: Some(shared), .. }) => shared.full_at(),
        })
    }

    /// Puts the key's full time back to what it was before a take that nothing has come after.
    pub(crate) fn undo<Q>(&self, key: &Q, (before, after): (u64, u64))
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        match shard.entries.find_mut(hash, |entry| entry.key.borrow() == key) {
            Some(Entry { shared: Some(shared), .. }) => shared.undo((before, after)),
            Some(entry) if entry.full_at == after => entry.full_at = before,
            _ => {}
        }
    }

    /// Adds a key that is not there, or raises the floor where there is no room.
    #[cold]
    fn insert<Q>(&self, shard: &mut Shard<K>, hash: u64, key: &Q, full_at: u64, now: Instant)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        if shard.entries.len() == shard.entries.capacity() {
            let before = shard.entries.len();
            shard.entries.retain(|entry| !(entry.settle() && entry.full_at <= now.as_nanos()));
            self.keys.fetch_sub(before - shard.entries.len(), Ordering::Relaxed);
            if self.keys.load(Ordering::Relaxed) >= self.max_keys {
                shard.sweep(|key| self.hasher.hash_one(key));
            }
        }
        if self.keys.fetch_add(1, Ordering::Relaxed) >= self.max_keys {
            // The new key takes the place of another, or gets none.
            self.keys.fetch_sub(1, Ordering::Relaxed);
            if !shard.evict(now) {
                shard.floor = shard.floor.max(full_at);
                return;
            }
        }
        let entry = Entry { key: key.to_owned(), full_at, shared: None };
        shard.entries.insert_unique(hash, entry, |entry| self.hasher.hash_one(&entry.key));
    }
}

impl<K> Shard<K> {
    /// Frees the places of evicted keys. They count as taken until then, and a table that has no other places left
    /// would double although it holds no more keys than before.
    fn sweep(&mut self, hash: impl Fn(&K) -> u64) {
        let kept: Vec<Entry<K>> = self.entries.drain().collect();
        for entry in kept {
            self.entries.insert_unique(hash(&entry.key), entry, |entry| hash(&entry.key));
        }
    }

    /// Drops the key that is full soonest among a few. Returns whether one could be dropped.
    fn evict(&mut self, now: Instant) -> bool {
        let places = self.entries.num_buckets();
        let mut seen = 0;
        let mut victim: Option<(usize, u64)> = None;
        for _ in 0..places {
            self.hand = if self.hand + 1 < places { self.hand + 1 } else { 0 };
            let Some(entry) = self.entries.get_bucket_mut(self.hand) else { continue };
            seen += 1;
            if entry.settle() && victim.is_none_or(|(_, full_at)| entry.full_at < full_at) {
                victim = Some((self.hand, entry.full_at));
            }
            let idle = victim.is_some_and(|(_, full_at)| full_at <= now.as_nanos());
            if idle || (seen >= SAMPLE && victim.is_some()) {
                break;
            }
        }
        let Some((place, full_at)) = victim else { return false };
        let Ok(entry) = self.entries.get_bucket_entry(place) else { return false };
        entry.remove();
        self.floor = self.floor.max(full_at);
        true
    }
}

impl<K> fmt::Debug for Table<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("keys", &self.len())
            .field("max_keys", &self.max_keys)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}
