//! Remembering replies.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Principal, Reply};

/// What makes two calls ask the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// What is invalidated together, such as `github` or `github tools/list`.
    pub group: Arc<str>,
    /// Whose reply it is; `None` where everyone's is the same.
    pub principal: Option<Principal>,
    /// The rest: method, target, canonical params.
    pub text: Arc<str>,
}

/// Shows the size of the text only: it holds params, which may carry secrets.
impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheKey")
            .field("group", &self.group)
            .field("principal", &self.principal)
            .field("text", &format_args!("{} bytes", self.text.len()))
            .finish()
    }
}

/// A reply that is looked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lookup {
    /// Under which key.
    pub key: CacheKey,
    /// How long to keep a reply that states no time to live itself; `None`: such a reply is not kept, only
    /// shared between callers that ask at the same time.
    pub ttl: Option<Duration>,
}

impl Lookup {
    /// A lookup of `key` that keeps replies for their own time to live only.
    #[must_use]
    pub fn new(key: CacheKey) -> Self {
        Self { key, ttl: None }
    }

    /// The same lookup, keeping replies that state no time to live for `ttl`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// The call that fetches a reply where none is stored. Owned, because it outlives the caller who began it
/// while others wait for the same reply.
pub type Fetch = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

/// Remembers replies, with one fetch a key at a time.
#[async_trait]
pub trait Store: Send + Sync {
    /// The stored reply, or what `fetch` returns.
    ///
    /// Callers that ask for the same key at the same time share one fetch. Only replies that may be
    /// stored are ([`Reply::is_storable`]); failures never are. [`Reply::freshness`] tells where the reply
    /// came from.
    ///
    /// # Errors
    /// The fetch's failure, shared by all who waited for it.
    ///
    /// # Cancel safety
    /// A caller that leaves takes nothing with it: the fetch goes on while anyone waits, and is dropped when
    /// nobody does.
    async fn get_or_fetch(&self, lookup: Lookup, fetch: Fetch) -> Result<Reply, Error>;

    /// Forgets everything of `group`, including what is being fetched at this moment.
    fn invalidate(&self, group: &str);
}
