//! The cache: where store, flights, groups and the clock meet.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use equivalent::Equivalent;
use toolweir_core::{Clock, Freshness, Instant};

use crate::builder::{Builder, Spawn, Weigh};
use crate::desk::{Owed, Put};
use crate::event::{Event, Listener};
use crate::flights::Flights;
use crate::group::Groups;
use crate::key::{Hashed, HashedRef};
use crate::link::Link;
use crate::shelf::Shelf;
use crate::slot::{Content, Seen, Slot};
use crate::stats::{Count, Counters};
use crate::tier::Epochs;
use crate::{Cached, Config, ConfigError, Entry, Failure, Stats};

/// A bounded cache in which callers that ask for the same key at the same time share one fetch.
///
/// Clones share their contents.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use toolweir_cache::{Cache, Config};
///
/// let cache: Cache<String, u32> = Cache::new(Config::default())?;
/// let fetched = cache.get_or_fetch("answer".to_owned(), async { "42".parse::<u32>() }).await?;
/// assert_eq!(fetched, 42);
/// assert_eq!(cache.get("answer"), Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Cache<K, V: Clone + Send + Sync + 'static> {
    pub(crate) shared: Arc<Shared<K, V>>,
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<V> {
    /// The value.
    pub value: V,
    /// Where it came from.
    pub freshness: Freshness,
}

impl<K, V> Cache<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache with the system's clock, in which values count with their shallow size.
    ///
    /// # Errors
    /// Fails where the configuration cannot be used, and names the field.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Builder::new(config).build()
    }

    /// A cache to which a clock, a weigher or a spawner is still to be given.
    #[must_use]
    pub fn builder(config: Config) -> Builder<K, V> {
        Builder::new(config)
    }

    /// The stored value, if it is fresh.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.get_at(key, self.shared.clock.now())
    }

    /// [`get`](Self::get) for callers who know the time.
    #[must_use]
    pub fn get_at<Q>(&self, key: &Q, now: Instant) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let key = self.shared.hashed(key);
        match self.shared.look(&key, now) {
            Look::Fresh(value) => {
                self.shared.counters.add(Count::Hit);
                Some(value)
            }
            _ => {
                self.shared.counters.add(Count::Miss);
                None
            }
        }
    }

    /// The stored value, fresh or past its time by no more than `staleIfError`: for when the source cannot be asked.
    #[must_use]
    pub fn stale<Q>(&self, key: &Q) -> Option<Found<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let key = self.shared.hashed(key);
        self.shared.look_stale(&key, self.shared.config.stale_if_error)
    }

    /// Stores a value for the configured time.
    ///
    /// What is being fetched under this key at the moment is not stored over it.
    pub fn insert(&self, key: K, value: V) {
        self.entry(key).insert(value);
    }

    /// The stored value, or what `fetch` returns.
    ///
    /// Callers that ask for the same key at the same time share one fetch; `fetch` is dropped unpolled where it is
    /// not needed. Failures are not stored.
    ///
    /// # Errors
    /// The fetch's failure, shared by all who waited for it; or [`Failure::Overloaded`], or
    /// [`Failure::Panicked`].
    ///
    /// # Cancel safety
    /// A caller that leaves takes nothing with it: the fetch goes on while anyone waits, and is dropped when nobody
    /// does.
    pub async fn get_or_fetch<F, E>(&self, key: K, fetch: F) -> Result<V, Failure>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.entry(key).fetch(fetch).await.map(|found| found.value)
    }

    /// What is to be done with this key: for a time to live, groups, or to learn where a value came from.
    pub fn entry(&self, key: K) -> Entry<'_, K, V> {
        let hash = self.shared.hasher.hash_one(&key);
        Entry::new(&self.shared, Hashed { hash, key })
    }

    /// An async function of the key whose results are remembered here.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use toolweir_cache::{Cache, Config};
    ///
    /// async fn fetch_from_database(user: u32) -> Result<String, std::io::Error> {
    ///     Ok(format!("user {user}"))
    /// }
    ///
    /// let cache = Cache::new(Config::default())?;
    /// let user_profile = cache.cached(fetch_from_database).ttl(Duration::from_secs(600));
    /// assert_eq!(user_profile.call(7).await?, "user 7");
    /// assert_eq!(user_profile.call(7).await?, "user 7");
    /// assert_eq!(cache.stats().hits, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn cached<F>(&self, function: F) -> Cached<K, V, F> {
        Cached::new(self.clone(), function)
    }

    /// Forgets one key, including what is being fetched for it at this moment.
    pub fn remove<Q>(&self, key: &Q)
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.shared.remove(&Hashed { hash: self.shared.hasher.hash_one(key), key: key.to_owned() });
    }

    /// Forgets everything of `group`, including what is being fetched at this moment.
    ///
    /// Takes the same time however much is stored.
    pub fn invalidate(&self, group: &str) {
        self.shared.invalidate(group);
    }

    /// Forgets everything of every group whose name begins with `prefix`.
    pub fn invalidate_prefix(&self, prefix: &str) {
        self.shared.groups.invalidate_prefix(prefix);
        self.shared.forget_further(|| Owed::Prefix(prefix.into()));
        self.shared.tell(|| Event::Invalidated { group: prefix, prefix: true });
    }

    /// Forgets everything, including what is being fetched at this moment.
    pub fn clear(&self) {
        self.shared.epoch.fetch_add(1, Ordering::AcqRel);
        self.shared.forget_further(|| Owed::All);
        self.purge();
        self.shared.tell(|| Event::Invalidated { group: "", prefix: true });
    }

    /// Frees the memory of entries that can no longer be served.
    ///
    /// Such entries count towards the bounds until they are evicted, replaced or purged. Looks at every entry.
    pub fn purge(&self) {
        let now = self.shared.clock.now();
        let epoch = self.shared.epoch();
        let grace = self.shared.grace();
        self.shared.shelf.retain(|slot| match slot.see(epoch, now) {
            Seen::Fresh(_) => true,
            Seen::Old(_, past) => past < grace,
            Seen::Nothing => false,
        });
    }

    /// What the cache has done and what it holds. Looks at every entry.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (entries, bytes) = self.shared.shelf.size();
        let link = self.shared.link.as_ref();
        let further = |count: fn(&Link<K, V>) -> &AtomicU64| {
            link.map_or(0, |link| count(link).load(Ordering::Relaxed))
        };
        Stats {
            tier_hits: further(|link| &link.hits),
            tier_misses: further(|link| &link.misses),
            tier_failures: further(|link| &link.failures),
            tier_dropped: further(|link| &link.dropped),
            tier_pending: link.map_or(0, |link| link.pending()),
            entries,
            bytes,
            in_flight: self.shared.flights.len(),
            groups: self.shared.groups.len(),
            ..self.shared.counters.snapshot()
        }
    }

    /// How it was configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }
}

impl<K, V: Clone + Send + Sync + 'static> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K, V: Clone + Send + Sync + 'static> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

pub(crate) struct Shared<K, V: Clone + Send + Sync + 'static> {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) weigh: Weigh<K, V>,
    pub(crate) spawn: Option<Spawn>,
    /// Whether a stored value may be handed out under this key; asked on every read.
    pub(crate) admits: fn(&K, &V) -> bool,
    pub(crate) hasher: RandomState,
    pub(crate) shelf: Shelf<K, V>,
    /// The further tier.
    pub(crate) link: Option<Arc<Link<K, V>>>,
    pub(crate) listener: Option<Listener<K>>,
    pub(crate) flights: Flights<K, V>,
    pub(crate) groups: Groups,
    pub(crate) epoch: AtomicU64,
    pub(crate) counters: Counters,
}

/// What the store says of a key.
pub(crate) enum Look<V> {
    Fresh(V),
    Negative(Failure),
    /// Past its time by this much.
    Old(V, Duration),
    Nothing,
}

impl<K, V> Shared<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn hashed<'a, Q>(&self, key: &'a Q) -> HashedRef<'a, Q>
    where
        Q: Hash + ?Sized,
    {
        HashedRef { hash: self.hasher.hash_one(key), key }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// How long past its time an entry can be of any use.
    fn grace(&self) -> Duration {
        self.config.stale_while_revalidate.max(self.config.stale_if_error)
    }

    pub(crate) fn look<Q>(&self, key: &HashedRef<'_, Q>, now: Instant) -> Look<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let Some(slot) = self.shelf.get(key) else { return Look::Nothing };
        match slot.see(self.epoch(), now) {
            Seen::Fresh(Ok(value)) => Look::Fresh(value.clone()),
            Seen::Fresh(Err(failure)) => Look::Negative(failure.clone()),
            Seen::Old(value, past) if past < self.grace() => Look::Old(value.clone(), past),
            Seen::Old(..) | Seen::Nothing => Look::Nothing,
        }
    }

    /// A fresh value, or one that is past its time by less than `grace`.
    pub(crate) fn look_stale<Q>(&self, key: &HashedRef<'_, Q>, grace: Duration) -> Option<Found<V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let (value, freshness, count) = match self.look(key, self.clock.now()) {
            Look::Fresh(value) => (value, Freshness::Cached, Count::Hit),
            Look::Old(value, past) if past < grace => (value, Freshness::Stale, Count::Stale),
            _ => return None,
        };
        self.counters.add(count);
        Some(Found { value, freshness })
    }

    /// Fills the slot and puts it on the shelf, unless it became invalid. A value that is not to be kept, or can never
    /// fit, still takes the old one's place.
    pub(crate) fn keep(
        &self,
        key: Arc<Hashed<K>>,
        slot: Arc<Slot<K, V>>,
        result: Result<V, Failure>,
        ttl: Duration,
    ) {
        let epoch = self.epoch();
        if !slot.is_current(epoch) {
            return;
        }
        let own = match &result {
            Ok(value) => (self.weigh)(&key.key, value),
            Err(_) => size_of::<Failure>(),
        };
        let bytes = (own as u64).saturating_add(Shelf::<K, V>::OVERHEAD);
        let weight = self.shelf.scale().weight(bytes).filter(|_| !ttl.is_zero());
        let Some(weight) = weight else { return self.shelf.remove(&key.borrowed()) };
        let expires = self.clock.now() + self.jittered(ttl, key.hash);
        slot.fill(Content { key: key.clone(), result, expires, weight, bytes });
        self.tell(|| Event::Stored { key: &key.key, bytes });
        self.shelf.put(slot);
        self.counters.add(Count::Stored);
    }

    /// Has a value written to the further tier, unless it became invalid.
    pub(crate) fn pass_on(
        &self,
        key: &Hashed<K>,
        slot: &Slot<K, V>,
        value: &V,
        ttl: Duration,
        groups: Vec<Arc<str>>,
        epochs: Option<Epochs>,
    ) where
        K: Clone,
    {
        let Some(link) = &self.link else { return };
        if ttl.is_zero() {
            return link.forget(Owed::Key(key.key.clone()));
        }
        let (key, value) = (key.key.clone(), value.clone());
        link.put(Put { key, value, ttl, groups, epochs }, || slot.is_current(self.epoch()));
    }

    /// Has something forgotten by the further tier; to be called when it is forgotten here.
    pub(crate) fn forget_further(&self, what: impl FnOnce() -> Owed<K>) {
        if let Some(link) = &self.link {
            link.forget(what());
        }
    }

    /// Tells the listener.
    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a, K>)
    where
        K: 'a,
    {
        if let Some(listener) = &self.listener {
            listener.hear(&event());
        }
    }

    /// Counts a fetch that failed.
    pub(crate) fn failed(&self, key: &K, failure: &Failure) {
        self.counters.add(Count::Failure);
        self.tell(|| Event::Failed { key, failure });
    }

    pub(crate) fn invalidate(&self, group: &str) {
        self.groups.invalidate(group);
        self.forget_further(|| Owed::Group(group.into()));
        self.tell(|| Event::Invalidated { group, prefix: false });
    }

    /// Spreads expiry by the key's hash, which differs from process to process.
    fn jittered(&self, ttl: Duration, hash: u64) -> Duration {
        if self.config.ttl_jitter_percent == 0 {
            return ttl;
        }
        let fraction = f64::from((hash >> 32) as u32) / f64::from(u32::MAX);
        ttl.mul_f64(1.0 - fraction * f64::from(self.config.ttl_jitter_percent) / 100.0)
    }

    pub(crate) fn remove(&self, key: &Hashed<K>)
    where
        K: Clone,
    {
        self.flights.doom(&key.borrowed());
        self.shelf.remove(&key.borrowed());
        self.forget_further(|| Owed::Key(key.key.clone()));
    }
}
