//! Hearing what happens.

use std::sync::Arc;
use std::time::Duration;

use crate::{Call, Error, Instant, Outcome, ServerId};

/// Hears what happens: metrics and the router both do.
///
/// Called on the call path: an observer neither blocks nor waits.
pub trait Observer: Send + Sync {
    /// Hears of `event`, which happened at `now`.
    fn on_event(&self, event: &Event<'_>, now: Instant);
}

/// Which server an event concerns.
#[derive(Clone, Copy, Debug)]
pub struct ServerRef<'a> {
    /// Its id, for tables.
    pub id: ServerId,
    /// Its name, for people.
    pub name: &'a Arc<str>,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A call is about to be sent to a server.
    CallStart(CallStart<'a>),
    /// It ended; every start is followed by exactly one end.
    CallEnd(CallEnd<'a>),
    /// A probe, or the loss or the return of its connection, showed how a server is.
    Health {
        /// The server.
        server: ServerRef<'a>,
        /// Whether it can be called.
        healthy: bool,
        /// Why, for people.
        reason: &'a str,
    },
    /// A server's breaker changed its state.
    Breaker {
        /// The server.
        server: ServerRef<'a>,
        /// The new state: `closed`, `open`, `half_open`.
        state: &'static str,
    },
    /// A rate limit at a server refused a call.
    Limited {
        /// The server.
        server: ServerRef<'a>,
        /// Whose limit it was: `server`, `tool`, `user`.
        scope: &'static str,
        /// When it would be admitted.
        retry_after: Duration,
    },
    /// The cache was asked.
    Cache {
        /// How it ended.
        result: CacheUse,
    },
}

/// A call that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct CallStart<'a> {
    /// To which server.
    pub server: ServerRef<'a>,
    /// The call.
    pub call: &'a Call,
}

/// A call that ended.
#[derive(Clone, Copy, Debug)]
pub struct CallEnd<'a> {
    /// At which server.
    pub server: ServerRef<'a>,
    /// The call.
    pub call: &'a Call,
    /// How.
    pub outcome: Outcome,
    /// After what time.
    pub elapsed: Duration,
    /// Size of the result in bytes; 0 where there is none.
    pub reply_size: usize,
    /// The failure, where it failed.
    pub error: Option<&'a Error>,
}

/// How a look into the cache ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheUse {
    /// Found.
    Hit,
    /// Not found, fetched.
    Miss,
    /// Found past its time, served because the server could not be asked.
    Stale,
    /// Shared another caller's fetch.
    Coalesced,
    /// Not asked: the call may not be cached.
    Bypass,
}
