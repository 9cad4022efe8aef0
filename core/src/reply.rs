//! What a server answered.

use std::sync::Arc;
use std::time::Duration;

use crate::RawJson;

/// A server's result, raw, with the few facts that patterns need.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The result as it came.
    pub result: RawJson,
    /// The tool says that it failed (`isError`). Still an answer: the server is there.
    pub is_error: bool,
    /// The server wants more input before it goes on (`resultType: "input_required"`).
    pub input_required: bool,
    /// The server goes on with it as a task, of which this is the handle (`resultType: "task"`, or, of 2025-11-25,
    /// a `task` that was asked for).
    pub is_task: bool,
    /// How long the server lets the result be reused (`ttlMs`).
    pub ttl: Option<Duration>,
    /// Who may share the result (`cacheScope`).
    pub scope: Scope,
    /// The server that answered, where that is known.
    pub server: Option<Arc<str>>,
    /// Whether the result was remembered.
    pub freshness: Freshness,
}

impl Reply {
    /// A plain success.
    #[must_use]
    pub fn new(result: RawJson) -> Self {
        Self {
            result,
            is_error: false,
            input_required: false,
            is_task: false,
            ttl: None,
            scope: Scope::Private,
            server: None,
            freshness: Freshness::Fetched,
        }
    }

    /// Whether the reply may be stored at all: errors, half-finished exchanges and handles of tasks never are.
    #[must_use]
    pub fn is_storable(&self) -> bool {
        !self.is_error && !self.input_required && !self.is_task
    }

    /// Size of the result in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.result.len()
    }
}

/// Who may share a cached reply. Private unless the server says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Only the principal that asked.
    #[default]
    Private,
    /// Everyone.
    Public,
}

/// Where a reply came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// From the server, for this call.
    #[default]
    Fetched,
    /// From the server, for another call that asked the same at the same time.
    Coalesced,
    /// From the cache, within its time to live.
    Cached,
    /// From the cache, past its time to live, because the server cannot be asked now.
    Stale,
}
