//! A function that remembers its results.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::{Cache, Failure};

/// An async function whose results are remembered by its argument; made by [`Cache::cached`].
///
/// Functions that share a cache share its keys: give each its own cache, or tell them apart in the key.
#[derive(Clone)]
pub struct Cached<K, V: Clone + Send + Sync + 'static, F> {
    cache: Cache<K, V>,
    function: F,
    ttl: Option<Duration>,
    group: Option<Arc<str>>,
}

impl<K, V: Clone + Send + Sync + 'static, F> Cached<K, V, F> {
    pub(crate) fn new(cache: Cache<K, V>, function: F) -> Self {
        Self { cache, function, ttl: None, group: None }
    }

    /// Keeps results for `ttl` instead of the configured time.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Keeps results until `group` is [invalidated](Cache::invalidate).
    #[must_use]
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.group = Some(group.into());
        self
    }
}

impl<K, V, F> Cached<K, V, F>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The remembered result, or what the function returns for `argument`.
    ///
    /// # Errors
    /// As [`Cache::get_or_fetch`].
    ///
    /// # Cancel safety
    /// As [`Cache::get_or_fetch`].
    pub async fn call<R, E>(&self, argument: K) -> Result<V, Failure>
    where
        F: Fn(K) -> R + Clone + Send + 'static,
        R: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut entry = self.cache.entry(argument.clone());
        if let Some(ttl) = self.ttl {
            entry = entry.ttl(ttl);
        }
        if let Some(group) = &self.group {
            entry = entry.group(group.clone());
        }
        let function = self.function.clone();
        // The function is called only where its result is needed.
        let found = entry.fetch(async move { function(argument).await }).await?;
        Ok(found.value)
    }
}

impl<K, V: Clone + Send + Sync + 'static, F> fmt::Debug for Cached<K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("ttl", &self.ttl)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
