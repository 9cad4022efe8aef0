//! A breaker a key, within a bound.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use toolweir_core::{Clock, MonotonicClock, Outcome, Verdict};

use crate::engine::Settings;
use crate::{Breaker, Config, ConfigError, Snapshot, State, Transition};

const SHARDS: usize = 64;
/// How many entries are looked at to find one to forget: no insertion takes longer than that.
const LOOKED_AT: usize = 16;

type KeyedListener<K> = Arc<dyn Fn(&K, &Transition) + Send + Sync>;

/// A breaker for each key: a host, a tenant, a tool.
///
/// Never holds more than its capacity. Where a new key finds no room, one that nothing is known of (closed,
/// nothing counted) and that was not used lately goes first; an open breaker is forgotten only where every key
/// that was looked at is open too. Who holds a forgotten breaker may still use it.
pub struct Breakers<K, C = MonotonicClock> {
    settings: Arc<Settings>,
    clock: C,
    listeners: Vec<KeyedListener<K>>,
    classify: fn(&Outcome) -> Verdict,
    hasher: RandomState,
    room: usize,
    shards: Box<[RwLock<Shard<K, C>>]>,
}

struct Shard<K, C> {
    places: HashMap<K, usize>,
    entries: Vec<Entry<K, C>>,
    hand: usize,
}

struct Entry<K, C> {
    key: K,
    breaker: Arc<Breaker<C>>,
    used: AtomicBool,
}

impl<K: Eq + Hash + Clone> Breakers<K> {
    /// Breakers for at most about `capacity` keys (rounded up to a multiple of 64) on the system's clock.
    ///
    /// # Errors
    /// The first value of `config` that makes no sense.
    pub fn new(config: Config, capacity: usize) -> Result<Self, ConfigError> {
        Self::with_clock(config, capacity, MonotonicClock)
    }
}

impl<K: Eq + Hash + Clone, C: Clock + Clone> Breakers<K, C> {
    /// Breakers for at most about `capacity` keys (rounded up to a multiple of 64) on `clock`.
    ///
    /// # Errors
    /// The first value of `config` that makes no sense.
    pub fn with_clock(config: Config, capacity: usize, clock: C) -> Result<Self, ConfigError> {
        let shard = || Shard { places: HashMap::new(), entries: Vec::new(), hand: 0 };
        Ok(Self {
            settings: Arc::new(Settings::new(&config)?),
            clock,
            listeners: Vec::new(),
            classify: Outcome::verdict,
            hasher: RandomState::new(),
            room: capacity.div_ceil(SHARDS).max(1),
            shards: (0..SHARDS).map(|_| RwLock::new(shard())).collect(),
        })
    }

    /// Hears every key's transitions; see [`Breaker::on_transition`].
    #[must_use]
    pub fn on_transition(
        mut self,
        listener: impl Fn(&K, &Transition) + Send + Sync + 'static,
    ) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }

    /// Decides what an [`Outcome`] says of every key's health; see [`Breaker::classify`].
    #[must_use]
    pub fn classify(mut self, classify: fn(&Outcome) -> Verdict) -> Self {
        self.classify = classify;
        self
    }

    /// The most keys that are ever held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.room * SHARDS
    }

    /// How many keys are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).entries.len()).sum()
    }

    /// Whether no key is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key's breaker, a new one where it has none.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Arc<Breaker<C>>
    where
        K: Borrow<Q> + Send + Sync + 'static,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let shard = self.shard(key);
        if let Some(breaker) = read(shard).find(key) {
            return breaker;
        }
        let key = key.to_owned();
        let breaker = Arc::new(self.make(&key));
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = shard.find(key.borrow()) {
            return breaker;
        }
        shard.insert(key, Arc::clone(&breaker), self.room);
        breaker
    }

    /// The key's breaker, where it has one.
    #[must_use]
    pub fn peek<Q>(&self, key: &Q) -> Option<Arc<Breaker<C>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = read(self.shard(key));
        let place = *shard.places.get(key)?;
        Some(Arc::clone(&shard.entries[place].breaker))
    }

    /// Forgets a key, such as that of a server that is gone.
    pub fn remove<Q>(&self, key: &Q) -> Option<Arc<Breaker<C>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = self.shard(key).write().unwrap_or_else(PoisonError::into_inner);
        let place = *shard.places.get(key)?;
        Some(shard.forget(place))
    }

    /// Every key's snapshot, in no order; taking them changes nothing, and marks no key as used.
    #[must_use]
    pub fn snapshots(&self) -> Vec<(K, Snapshot)> {
        let one = |entry: &Entry<K, C>| (entry.key.clone(), Arc::clone(&entry.breaker));
        // One shard is locked at a time, and none while a breaker is looked at.
        let shards = self.shards.iter();
        let all = shards.flat_map(|shard| read(shard).entries.iter().map(one).collect::<Vec<_>>());
        all.map(|(key, breaker)| (key, breaker.snapshot())).collect()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Shard<K, C>> {
        let index = (self.hasher.hash_one(key) % SHARDS as u64) as usize;
        &self.shards[index]
    }

    fn make(&self, key: &K) -> Breaker<C>
    where
        K: Send + Sync + 'static,
    {
        let breaker = Breaker::from_settings(Arc::clone(&self.settings), self.clock.clone());
        self.listeners.iter().fold(breaker.classify(self.classify), |breaker, listener| {
            let (listener, key) = (Arc::clone(listener), key.clone());
            breaker.on_transition(move |transition| listener(&key, transition))
        })
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Clone, C: Clock> Shard<K, C> {
    fn find<Q>(&self, key: &Q) -> Option<Arc<Breaker<C>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = &self.entries[*self.places.get(key)?];
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.breaker))
    }

    fn insert(&mut self, key: K, breaker: Arc<Breaker<C>>, room: usize) {
        if self.entries.len() >= room {
            let place = self.least_worth();
            self.forget(place);
        }
        self.places.insert(key.clone(), self.entries.len());
        self.entries.push(Entry { key, breaker, used: AtomicBool::new(true) });
    }

    fn forget(&mut self, place: usize) -> Arc<Breaker<C>> {
        let entry = self.entries.swap_remove(place);
        self.places.remove(&entry.key);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key.clone(), place);
        }
        entry.breaker
    }

    /// Moves the hand on past at most [`LOOKED_AT`] entries and picks the one that is missed least.
    fn least_worth(&mut self) -> usize {
        let mut best = (u8::MAX, 0);
        for _ in 0..LOOKED_AT.min(self.entries.len()) {
            let place = self.hand % self.entries.len();
            self.hand = place + 1;
            let worth = self.entries[place].worth();
            if worth < best.0 {
                best = (worth, place);
            }
            if worth == 0 {
                break;
            }
        }
        best.1
    }
}

impl<K, C: Clock> Entry<K, C> {
    /// What forgetting it would lose; looking takes its mark of use away.
    fn worth(&self) -> u8 {
        let used = u8::from(self.used.swap(false, Ordering::Relaxed));
        let held = u8::from(Arc::strong_count(&self.breaker) > 1) * 2;
        let known = match self.breaker.state() {
            State::Closed if self.breaker.is_fresh() => 0,
            State::Closed => 4,
            State::HalfOpen | State::Open => 8,
        };
        known + held + used
    }
}

impl<K, C: fmt::Debug> fmt::Debug for Breakers<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers")
            .field("capacity", &(self.room * SHARDS))
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
