//! The fetches under way, by key.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::Failure;
use crate::flight::{Flight, NotJoined, Waiter};
use crate::key::{Hashed, HashedRef};
use crate::slot::Slot;

/// A value as it reaches those who waited.
#[derive(Clone, Debug)]
pub(crate) struct Landed<V> {
    pub(crate) value: V,
    /// Another fetch had stored it in the meantime.
    pub(crate) stored_before: bool,
    /// Only whoever began the fetch may have it.
    pub(crate) unshared: bool,
}

pub(crate) type Outcome<V> = Result<Landed<V>, Failure>;

/// At most one current fetch a key.
pub(crate) struct Flights<K, V> {
    shards: Box<[Shard<K, V>]>,
    ids: AtomicU64,
}

struct Shard<K, V> {
    /// How many flights have ended: tells whether a look into the store from before is out of date.
    ended: AtomicU64,
    table: Mutex<HashTable<InFlight<K, V>>>,
}

struct InFlight<K, V> {
    id: u64,
    key: Arc<Hashed<K>>,
    slot: Arc<Slot<K, V>>,
    flight: Arc<Flight<Outcome<V>>>,
}

/// How a caller gets on.
pub(crate) enum Boarded<V: Clone + Send + Sync + 'static> {
    /// It began the flight.
    Leads(Waiter<Outcome<V>>),
    /// It waits for a flight that another began.
    Follows(Waiter<Outcome<V>>),
    /// Too many wait.
    Full,
}

/// A new flight's name in the table, and whether the store must be asked once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) id: u64,
    pub(crate) ask_again: bool,
}

const SHARDS: usize = 64;

impl<K: Eq, V: Clone + Send + Sync + 'static> Flights<K, V> {
    pub(crate) fn new() -> Self {
        let shard = || Shard { ended: AtomicU64::new(0), table: Mutex::default() };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), ids: AtomicU64::new(0) }
    }

    fn shard(&self, hash: u64) -> &Shard<K, V> {
        // The table below uses the hash's ends; the middle chooses the shard.
        &self.shards[(hash >> 24) as usize % SHARDS]
    }

    /// To be read before the store is asked, and handed to [`board`](Self::board).
    pub(crate) fn ended(&self, hash: u64) -> u64 {
        self.shard(hash).ended.load(Ordering::Acquire)
    }

    /// Joins the current flight of `key`, or begins one.
    pub(crate) fn board(
        &self,
        key: &Hashed<K>,
        epoch: u64,
        max_waiters: usize,
        ended: u64,
        begin: impl FnOnce(Departure) -> Begun<K, V>,
    ) -> Boarded<V> {
        let shard = self.shard(key.hash);
        let _replaced; // dropped after the lock is
        let mut table = shard.lock();
        if let Some(known) = table.find_mut(key.hash, |known| *known.key == *key) {
            if known.slot.is_current(epoch) {
                match known.flight.join(max_waiters) {
                    Ok(waiter) => return Boarded::Follows(waiter),
                    Err(NotJoined::Full) => return Boarded::Full,
                    Err(NotJoined::Closed) => {}
                }
            }
            // What it fetches is out of date, or nobody waits for it: a new flight takes its place.
            let (flight, waiter) = self.depart(shard, ended, begin);
            _replaced = std::mem::replace(known, flight);
            return Boarded::Leads(waiter);
        }
        let (flight, waiter) = self.depart(shard, ended, begin);
        table.insert_unique(key.hash, flight, |known| known.key.hash);
        Boarded::Leads(waiter)
    }

    fn depart(
        &self,
        shard: &Shard<K, V>,
        ended: u64,
        begin: impl FnOnce(Departure) -> Begun<K, V>,
    ) -> (InFlight<K, V>, Waiter<Outcome<V>>) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let ask_again = shard.ended.load(Ordering::Acquire) != ended;
        let Begun { key, slot, flight, waiter } = begin(Departure { id, ask_again });
        (InFlight { id, key, slot, flight }, waiter)
    }

    /// What the flight of `key` fetches is not to be stored, nor shared with those who come later.
    pub(crate) fn doom<Q: Equivalent<K> + ?Sized>(&self, key: &HashedRef<'_, Q>) {
        let table = self.shard(key.hash).lock();
        if let Some(known) = table.find(key.hash, |known| key.equivalent(&known.key)) {
            known.slot.doom();
        }
    }

    /// Takes an ended flight out, unless another has taken its place.
    pub(crate) fn end(&self, hash: u64, id: u64) {
        let shard = self.shard(hash);
        let mut table = shard.lock();
        shard.ended.fetch_add(1, Ordering::Release);
        let ended = table.find_entry(hash, |known| known.id == id).ok().map(|e| e.remove().0);
        drop(table);
        drop(ended);
    }

    /// How many fetches are under way.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// What a caller that begins a flight brings.
pub(crate) struct Begun<K, V: Clone + Send + Sync + 'static> {
    pub(crate) key: Arc<Hashed<K>>,
    pub(crate) slot: Arc<Slot<K, V>>,
    pub(crate) flight: Arc<Flight<Outcome<V>>>,
    pub(crate) waiter: Waiter<Outcome<V>>,
}

impl<K, V> Shard<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashTable<InFlight<K, V>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}
