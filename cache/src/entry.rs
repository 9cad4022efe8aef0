//! One key of the cache, and what is to be done with it.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Freshness, Instant};

use crate::builder::spawn;
use crate::cache::{Look, Shared};
use crate::event::Event;
use crate::flight::{Finisher, Flight};
use crate::flights::{Begun, Boarded, Landed, Outcome};
use crate::key::Hashed;
use crate::slot::Slot;
use crate::stats::Count;
use crate::trip::{Removal, Trip, caught, forbid, look};
use crate::{Failure, Found, Nature};

/// One key of a [`Cache`](crate::Cache), with how its value is to be kept.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use toolweir_cache::{Cache, Config};
///
/// let cache: Cache<&str, u32> = Cache::new(Config::default())?;
/// let entry = cache.entry("answer").ttl(Duration::from_secs(60)).group("numbers");
/// let found = entry.fetch(async { "42".parse::<u32>() }).await?;
/// assert_eq!(found.value, 42);
///
/// cache.invalidate("numbers");
/// assert_eq!(cache.get("answer"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use]
pub struct Entry<'a, K, V: Clone + Send + Sync + 'static> {
    shared: &'a Arc<Shared<K, V>>,
    key: Hashed<K>,
    /// Another key under which the value may be stored as well.
    alternate: Option<Hashed<K>>,
    groups: Vec<Arc<str>>,
    /// Invalidated where the fetch is forbidden.
    forbids: Option<Arc<str>>,
    ttl: Option<Duration>,
}

/// A fetched value that says itself how it is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<V> {
    pub(crate) value: V,
    pub(crate) keep: Keep,
    pub(crate) unshared: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    Usual,
    For(Duration),
    Not,
}

impl<V> Fetched<V> {
    /// A value that is kept as long as its entry says.
    #[must_use]
    pub fn new(value: V) -> Self {
        Self { value, keep: Keep::Usual, unshared: false }
    }

    /// The same value, kept for `ttl`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.keep = Keep::For(ttl);
        self
    }

    /// The same value, given to those who wait and not stored.
    #[must_use]
    pub fn unstored(mut self) -> Self {
        self.keep = Keep::Not;
        self
    }

    /// The same value, for the one who began the fetch alone: not stored, and all others who waited fetch for
    /// themselves.
    #[must_use]
    pub fn unshared(mut self) -> Self {
        self.unshared = true;
        self.unstored()
    }
}

/// What a fetch brings, and the key to store it under where that is another.
pub(crate) struct Landing<K, V> {
    pub(crate) fetched: Fetched<V>,
    pub(crate) store_as: Option<Arc<Hashed<K>>>,
}

impl<'a, K, V> Entry<'a, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(shared: &'a Arc<Shared<K, V>>, key: Hashed<K>) -> Self {
        Self { shared, key, alternate: None, groups: Vec::new(), forbids: None, ttl: None }
    }

    /// Keeps the value for `ttl` instead of the configured time; zero does not keep it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Keeps the value only until `group` is [invalidated](crate::Cache::invalidate). An entry may have several groups.
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// Looks under `alternate` too where nothing is found under the key.
    pub(crate) fn alternate(mut self, alternate: Option<Hashed<K>>) -> Self {
        self.alternate = alternate;
        self
    }

    /// Invalidates `group` where the fetch is forbidden.
    pub(crate) fn forbids(mut self, group: Option<Arc<str>>) -> Self {
        self.groups.extend(group.clone());
        self.forbids = group;
        self
    }

    /// Stores a value. What is being fetched under this key at the moment is not stored over it.
    pub fn insert(self, value: V) {
        self.shared.flights.doom(&self.key.borrowed());
        let (slot, key) = (Arc::new(self.slot()), Arc::new(self.key));
        let ttl = self.ttl.unwrap_or(self.shared.config.ttl);
        self.shared.pass_on(&key, &slot, &value, ttl, self.groups, None);
        self.shared.keep(key, slot, Ok(value), ttl);
    }

    /// The stored value, or what `fetch` returns, and where it came from.
    ///
    /// # Errors
    /// As [`Cache::get_or_fetch`](crate::Cache::get_or_fetch).
    ///
    /// # Cancel safety
    /// As [`Cache::get_or_fetch`](crate::Cache::get_or_fetch).
    pub async fn fetch<F, E>(self, fetch: F) -> Result<Found<V>, Failure>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.run(async move {
            let value = fetch.await.map_err(Failure::fetch)?;
            Ok(Landing { fetched: Fetched::new(value), store_as: None })
        })
        .await
    }

    /// [`fetch`](Self::fetch), where the fetched value says itself how it is to be kept.
    ///
    /// # Errors
    /// As [`Cache::get_or_fetch`](crate::Cache::get_or_fetch).
    ///
    /// # Cancel safety
    /// As [`Cache::get_or_fetch`](crate::Cache::get_or_fetch).
    pub async fn fetch_with<F, E>(self, fetch: F) -> Result<Found<V>, Failure>
    where
        F: Future<Output = Result<Fetched<V>, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.run(async move {
            let fetched = fetch.await.map_err(Failure::fetch)?;
            Ok(Landing { fetched, store_as: None })
        })
        .await
    }

    pub(crate) async fn run<F>(self, fetch: F) -> Result<Found<V>, Failure>
    where
        F: Future<Output = Result<Landing<K, V>, Failure>> + Send + 'static,
    {
        let counters = &self.shared.counters;
        let ended = self.shared.flights.ended(self.key.hash);
        let mut old = None;
        match self.look(self.shared.clock.now()) {
            Look::Fresh(value) => {
                counters.add(Count::Hit);
                return Ok(Found { value, freshness: Freshness::Cached });
            }
            Look::Negative(failure) => {
                counters.add(Count::Negative);
                return Err(failure);
            }
            Look::Old(value, past) if past < self.shared.config.stale_while_revalidate => {
                old = Some(value);
            }
            Look::Old(..) | Look::Nothing => {}
        }
        let mut fetch = Some(fetch);
        let boarded = self.board(ended, &mut fetch);
        if let Some(value) = old {
            return self.revalidate(boarded, value).await;
        }
        match boarded {
            Boarded::Leads(waiter) => {
                counters.add(Count::Miss);
                self.shared.tell(|| Event::Began { key: &self.key.key });
                let landed = match waiter.await {
                    Ok(landed) => landed,
                    Err(failure) => return self.stand_in(failure),
                };
                let freshness =
                    if landed.stored_before { Freshness::Cached } else { Freshness::Fetched };
                Ok(Found { value: landed.value, freshness })
            }
            Boarded::Follows(waiter) => match waiter.await {
                Ok(Landed { unshared: true, .. }) => self.fetch_alone(fetch).await,
                Ok(landed) => {
                    counters.add(Count::Coalesced);
                    Ok(Found { value: landed.value, freshness: Freshness::Coalesced })
                }
                Err(failure) => {
                    counters.add(Count::Coalesced);
                    self.stand_in(failure)
                }
            },
            Boarded::Full => {
                counters.add(Count::Refused);
                self.shared.tell(|| Event::Refused { key: &self.key.key });
                self.stand_in(Failure::Overloaded)
            }
        }
    }

    fn board<F>(&self, ended: u64, fetch: &mut Option<F>) -> Boarded<V>
    where
        F: Future<Output = Result<Landing<K, V>, Failure>> + Send + 'static,
    {
        let shared = self.shared;
        let epoch = shared.epoch();
        let max = shared.config.max_waiters;
        shared.flights.board(&self.key, epoch, max, ended, |departure| {
            let (slot, key) = (Arc::new(self.slot()), Arc::new(self.key.clone()));
            let trip = Trip {
                removal: Removal { shared: shared.clone(), hash: self.key.hash, id: departure.id },
                key: key.clone(),
                alternate: self.alternate.clone().map(Arc::new),
                groups: if shared.link.is_some() { self.groups.clone() } else { Vec::new() },
                forbids: self.forbids.clone(),
                ttl: self.ttl,
                slot: slot.clone(),
            };
            let work = Box::pin(trip.make(departure, fetch.take()));
            let (flight, waiter) = Flight::begin(work, || Err(Failure::Panicked), self.finisher());
            Begun { key, slot, flight, waiter }
        })
    }

    /// Who goes on waiting for a fetch that everyone else left.
    fn finisher(&self) -> Option<Finisher<Outcome<V>>> {
        let by = self.shared.spawn.clone().filter(|_| self.shared.config.finish_abandoned)?;
        Some(Box::new(move |waiter| spawn(&by, Box::pin(async move { drop(waiter.await) }))))
    }

    fn slot(&self) -> Slot<K, V> {
        // The epoch first: a `clear` between the two makes the slot invalid, as it should.
        let epoch = self.shared.epoch();
        Slot::new(epoch, self.shared.groups.mark(&self.groups))
    }

    fn look(&self, now: Instant) -> Look<V> {
        look(self.shared, &self.key, self.alternate.as_ref(), now)
    }

    /// Answers with an old value while it is fetched anew: by the spawner, or by this caller if it is the first.
    async fn revalidate(self, boarded: Boarded<V>, old: V) -> Result<Found<V>, Failure> {
        let stale = |value| {
            self.shared.counters.add(Count::Stale);
            self.shared.tell(|| Event::Stale { key: &self.key.key });
            Ok(Found { value, freshness: Freshness::Stale })
        };
        let Boarded::Leads(waiter) = boarded else { return stale(old) };
        if let Some(by) = &self.shared.spawn {
            spawn(by, Box::pin(async move { drop(waiter.await) }));
            return stale(old);
        }
        match waiter.await {
            Ok(landed) => {
                self.shared.counters.add(Count::Miss);
                Ok(Found { value: landed.value, freshness: Freshness::Fetched })
            }
            Err(failure) if failure.nature() == Nature::Outage => stale(old),
            Err(failure) => Err(failure),
        }
    }

    /// An old value in place of a failure, where that is allowed.
    fn stand_in(&self, failure: Failure) -> Result<Found<V>, Failure> {
        if failure.nature() == Nature::Outage
            && let Look::Old(value, past) = self.look(self.shared.clock.now())
            && past < self.shared.config.stale_if_error
        {
            self.shared.counters.add(Count::Stale);
            self.shared.tell(|| Event::Stale { key: &self.key.key });
            return Ok(Found { value, freshness: Freshness::Stale });
        }
        Err(failure)
    }

    /// Fetches for this caller alone, since what it waited for was another's.
    async fn fetch_alone<F>(&self, fetch: Option<F>) -> Result<Found<V>, Failure>
    where
        F: Future<Output = Result<Landing<K, V>, Failure>>,
    {
        self.shared.counters.add(Count::Miss);
        let Some(fetch) = fetch else { return Err(Failure::Panicked) }; // only a leader gives its fetch away
        match caught(fetch).await {
            Ok(landing) => {
                Ok(Found { value: landing.fetched.value, freshness: Freshness::Fetched })
            }
            Err(failure) => {
                self.shared.failed(&self.key.key, &failure);
                if failure.nature() == Nature::Forbidden {
                    forbid(
                        self.shared,
                        &self.key,
                        self.alternate.as_ref(),
                        self.forbids.as_deref(),
                    );
                }
                Err(failure)
            }
        }
    }
}

impl<K, V: Clone + Send + Sync + 'static> fmt::Debug for Entry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("groups", &self.groups)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
