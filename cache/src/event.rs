//! What a listener hears.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::Failure;

/// Something that happened in a cache; heard by a [listener](crate::Builder::listener).
///
/// Looks that find something are so many that they are [counted](crate::Cache::stats) only.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a, K> {
    /// A fetch was begun.
    Began {
        /// For this key.
        key: &'a K,
    },
    /// A value was stored, or a failure that is remembered.
    Stored {
        /// Under this key.
        key: &'a K,
        /// As it is weighed.
        bytes: u64,
    },
    /// A fetch failed, or panicked.
    Failed {
        /// For this key.
        key: &'a K,
        /// Why.
        failure: &'a Failure,
    },
    /// An old value was served in place of a failure, or while it is fetched anew.
    Stale {
        /// Of this key.
        key: &'a K,
    },
    /// A caller was refused, since too many wait.
    Refused {
        /// For this key.
        key: &'a K,
    },
    /// An entry had to make room.
    Evicted {
        /// The one of this key.
        key: &'a K,
    },
    /// A group was invalidated, or all that begin so, or everything (an empty prefix).
    Invalidated {
        /// The name, or its beginning.
        group: &'a str,
        /// Whether it is a beginning.
        prefix: bool,
    },
    /// A further tier failed, was late, or panicked.
    TierFailed {
        /// How.
        error: &'a (dyn StdError + Send + Sync),
    },
}

type Hear<K> = dyn Fn(&Event<'_, K>) + Send + Sync;

/// Hears of events.
pub(crate) struct Listener<K>(Arc<Hear<K>>);

impl<K> Listener<K> {
    pub(crate) fn new(listener: impl Fn(&Event<'_, K>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells of an event; a listener that panics harms nobody but itself.
    pub(crate) fn hear(&self, event: &Event<'_, K>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.0)(event))) {
            std::mem::forget(panic); // its destructor may panic again
        }
    }
}

impl<K> Clone for Listener<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
