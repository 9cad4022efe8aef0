//! The bounded store: moka, told what each entry weighs.
//!
//! One capacity bounds both bytes and entries: an entry weighs its bytes, but at least its even share of the byte
//! bound. Time is not moka's business here.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use equivalent::Equivalent;
use moka::notification::RemovalCause;
use moka::sync::Cache as Moka;

use crate::Config;
use crate::event::{Event, Listener};
use crate::key::{Carried, Hashed, HashedRef};
use crate::slot::Slot;

pub(crate) struct Shelf<K, V> {
    entries: Moka<Hashed<K>, Arc<Slot<V>>, Carried>,
    scale: Scale,
    /// Weight put in since moka last tidied up; moka evicts only when it does.
    untidied: AtomicU64,
}

/// How bytes become moka's 32-bit weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Bytes in one unit of weight.
    unit: u64,
    /// What all entries may weigh together.
    capacity: u64,
    /// What an entry weighs at least.
    share: u64,
    max_bytes: u64,
}

impl Scale {
    pub(crate) fn new(config: &Config) -> Self {
        let unit = config.max_bytes.div_ceil(u64::from(u32::MAX)).max(1);
        let capacity = (config.max_bytes / unit).max(1);
        let share = (capacity / config.max_entries.max(1)).max(1);
        // `max_entries` shares fit, and never one more.
        let limit = share.saturating_mul(config.max_entries.saturating_add(1)) - 1;
        let capacity = capacity.min(limit);
        Self { unit, capacity, share, max_bytes: config.max_bytes }
    }

    /// The weight of an entry of so many bytes; `None` where it can never fit.
    pub(crate) fn weight(&self, bytes: u64) -> Option<u32> {
        let weight = bytes.div_ceil(self.unit).max(self.share);
        let fits = bytes <= self.max_bytes && weight <= self.capacity;
        fits.then(|| u32::try_from(weight).ok()).flatten()
    }
}

impl<K, V> Shelf<K, V>
where
    K: Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(config: &Config, listener: Option<Listener<K>>) -> Self {
        let scale = Scale::new(config);
        let mut builder = Moka::builder()
            .max_capacity(scale.capacity)
            .weigher(|_, slot: &Arc<Slot<V>>| slot.content().map_or(0, |content| content.weight));
        if let Some(listener) = listener {
            builder = builder.eviction_listener(move |key: Arc<Hashed<K>>, _, cause| {
                if cause == RemovalCause::Size {
                    listener.hear(&Event::Evicted { key: &key.key });
                }
            });
        }
        let entries = builder.build_with_hasher(Carried);
        Self { entries, scale, untidied: AtomicU64::new(0) }
    }

    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    pub(crate) fn get<Q>(&self, key: &HashedRef<'_, Q>) -> Option<Arc<Slot<V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.entries.get(key)
    }

    pub(crate) fn put(&self, key: Hashed<K>, slot: Arc<Slot<V>>) {
        let weight = slot.content().map_or(0, |content| u64::from(content.weight));
        self.entries.insert(key, slot);
        let untidied = self.untidied.fetch_add(weight, Ordering::Relaxed) + weight;
        if untidied > self.scale.capacity / 16 {
            self.tidy();
        }
    }

    pub(crate) fn remove<Q>(&self, key: &HashedRef<'_, Q>)
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.entries.invalidate(key);
    }

    /// Drops every entry that `keep` refuses.
    pub(crate) fn retain(&self, keep: impl Fn(&Slot<V>) -> bool) {
        for (key, slot) in &self.entries {
            if !keep(&slot) {
                self.entries.invalidate(&*key);
            }
        }
        self.tidy();
    }

    pub(crate) fn tidy(&self) {
        self.untidied.store(0, Ordering::Relaxed);
        self.entries.run_pending_tasks();
    }

    /// How many entries there are, and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.tidy();
        self.entries.iter().fold((0, 0), |(entries, bytes), (_, slot)| {
            (entries + 1, bytes + slot.content().map_or(0, |content| content.bytes))
        })
    }
}

impl<K: Hash, V> std::fmt::Debug for Shelf<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("scale", &self.scale).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_bound_the_entries_and_weights_the_bytes() {
        for (entries, bytes) in [
            (1, 1),
            (1, 1_000),
            (3, 10),
            (1_000, 1_000),
            (1_000, 64 << 20),
            (7, 1 << 40),
            (1_000_000, u64::MAX),
        ] {
            let scale = Scale::new(&Config::default().max_entries(entries).max_bytes(bytes));
            let smallest = u64::from(scale.weight(0).unwrap());
            assert!(smallest * entries <= scale.capacity, "{entries} fit into {bytes}: {scale:?}");
            assert!(smallest * (entries + 1) > scale.capacity, "no more than {entries}: {scale:?}");
            assert!(scale.capacity.saturating_mul(scale.unit) <= bytes, "{scale:?}");
            assert_eq!(scale.weight(bytes.saturating_add(1)).filter(|_| bytes < u64::MAX), None);
        }
    }
}
