//! The bounded store: moka, told what each entry weighs.
//!
//! One capacity bounds both bytes and entries: an entry weighs its bytes, but at least its even share of the byte
//! bound. Time is not moka's business here. What is asked for often is found in front of it.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use equivalent::Equivalent;
use moka::notification::RemovalCause;
use moka::sync::Cache as Moka;

use crate::Config;
use crate::event::{Event, Listener};
use crate::front::{Front, Glance};
use crate::key::{Carried, Hashed, HashedRef};
use crate::slot::Slot;

/// The most buckets in front of the store: half a megabyte.
const MOST_BUCKETS: u64 = 16_384;

pub(crate) struct Shelf<K, V> {
    front: Front<Slot<K, V>>,
    entries: Moka<Arc<Hashed<K>>, Arc<Slot<K, V>>, Carried>,
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
    /// What an entry takes beside what it holds: the slot, the key's place, what stands in front, and moka's own
    /// records, roughly.
    pub(crate) const OVERHEAD: u64 =
        (size_of::<Slot<K, V>>() + size_of::<Hashed<K>>() + Front::<Slot<K, V>>::BYTES + 160)
            as u64;

    pub(crate) fn new(config: &Config, listener: Option<Listener<K>>) -> Self {
        Self::with_front(config, listener, config.max_entries.min(MOST_BUCKETS))
    }

    fn with_front(config: &Config, listener: Option<Listener<K>>, buckets: u64) -> Self {
        let front = Front::new(usize::try_from(buckets).unwrap_or(0));
        let scale = Scale::new(config);
        let mut builder =
            Moka::builder().max_capacity(scale.capacity).weigher(|_, slot: &Arc<Slot<K, V>>| {
                slot.content().map_or(0, |content| content.weight)
            });
        if let Some(listener) = listener {
            builder = builder.eviction_listener(move |key: Arc<Arc<Hashed<K>>>, _, cause| {
                if cause == RemovalCause::Size {
                    listener.hear(&Event::Evicted { key: &key.key });
                }
            });
        }
        let entries = builder.build_with_hasher(Carried);
        Self { front, entries, scale, untidied: AtomicU64::new(0) }
    }

    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    #[inline]
    pub(crate) fn get<Q>(&self, key: &HashedRef<'_, Q>) -> Option<Arc<Slot<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let pass = match self.front.look(key.hash) {
            Glance::Slot(slot) if slot.is_of(key) => return Some(slot),
            Glance::Slot(_) => None,
            Glance::Ask(pass) => pass,
        };
        let slot = self.entries.get(key)?;
        if let Some(pass) = pass {
            self.front.show(key.hash, &pass, &slot);
        }
        Some(slot)
    }

    /// Stores a slot that is filled, under the key that it is filled with.
    pub(crate) fn put(&self, slot: Arc<Slot<K, V>>) {
        let Some(content) = slot.content() else { return };
        let (key, weight) = (content.key.clone(), u64::from(content.weight));
        let writing = self.front.write(key.hash);
        self.entries.insert(key, slot);
        drop(writing);
        let untidied = self.untidied.fetch_add(weight, Ordering::Relaxed) + weight;
        if untidied > self.scale.capacity / 16 {
            self.tidy();
        }
    }

    pub(crate) fn remove<Q>(&self, key: &HashedRef<'_, Q>)
    where
        Q: Equivalent<K> + ?Sized,
    {
        let _writing = self.front.write(key.hash);
        self.entries.invalidate(key);
    }

    /// Drops every entry that `keep` refuses.
    pub(crate) fn retain(&self, keep: impl Fn(&Slot<K, V>) -> bool) {
        for (key, slot) in &self.entries {
            if !keep(&slot) {
                self.remove(&key.borrowed());
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
    use crate::slot::Content;

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

    /// Looks at and fills a shelf for a made-up trace; returns how many looks in 1,000 found their key.
    fn found(buckets: u64, skew: f64) -> u64 {
        const KEYS: u64 = 4_000;
        const LOOKS: u64 = 200_000;
        let mix = |number: u64| {
            let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let config = Config::default().max_entries(500);
        let shelf = Shelf::<u64, ()>::with_front(&config, None, buckets);
        let sums: Vec<f64> = (1..=KEYS)
            .scan(0.0, |sum, rank| {
                *sum += (rank as f64).powf(-skew);
                Some(*sum)
            })
            .collect();
        let mut hits = 0;
        for turn in 0..LOOKS {
            let at = mix(turn + 1) as f64 / u64::MAX as f64 * sums[sums.len() - 1];
            let key = sums.partition_point(|sum| *sum < at) as u64;
            let hash = mix(key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            if shelf.get(&HashedRef { hash, key: &key }).is_some() {
                hits += 1;
                continue;
            }
            let slot = Slot::new(0, Box::default());
            slot.fill(Content {
                key: Arc::new(Hashed { hash, key }),
                result: Ok(()),
                expires: toolweir_core::Instant::FAR_FUTURE,
                weight: shelf.scale.weight(0).unwrap(),
                bytes: 0,
            });
            shelf.put(Arc::new(slot));
        }
        hits * 1_000 / LOOKS
    }

    #[test]
    fn what_stands_in_front_costs_no_hits() {
        for skew in [0.7, 0.9, 1.1] {
            let (without, with) = (found(0, skew), found(500, skew));
            assert!(
                with + 10 >= without,
                "skew {skew}: {with} of 1,000 hit, without a front {without}"
            );
            assert!(without > 300, "a trace worth keeping: {without}");
            println!("skew {skew}: {with} of 1,000 hit with it, {without} without");
        }
    }
}
