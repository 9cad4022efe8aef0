//! What observers hear.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use toolweir_core::Instant;

use crate::Refusal;

/// Something that happened at a limit, for those who count or log it.
///
/// Calls that pass are no event: whoever makes them knows, and they are the path that is to cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A call was refused.
    Refused(Refusal),
    /// A caller waits.
    Waiting {
        /// When its turn comes; `None` at a gate, where that depends on those inside.
        due: Option<Instant>,
    },
    /// Nothing goes before then.
    Paused {
        /// When the pause ends.
        until: Instant,
    },
    /// A gate's adaptive limit has moved.
    LimitChanged {
        /// How many calls might run at once before.
        from: usize,
        /// How many may now.
        to: usize,
    },
}

/// Those who listen at a limit of keys `K`.
pub(crate) struct Listeners<K>(Vec<Listener<K>>);

type Listener<K> = Box<dyn Fn(&K, &Event) + Send + Sync>;

impl<K> Listeners<K> {
    pub(crate) fn add(&mut self, listener: impl Fn(&K, &Event) + Send + Sync + 'static) {
        self.0.push(Box::new(listener));
    }

    /// Tells all of them; holds no lock, and a listener's panic is not the caller's.
    #[cold]
    pub(crate) fn tell(&self, key: impl FnOnce() -> K, event: Event) {
        if self.0.is_empty() {
            return;
        }
        let key = key();
        for listener in &self.0 {
            // The panic hook has told of it.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&key, &event)));
        }
    }
}

impl<K> Default for Listeners<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K> fmt::Debug for Listeners<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listeners", self.0.len())
    }
}
