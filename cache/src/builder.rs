//! Putting a cache together.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use toolweir_core::{Clock, MonotonicClock};

use crate::cache::Shared;
use crate::flights::Flights;
use crate::group::Groups;
use crate::shelf::Shelf;
use crate::stats::Counters;
use crate::{Cache, Config, ConfigError};

pub(crate) type Weigh<K, V> = Arc<dyn Fn(&K, &V) -> usize + Send + Sync>;
pub(crate) type Spawn = Arc<dyn Fn(Refresh) + Send + Sync>;

/// The fetch of a value that replaces an old one, for a [spawner](Builder::spawner) to run.
pub type Refresh = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Puts a [`Cache`] together.
pub struct Builder<K, V> {
    config: Config,
    clock: Arc<dyn Clock>,
    weigh: Weigh<K, V>,
    spawn: Option<Spawn>,
    admits: fn(&K, &V) -> bool,
}

impl<K, V> Builder<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            clock: Arc::new(MonotonicClock),
            weigh: Arc::new(|_, _| size_of::<K>() + size_of::<V>()),
            spawn: None,
            admits: |_, _| true,
        }
    }

    /// The clock that decides what is fresh.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How many bytes a key and a value take together; a fixed part for the cache's own records is added.
    #[must_use]
    pub fn weigher(mut self, weigh: impl Fn(&K, &V) -> usize + Send + Sync + 'static) -> Self {
        self.weigh = Arc::new(weigh);
        self
    }

    /// Runs refreshes of old values in the background (`staleWhileRevalidate`), such as
    /// `|refresh| drop(tokio::spawn(refresh))`.
    ///
    /// Without one, the first caller that finds an old value waits for its refresh, and only the others are
    /// answered at once. A refresh ends when its fetch does: give the fetch a deadline.
    #[must_use]
    pub fn spawner(mut self, spawn: impl Fn(Refresh) + Send + Sync + 'static) -> Self {
        self.spawn = Some(Arc::new(spawn));
        self
    }

    /// A last check on every read.
    #[must_use]
    pub(crate) fn admits(mut self, admits: fn(&K, &V) -> bool) -> Self {
        self.admits = admits;
        self
    }

    /// The cache.
    ///
    /// # Errors
    /// Fails where the configuration cannot be used, and names the field.
    pub fn build(self) -> Result<Cache<K, V>, ConfigError> {
        self.config.validate()?;
        let shared = Shared {
            shelf: Shelf::new(&self.config),
            config: self.config,
            clock: self.clock,
            weigh: self.weigh,
            spawn: self.spawn,
            admits: self.admits,
            hasher: RandomState::new(),
            flights: Flights::new(),
            groups: Groups::default(),
            epoch: AtomicU64::new(0),
            counters: Counters::default(),
        };
        Ok(Cache { shared: Arc::new(shared) })
    }
}

impl<K, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
