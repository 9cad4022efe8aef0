//! The cache through its public API.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod bounds;
mod canonical;
mod config;
mod events;
mod flight;
mod model;
mod principals;
mod reply;
mod schedules;
mod stale;
mod support;
mod threads;
mod tier;
mod time;

/// What the flight's source is locked with here.
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}
