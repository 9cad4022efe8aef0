//! The bounded store: quick_cache, told what each entry weighs.
//!
//! One capacity bounds both bytes and entries: an entry weighs its bytes, but at least its even share of the byte
//! bound. Time is not the store's business. It has several parts with a lock and a share of the capacity each, where
//! they are large enough to be one.

use std::hash::Hash;
use std::sync::Arc;

use equivalent::Equivalent;
use quick_cache::sync::Cache as Store;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::Config;
use crate::event::{Event, Listener};
use crate::key::{Carried, Hashed, HashedRef};
use crate::slot::Slot;

/// A part has room for so many entries at least: few enough for many parts, and so many that keys spread evenly.
const PART_ENTRIES: u64 = 64;

/// A part has so many bytes at least, so that large entries fit into one.
const PART_BYTES: u64 = 16 << 20;

/// More parts than threads that could meet in one.
const MOST_PARTS: u64 = 64;

/// How much of a part those entries may take that were asked for again. Nothing larger fits into a part.
const HOT: f64 = 0.97;

/// What the store itself takes for an entry, with what it remembers of those that it let go of; tested below.
const RECORDS: u64 = 128;

type Entries<K, V> = Store<Arc<Hashed<K>>, Arc<Slot<K, V>>, Weighed, Carried, Leaving>;

pub(crate) struct Shelf<K, V> {
    entries: Entries<K, V>,
    scale: Scale,
    listener: Option<Listener<K>>,
}

/// How bytes become weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// What an entry weighs at least.
    share: u64,
    /// A power of two.
    parts: u64,
    /// What the entries of one part may weigh together.
    part: u64,
    /// What an entry may weigh.
    most: u64,
}

impl Scale {
    pub(crate) fn new(config: &Config) -> Self {
        let share = (config.max_bytes / config.max_entries.max(1)).max(1);
        // `max_entries` shares fit, and never one more.
        let limit = share.saturating_mul(config.max_entries.saturating_add(1)) - 1;
        let parts = (config.max_entries / PART_ENTRIES).min(config.max_bytes / PART_BYTES);
        let parts = 1 << parts.clamp(1, MOST_PARTS).ilog2();
        let part = (config.max_bytes.min(limit) / parts).max(1);
        let most = ((part as f64 * HOT) as u64).max(1);
        Self { share: share.min(most), parts, part, most } // a single entry's share is all there is
    }

    /// The weight of an entry of so many bytes; `None` where it can never fit.
    pub(crate) fn weight(&self, bytes: u64) -> Option<u64> {
        Some(bytes.max(self.share)).filter(|weight| *weight <= self.most)
    }
}

impl<K, V> Shelf<K, V>
where
    K: Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// What an entry takes beside what it holds: the slot, the key's place, and the store's records.
    pub(crate) const OVERHEAD: u64 =
        (size_of::<Slot<K, V>>() + size_of::<Hashed<K>>()) as u64 + RECORDS;

    pub(crate) fn new(config: &Config, listener: Option<Listener<K>>) -> Self {
        let scale = Scale::new(config);
        let likely = config.max_entries.min(config.max_bytes / Self::OVERHEAD);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(likely).unwrap_or(usize::MAX))
            .weight_capacity(scale.part.saturating_mul(scale.parts))
            .shards(scale.parts as usize)
            .hot_allocation(HOT)
            .build()
            .expect("both capacities are given");
        let entries = Store::with_options(options, Weighed, Carried, Leaving);
        Self { entries, scale, listener }
    }

    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    #[inline]
    pub(crate) fn get<Q>(&self, key: &HashedRef<'_, Q>) -> Option<Arc<Slot<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.entries.get(key)
    }

    /// Stores a slot that is filled, under the key that it is filled with.
    pub(crate) fn put(&self, slot: Arc<Slot<K, V>>) {
        let Some(content) = slot.content() else { return };
        let key = content.key.clone();
        let mut left = Left::default();
        let Some(listener) = &self.listener else {
            return self.entries.insert_with_lifecycle(key, slot, &mut left);
        };
        let new = Arc::as_ptr(&slot);
        self.entries.insert_with_lifecycle(key.clone(), slot, &mut left);
        for left in left.slots() {
            let Some(content) = left.content() else { continue };
            let is_replaced = content.key == key && Arc::as_ptr(left) != new;
            if !is_replaced {
                listener.hear(&Event::Evicted { key: &content.key.key });
            }
        }
    }

    pub(crate) fn remove<Q>(&self, key: &HashedRef<'_, Q>)
    where
        Q: Equivalent<K> + ?Sized,
    {
        drop(self.entries.remove(key));
    }

    /// Drops every entry that `keep` refuses.
    pub(crate) fn retain(&self, keep: impl Fn(&Slot<K, V>) -> bool) {
        for (key, slot) in self.entries.iter() {
            if !keep(&slot) {
                // What has been stored since stays.
                drop(self.entries.remove_if(&key.borrowed(), |now| Arc::ptr_eq(now, &slot)));
            }
        }
    }

    /// How many entries there are, and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
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

/// An entry weighs what its slot says.
#[derive(Clone)]
struct Weighed;

impl<K, V> Weighter<Arc<Hashed<K>>, Arc<Slot<K, V>>> for Weighed {
    fn weight(&self, _: &Arc<Hashed<K>>, slot: &Arc<Slot<K, V>>) -> u64 {
        slot.content().map_or(0, |content| content.weight)
    }
}

/// Takes along what has to go, so that it is dropped, and told of, when the lock is gone.
#[derive(Clone)]
struct Leaving;

impl<K, V> Lifecycle<Arc<Hashed<K>>, Arc<Slot<K, V>>> for Leaving {
    type RequestState = Left<K, V>;

    fn on_evict(&self, left: &mut Left<K, V>, _: Arc<Hashed<K>>, slot: Arc<Slot<K, V>>) {
        match left.first {
            None => left.first = Some(slot),
            Some(_) => left.rest.push(slot),
        }
    }
}

/// What one write made leave; most make one leave at most.
struct Left<K, V> {
    first: Option<Arc<Slot<K, V>>>,
    rest: Vec<Arc<Slot<K, V>>>,
}

impl<K, V> Left<K, V> {
    fn slots(&self) -> impl Iterator<Item = &Arc<Slot<K, V>>> {
        self.first.iter().chain(&self.rest)
    }
}

impl<K, V> Default for Left<K, V> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Content;

    fn shelf(config: &Config) -> Shelf<u64, ()> {
        Shelf::new(config, None)
    }

    fn put(shelf: &Shelf<u64, ()>, hash: u64, key: u64) {
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

    fn mix(number: u64) -> u64 {
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn shares_bound_the_entries_and_weights_the_bytes() {
        for (entries, bytes, parts) in [
            (1, 1, 1),
            (1, 1_000, 1),
            (3, 10, 1),
            (1_000, 1_000, 1),
            (127, 64 << 20, 1),
            (128, 64 << 20, 2),
            (1_000, 31 << 20, 1),
            (1_000, 64 << 20, 4),
            (7, 1 << 40, 1),
            (1_000_000, 1 << 40, 64),
            (1_000_000, u64::MAX, 64),
        ] {
            let scale = Scale::new(&Config::default().max_entries(entries).max_bytes(bytes));
            assert_eq!(scale.parts, parts, "{entries} entries of {bytes} bytes");
            let capacity = scale.part * scale.parts;
            let smallest = scale.weight(0).unwrap();
            assert!(scale.part / smallest * parts + parts > entries, "{entries}: {scale:?}");
            assert!(capacity / smallest <= entries, "no more than {entries}: {scale:?}");
            assert!(capacity <= bytes && scale.part <= bytes / parts, "{scale:?}");
            assert_eq!(scale.weight(scale.most), Some(scale.most));
            assert_eq!(scale.weight(scale.most + 1), None);
        }
    }

    /// The store must take whatever [`Scale::weight`] says that fits, to the byte.
    #[test]
    fn the_largest_entry_that_fits_is_kept() {
        for bytes in [1_000, 12_345, 1 << 20, 48 << 20, 1 << 34] {
            let config = Config::default().max_bytes(bytes);
            let shelf = shelf(&config);
            let slot = Slot::new(0, Box::default());
            slot.fill(Content {
                key: Arc::new(Hashed { hash: mix(bytes), key: 7 }),
                result: Ok(()),
                expires: toolweir_core::Instant::FAR_FUTURE,
                weight: shelf.scale.most,
                bytes: shelf.scale.most,
            });
            shelf.put(Arc::new(slot));
            assert_eq!(shelf.size(), (1, shelf.scale.most), "of {bytes} bytes");
        }
    }

    #[test]
    fn the_stores_own_records_are_counted() {
        for entries in [64, 1_000, 2_100, 17_000, 20_000] {
            let shelf = shelf(&Config::default().max_entries(entries).max_bytes(1 << 30));
            for number in 0..entries * 3 {
                put(&shelf, mix(number), number);
            }
            let (kept, taken) = (shelf.size().0, shelf.entries.memory_used().total() as u64);
            println!("{kept} of {entries} entries, {} bytes each", taken / kept);
            assert!(kept * 10 > entries * 9, "{kept} of {entries} are kept");
            assert!(taken <= kept * RECORDS, "{taken} bytes for {kept} entries");
        }
    }

    /// Looks at and fills a shelf for a made-up trace; returns how many looks in 1,000 found their key.
    fn found(skew: f64) -> u64 {
        const KEYS: u64 = 4_000;
        const LOOKS: u64 = 200_000;
        let shelf = shelf(&Config::default().max_entries(500));
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
            match shelf.get(&HashedRef { hash, key: &key }) {
                Some(_) => hits += 1,
                None => put(&shelf, hash, key),
            }
        }
        hits * 1_000 / LOOKS
    }

    /// What moka (TinyLFU) found of the same traces: 458, 651 and 818.
    #[test]
    fn what_is_asked_for_often_is_kept() {
        for (skew, least) in [(0.7, 450), (0.9, 640), (1.1, 810)] {
            let found = found(skew);
            assert!(found >= least, "skew {skew}: {found} of 1,000 hit");
        }
    }
}
