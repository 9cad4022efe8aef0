//! One flight's way: the further tier, the fetch, the store.

use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use toolweir_core::Instant;

use crate::cache::{Look, Shared};
use crate::config::LONGEST;
use crate::entry::{Keep, Landing};
use crate::flight::drop_quietly;
use crate::flights::{Departure, Landed, Outcome};
use crate::key::Hashed;
use crate::slot::Slot;
use crate::tier::Epochs;
use crate::{Failure, Fetched, Nature};

/// What is stored under the key, or else under its alternate.
pub(crate) fn look<K, V>(
    shared: &Shared<K, V>,
    key: &Hashed<K>,
    alternate: Option<&Hashed<K>>,
    now: Instant,
) -> Look<V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let look = |key: &Hashed<K>| match shared.look(&key.borrowed(), now) {
        Look::Fresh(value) | Look::Old(value, _) if !(shared.admits)(&key.key, &value) => {
            Look::Nothing
        }
        seen => seen,
    };
    let first = look(key);
    match (&first, alternate) {
        (Look::Fresh(_) | Look::Negative(_), _) | (_, None) => first,
        (Look::Old(..) | Look::Nothing, Some(alternate)) => match look(alternate) {
            Look::Nothing => first,
            second => second,
        },
    }
}

/// Drops all that a caller who may not have it might otherwise be given.
pub(crate) fn forbid<K, V>(
    shared: &Shared<K, V>,
    key: &Hashed<K>,
    alternate: Option<&Hashed<K>>,
    group: Option<&str>,
) where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    shared.remove(key);
    if let Some(alternate) = alternate {
        shared.remove(alternate);
    }
    if let Some(group) = group {
        shared.invalidate(group);
    }
}

/// All that a flight needs once its first caller may have gone.
pub(crate) struct Trip<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) removal: Removal<K, V>,
    pub(crate) key: Arc<Hashed<K>>,
    pub(crate) alternate: Option<Arc<Hashed<K>>>,
    /// Empty where there is no further tier to tell them.
    pub(crate) groups: Vec<Arc<str>>,
    pub(crate) forbids: Option<Arc<str>>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) slot: Arc<Slot<K, V>>,
}

/// How things stand in the further tier, with the key and with its alternate; `None` where it was not asked.
type Stand = [Option<Epochs>; 2];

impl<K, V> Trip<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Asks the further tier; what it has is stored here.
    async fn seek(&self) -> Result<V, Stand> {
        let shared = &self.removal.shared;
        let mut stand = Stand::default();
        let Some(link) = &shared.link else { return Err(stand) };
        let keys = [Some(&self.key), self.alternate.as_ref()];
        for (key, epochs) in keys.into_iter().flatten().zip(&mut stand) {
            let Some(sought) = link.seek(&key.key, &self.groups).await else { break };
            match sought.found {
                Some((value, left)) if !left.is_zero() && (shared.admits)(&key.key, &value) => {
                    let left = left.min(LONGEST);
                    shared.keep(key.clone(), self.slot.clone(), Ok(value.clone()), left);
                    return Ok(value);
                }
                _ => *epochs = Some(sought.epochs),
            }
        }
        Err(stand)
    }

    pub(crate) async fn make<F>(self, departure: Departure, fetch: Option<F>) -> Outcome<V>
    where
        F: Future<Output = Result<Landing<K, V>, Failure>>,
    {
        let shared = &self.removal.shared;
        if departure.ask_again {
            // Another flight ended between this caller's look into the store and its departure.
            let now = shared.clock.now();
            if let Look::Fresh(value) = look(shared, &self.key, self.alternate.as_deref(), now) {
                return Ok(Landed { value, stored_before: true, unshared: false });
            }
        }
        let [own, other] = match self.seek().await {
            Ok(value) => return Ok(Landed { value, stored_before: true, unshared: false }),
            Err(stand) => stand,
        };
        let Some(fetch) = fetch else { return Err(Failure::Panicked) }; // whoever departs brings one
        match caught(fetch).await {
            Ok(Landing { fetched: Fetched { value, keep, unshared }, store_as }) => {
                let ttl = match keep {
                    Keep::Usual => Some(self.ttl.unwrap_or(shared.config.ttl)),
                    Keep::For(ttl) => Some(ttl),
                    Keep::Not => None,
                };
                if let Some(ttl) = ttl {
                    let (key, epochs) = match store_as {
                        Some(alternate) => (alternate, other),
                        None => (self.key, own),
                    };
                    if let Some(epochs) = epochs {
                        shared.pass_on(&key, &self.slot, &value, ttl, self.groups, Some(epochs));
                    }
                    shared.keep(key, self.slot, Ok(value.clone()), ttl);
                }
                Ok(Landed { value, stored_before: false, unshared })
            }
            Err(failure) => {
                shared.failed(&self.key.key, &failure);
                match failure.nature() {
                    Nature::Forbidden => {
                        let group = self.forbids.as_deref();
                        forbid(shared, &self.key, self.alternate.as_deref(), group);
                    }
                    Nature::Lasting if !shared.config.negative_ttl.is_zero() => {
                        let ttl = shared.config.negative_ttl;
                        shared.keep(self.key, self.slot, Err(failure.clone()), ttl);
                    }
                    Nature::Lasting | Nature::Outage => {}
                }
                Err(failure)
            }
        }
    }
}

/// What a fetch gives; its panic is a failure as any other.
pub(crate) async fn caught<T>(
    fetch: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut fetch = pin!(fetch);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| fetch.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| {
            drop_quietly(panic);
            Poll::Ready(Err(Failure::Panicked))
        })
    })
    .await
}

/// Takes the flight out of its table however it ends: done, panicked, or left by all.
pub(crate) struct Removal<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) shared: Arc<Shared<K, V>>,
    pub(crate) hash: u64,
    pub(crate) id: u64,
}

impl<K, V> Drop for Removal<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.shared.flights.end(self.hash, self.id);
    }
}
