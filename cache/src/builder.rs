//! Putting a cache together.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use toolweir_core::{Clock, MonotonicClock};

use crate::cache::Shared;
use crate::event::Listener;
use crate::flight::drop_quietly;
use crate::flights::Flights;
use crate::group::Groups;
use crate::link::{Link, Parts};
use crate::shelf::Shelf;
use crate::stats::Counters;
use crate::{Cache, Config, ConfigError, Event, Tier};

pub(crate) type Weigh<K, V> = Arc<dyn Fn(&K, &V) -> usize + Send + Sync>;
pub(crate) type Spawn = Arc<dyn Fn(Refresh) + Send + Sync>;
pub(crate) type Timer = Arc<dyn Fn(Duration) -> Refresh + Send + Sync>;

/// Work that nobody waits for, for a [spawner](Builder::spawner) to run.
pub type Refresh = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands work to a spawner. Where that panics, as outside a runtime, the work is dropped, and settles itself.
pub(crate) fn spawn(spawn: &Spawn, work: Refresh) {
    let _ = catch_unwind(AssertUnwindSafe(|| spawn(work))).map_err(drop_quietly);
}

/// Puts a [`Cache`] together.
pub struct Builder<K, V> {
    config: Config,
    clock: Arc<dyn Clock>,
    weigh: Weigh<K, V>,
    spawn: Option<Spawn>,
    timer: Option<Timer>,
    tier: Option<Arc<dyn Tier<K, V>>>,
    listener: Option<Listener<K>>,
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
            timer: None,
            tier: None,
            listener: None,
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

    /// Runs what nobody waits for, such as `|work| drop(tokio::spawn(work))`: refreshes of old values
    /// (`staleWhileRevalidate`), fetches that everyone left (`finishAbandoned`), writes to a [tier](Self::tier).
    ///
    /// Without one, the first caller that finds an old value waits for its refresh, and only the others are
    /// answered at once. Refreshes and finished fetches end when the fetch does: give it a deadline.
    #[must_use]
    pub fn spawner(mut self, spawn: impl Fn(Refresh) + Send + Sync + 'static) -> Self {
        self.spawn = Some(Arc::new(spawn));
        self
    }

    /// Measures the time that a [tier](Self::tier) may take, such as `|time| Box::pin(tokio::time::sleep(time))`.
    #[must_use]
    pub fn timer(mut self, timer: impl Fn(Duration) -> Refresh + Send + Sync + 'static) -> Self {
        self.timer = Some(Arc::new(timer));
        self
    }

    /// A further place for values, asked where memory has none. Needs a [spawner](Self::spawner) and a
    /// [timer](Self::timer).
    #[must_use]
    pub fn tier(mut self, tier: Arc<dyn Tier<K, V>>) -> Self {
        self.tier = Some(tier);
        self
    }

    /// Hears of what happens.
    ///
    /// Called where it happens, on the way of a call, with no lock of the cache held: it must not block.
    #[must_use]
    pub fn listener(mut self, listener: impl Fn(&Event<'_, K>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener::new(listener));
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
        let refuse = |field, problem| Err(ConfigError { field, problem });
        if self.config.finish_abandoned && self.spawn.is_none() {
            return refuse("finishAbandoned", "needs a spawner");
        }
        let link = match (self.tier, &self.spawn, self.timer) {
            (None, ..) => None,
            (Some(_), None, _) => return refuse("tier", "needs a spawner"),
            (Some(_), _, None) => return refuse("tier", "needs a timer"),
            (Some(tier), Some(spawn), Some(timer)) => Some(Link::new(Parts {
                tier,
                timer,
                clock: self.clock.clone(),
                spawn: spawn.clone(),
                timeout: self.config.tier_timeout,
                rest: self.config.tier_rest,
                listener: self.listener.clone(),
            })),
        };
        let shared = Shared {
            shelf: Shelf::new(&self.config, self.listener.clone()),
            link,
            listener: self.listener,
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
