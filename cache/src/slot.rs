//! What is stored under one key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use toolweir_core::Instant;

use crate::Failure;
use crate::group::Mark;
use crate::key::Hashed;

/// A place for one value, made when its fetch begins and filled when it ends.
///
/// It knows from its beginning what could make it invalid, so an invalidation during the fetch needs no check when
/// the value is stored: the value is stored invalid.
#[derive(Debug)]
pub(crate) struct Slot<K, V> {
    /// The key itself was removed or written while the fetch ran.
    doomed: AtomicBool,
    /// The whole cache's epoch.
    epoch: u64,
    marks: Box<[Mark]>,
    content: OnceLock<Content<K, V>>,
}

#[derive(Debug)]
pub(crate) struct Content<K, V> {
    /// What it is stored under; the store has the same.
    pub(crate) key: Arc<Hashed<K>>,
    /// A value, or a failure that is remembered.
    pub(crate) result: Result<V, Failure>,
    pub(crate) expires: Instant,
    pub(crate) weight: u64,
    /// In bytes, as they are reported.
    pub(crate) bytes: u64,
}

/// What a valid slot holds, seen at a moment.
#[derive(Debug)]
pub(crate) enum Seen<'a, V> {
    Fresh(&'a Result<V, Failure>),
    /// Past its time, by this much.
    Old(&'a V, Duration),
    Nothing,
}

impl<K, V> Slot<K, V> {
    pub(crate) fn new(epoch: u64, marks: Box<[Mark]>) -> Self {
        Self { doomed: AtomicBool::new(false), epoch, marks, content: OnceLock::new() }
    }

    /// Makes the slot invalid for good.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// Whether nothing that it belongs to was invalidated since it was made.
    pub(crate) fn is_current(&self, epoch: u64) -> bool {
        self.epoch == epoch
            && !self.doomed.load(Ordering::Acquire)
            && self.marks.iter().all(Mark::is_current)
    }

    /// Puts the content in; only the first counts.
    pub(crate) fn fill(&self, content: Content<K, V>) {
        let _ = self.content.set(content);
    }

    pub(crate) fn content(&self) -> Option<&Content<K, V>> {
        self.content.get()
    }

    pub(crate) fn see(&self, epoch: u64, now: Instant) -> Seen<'_, V> {
        match self.content() {
            Some(content) if self.is_current(epoch) => {
                if now < content.expires {
                    Seen::Fresh(&content.result)
                } else {
                    match &content.result {
                        Ok(value) => Seen::Old(value, now - content.expires),
                        Err(_) => Seen::Nothing,
                    }
                }
            }
            _ => Seen::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_fresh_until_its_time_and_not_at_it() {
        let slot = Slot::new(7, Box::default());
        let at = Instant::from_nanos;
        let key = Arc::new(Hashed { hash: 1, key: 'k' });
        let content = |result, expires| Content {
            key: key.clone(),
            result,
            expires: at(expires),
            weight: 1,
            bytes: 1,
        };
        assert!(matches!(slot.see(7, at(0)), Seen::Nothing));
        slot.fill(content(Ok('v'), 10));
        slot.fill(content(Ok('w'), 99));
        assert!(matches!(slot.see(7, at(9)), Seen::Fresh(Ok('v'))));
        assert!(matches!(slot.see(7, at(10)), Seen::Old('v', Duration::ZERO)));
        assert!(matches!(slot.see(8, at(9)), Seen::Nothing));
        slot.doom();
        assert!(matches!(slot.see(7, at(9)), Seen::Nothing));
    }
}
