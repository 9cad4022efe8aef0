//! A small table of what was asked for lately, in front of the store.
//!
//! A look into moka pins an epoch, reads a clock and takes a place in a log, several times the cost of finding the
//! entry. Here it is one short lock and a weak pointer. The table is lossy by design: of two keys that meet in a bucket
//! one is asked for in the store, and so is whoever finds a bucket locked.
//!
//! What must stay true:
//! * Nothing is kept alive: the store alone decides what is held, and how much.
//! * Once a write has ended, nothing that was stored before it is found. While a bucket's key is written, the bucket is
//!   empty; and a look into the store that a write may have overtaken fills no bucket.
//! * The store learns what is asked for: one of [`SAMPLE`] finds is its own, and empties the bucket, so that an entry
//!   which it let go of, but has not freed yet, does not stay long either.

use std::sync::{Arc, PoisonError, TryLockError, Weak};

use crate::sync::{Mutex, MutexGuard};

/// Of so many finds the store hears of one.
pub(crate) const SAMPLE: u8 = 16;

/// Finds that a slot can have to its credit before another key's looks push it out, one each.
const MOST_CREDIT: u8 = 7;

/// How often a bucket that is locked is tried before the store is asked.
const TRIES: usize = 8;

pub(crate) struct Front<S> {
    buckets: Box<[Mutex<Bucket<S>>]>,
}

struct Bucket<S> {
    hash: u64,
    slot: Weak<S>,
    /// Writes begun since the beginning.
    writes: u32,
    /// Writes that have not ended.
    writing: u32,
    finds: u8,
    credit: u8,
}

/// What a look found.
pub(crate) enum Glance<S> {
    /// A slot of a key with this hash.
    Slot(Arc<S>),
    /// The store must be asked; with a pass, its answer may be [shown](Front::show).
    Ask(Option<Pass>),
}

/// Allows to fill a bucket with what the store says, unless somebody writes in between.
pub(crate) struct Pass {
    writes: u32,
}

impl<S> Front<S> {
    /// A table of at most so many buckets.
    pub(crate) fn new(buckets: usize) -> Self {
        let bucket =
            || Bucket { hash: 0, slot: Weak::new(), writes: 0, writing: 0, finds: 0, credit: 0 };
        let buckets = if buckets == 0 { 0 } else { 1 << buckets.ilog2() };
        Self { buckets: (0..buckets).map(|_| Mutex::new(bucket())).collect() }
    }

    fn bucket(&self, hash: u64) -> Option<&Mutex<Bucket<S>>> {
        self.buckets.get(hash as usize & self.buckets.len().wrapping_sub(1))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    #[inline]
    pub(crate) fn look(&self, hash: u64) -> Glance<S> {
        let Some(mut bucket) = self.bucket(hash).and_then(try_lock) else {
            return Glance::Ask(None);
        };
        if bucket.hash == hash {
            bucket.finds = (bucket.finds + 1) % SAMPLE;
            if bucket.finds > 0
                && let Some(slot) = bucket.slot.upgrade()
            {
                bucket.credit = MOST_CREDIT.min(bucket.credit + 1);
                return Glance::Slot(slot);
            }
            bucket.slot = Weak::new();
            bucket.credit = 0;
        } else if bucket.credit > 0 {
            bucket.credit -= 1;
            return Glance::Ask(None);
        }
        Glance::Ask((bucket.writing == 0).then_some(Pass { writes: bucket.writes }))
    }

    /// Fills the bucket with what the store had.
    pub(crate) fn show(&self, hash: u64, pass: &Pass, slot: &Arc<S>) {
        if let Some(mut bucket) = self.bucket(hash).and_then(try_lock)
            && bucket.writes == pass.writes
        {
            bucket.hash = hash;
            bucket.slot = Arc::downgrade(slot);
        }
    }

    /// Empties the bucket, and keeps it so while the store is written.
    #[must_use]
    pub(crate) fn write(&self, hash: u64) -> Writing<'_, S> {
        let bucket = self.bucket(hash);
        if let Some(bucket) = bucket {
            let mut bucket = lock(bucket);
            bucket.slot = Weak::new();
            bucket.credit = 0;
            bucket.writes = bucket.writes.wrapping_add(1);
            bucket.writing += 1;
        }
        Writing { bucket }
    }

    /// What one bucket takes, with what is left of a slot that was freed.
    pub(crate) const BYTES: usize = size_of::<Mutex<Bucket<S>>>() + size_of::<S>();
}

/// The store is being written.
pub(crate) struct Writing<'a, S> {
    bucket: Option<&'a Mutex<Bucket<S>>>,
}

impl<S> Drop for Writing<'_, S> {
    fn drop(&mut self) {
        if let Some(bucket) = self.bucket {
            lock(bucket).writing -= 1;
        }
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    for _ in 0..TRIES {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
        }
    }
    None
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
