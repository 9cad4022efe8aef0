//! Which server first?

use std::fmt;
use std::ops::Deref;

use crate::{Call, Instant};

/// Names one registered server within one orchestrator; never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u32);

impl ServerId {
    /// The id of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Ranks the servers that can answer a call.
pub trait Select: Send + Sync {
    /// The best of `among`, best first, at most [`RANKED_MAX`].
    ///
    /// `among` are the servers that can answer at all. An unhealthy server never stands before a healthy
    /// one; where all are unhealthy they are ranked all the same.
    fn rank(&self, call: &Call, among: &[ServerId], now: Instant) -> Ranked;
}

/// How many servers one call may try.
pub const RANKED_MAX: usize = 4;

/// At most [`RANKED_MAX`] servers, best first, without an allocation.
#[derive(Clone, Copy)]
pub struct Ranked {
    ids: [ServerId; RANKED_MAX],
    len: usize,
}

impl Ranked {
    /// No server.
    #[must_use]
    pub const fn none() -> Self {
        Self { ids: [ServerId(0); RANKED_MAX], len: 0 }
    }

    /// Adds a server behind the others; left out where there are [`RANKED_MAX`] already.
    pub fn push(&mut self, id: ServerId) {
        if let Some(slot) = self.ids.get_mut(self.len) {
            *slot = id;
            self.len += 1;
        }
    }
}

impl FromIterator<ServerId> for Ranked {
    fn from_iter<I: IntoIterator<Item = ServerId>>(ids: I) -> Self {
        let mut ranked = Self::none();
        for id in ids.into_iter().take(RANKED_MAX) {
            ranked.push(id);
        }
        ranked
    }
}

impl Deref for Ranked {
    type Target = [ServerId];
    fn deref(&self) -> &Self::Target {
        &self.ids[..self.len]
    }
}

impl Default for Ranked {
    fn default() -> Self {
        Self::none()
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Ranked {}

impl fmt::Debug for Ranked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
