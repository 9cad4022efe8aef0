//! Remembering MCP replies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use toolweir_core::{
    CacheKey, Call, Clock, Error, Fetch, Freshness, Instant, Lookup, MonotonicClock, Principal,
    Reply, Scope, Store,
};

use crate::canonical::{Outermost, write};
use crate::entry::Landing;
use crate::key::Hashed;
use crate::{Builder, Cache, Config, ConfigError, Failure, Fetched, NoKey, Stats};

/// Remembers MCP replies: a [`Cache`] that knows whose a reply is.
///
/// * Only replies that [may be stored](Reply::is_storable) are, for their own `ttlMs` or else the lookup's; a reply
///   with neither is shared between those who ask at the same time, and not stored.
/// * A private reply is stored under its principal and reaches nobody else, not even those who wait for the same
///   key: under a key without a principal it is neither stored nor shared.
/// * A public reply fetched for one principal is stored for all.
/// * A stored reply says how much of its time is left ([`Reply::ttl`]); one that is past it, that none is.
/// * A reply that asks for input belongs to the call that got it.
/// * After an authorization error (401, 403, 407) what the principal has stored of the key's group is dropped.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use toolweir_cache::{Config, ReplyCache, call_key};
/// use toolweir_core::{Call, Freshness, Lookup, Method, RawJson, Reply, Store};
///
/// let cache = ReplyCache::new(Config::default())?;
/// let call = Call::new(Method::TOOLS_LIST, None);
/// let lookup = Lookup::new(call_key("github", &call)?).ttl(Duration::from_secs(60));
/// let fetch = || Box::pin(async { Ok(Reply::new(RawJson::EMPTY_OBJECT)) });
///
/// let reply = cache.get_or_fetch(lookup.clone(), fetch()).await?;
/// assert_eq!(reply.freshness, Freshness::Fetched);
/// let reply = cache.get_or_fetch(lookup, fetch()).await?;
/// assert_eq!(reply.freshness, Freshness::Cached);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ReplyCache(Cache<CacheKey, Kept>);

/// A reply as it is stored, here and in a further [tier](crate::Tier).
///
/// A tier hands back what it was given. Whom a reply may reach is looked at again on every read, so one that it
/// confuses with another's reaches nobody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kept {
    /// The reply.
    pub reply: Reply,
    /// For whom it was fetched.
    pub owner: Option<Principal>,
    /// When it was fetched, by the cache's clock. Where that is not known, none of its time is said to be left.
    pub fetched: Option<Instant>,
}

impl Kept {
    /// A reply that was fetched for `owner`.
    #[must_use]
    pub fn new(reply: Reply, owner: Option<Principal>) -> Self {
        Self { reply, owner, fetched: None }
    }

    /// The same reply, fetched at this time.
    #[must_use]
    pub fn fetched_at(mut self, at: Instant) -> Self {
        self.fetched = Some(at);
        self
    }

    fn into_reply(self, freshness: Freshness, clock: &dyn Clock) -> Reply {
        let mut reply = self.reply;
        reply.freshness = freshness;
        reply.ttl = match (reply.ttl, freshness) {
            (Some(ttl), Freshness::Cached) => Some(
                self.fetched
                    .map_or(Duration::ZERO, |fetched| ttl.saturating_sub(clock.now() - fetched)),
            ),
            (Some(_), Freshness::Stale) => Some(Duration::ZERO),
            (ttl, _) => ttl,
        };
        reply
    }
}

impl ReplyCache {
    /// A cache with the system's clock.
    ///
    /// # Errors
    /// Fails where the configuration cannot be used, and names the field.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, MonotonicClock)
    }

    /// A cache with this clock.
    ///
    /// # Errors
    /// Fails where the configuration cannot be used, and names the field.
    pub fn with_clock(config: Config, clock: impl Clock + 'static) -> Result<Self, ConfigError> {
        Self::build(Builder::new(config).clock(clock))
    }

    /// A cache of what [`Cache::builder`] puts together: with a spawner, a listener, a further tier.
    ///
    /// # Errors
    /// Fails where the configuration cannot be used, and names the field.
    pub fn build(builder: Builder<CacheKey, Kept>) -> Result<Self, ConfigError> {
        builder.weigher(weigh).admits(may_have).build().map(Self)
    }

    /// The stored reply, if it is fresh.
    #[must_use]
    pub fn get(&self, key: &CacheKey) -> Option<Reply> {
        let own = self.0.get(key).filter(|kept| may_have(key, kept));
        let kept = own.or_else(|| {
            let shared = shared_key(key)?;
            self.0.get(&shared).filter(|kept| may_have(&shared, kept))
        })?;
        Some(kept.into_reply(Freshness::Cached, &*self.0.shared.clock))
    }

    /// The stored reply, fresh or past its time by no more than `staleIfError`: for when no server can be asked.
    #[must_use]
    pub fn stale(&self, key: &CacheKey) -> Option<Reply> {
        let own = self.0.stale(key).filter(|found| may_have(key, &found.value));
        let found = own.or_else(|| {
            let shared = shared_key(key)?;
            self.0.stale(&shared).filter(|found| may_have(&shared, &found.value))
        })?;
        Some(found.value.into_reply(found.freshness, &*self.0.shared.clock))
    }

    /// Forgets everything of every group whose name begins with `prefix`.
    pub fn invalidate_prefix(&self, prefix: &str) {
        self.0.invalidate_prefix(prefix);
    }

    /// Forgets everything, including what is being fetched at this moment.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Frees the memory of replies that can no longer be served. Looks at every entry.
    pub fn purge(&self) {
        self.0.purge();
    }

    /// What the cache has done and what it holds. Looks at every entry.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn hashed(&self, key: CacheKey) -> Hashed<CacheKey> {
        Hashed { hash: self.0.shared.hashed(&key).hash, key }
    }
}

#[async_trait]
impl Store for ReplyCache {
    async fn get_or_fetch(&self, lookup: Lookup, fetch: Fetch) -> Result<Reply, Error> {
        let Lookup { key, ttl, .. } = lookup;
        let shared_key = shared_key(&key).map(|key| self.hashed(key));
        let owner = key.principal.clone();
        let landing = {
            let (shared_key, clock) = (shared_key.clone(), self.0.shared.clock.clone());
            async move {
                let reply = fetch.await.map_err(Failure::fetch)?;
                let public = reply.scope == Scope::Public;
                let ttl = reply.ttl.or(ttl).filter(|_| reply.is_storable());
                let unshared = reply.input_required || !(public || owner.is_some());
                let fetched = Fetched::new(Kept { reply, owner, fetched: Some(clock.now()) });
                let fetched = match ttl {
                    _ if unshared => fetched.unshared(),
                    Some(ttl) => fetched.ttl(ttl),
                    None => fetched.unstored(),
                };
                Ok(Landing { fetched, store_as: shared_key.filter(|_| public).map(Arc::new) })
            }
        };
        let group = key.group.clone();
        let principals =
            key.principal.as_ref().map(|principal| principals_group(&group, principal));
        let entry = self.0.entry(key).group(group).alternate(shared_key).forbids(principals);
        let found = entry.run(landing).await?;
        Ok(found.value.into_reply(found.freshness, &*self.0.shared.clock))
    }

    fn invalidate(&self, group: &str) {
        self.0.invalidate(group);
    }
}

/// Where a public reply to this key is stored; `None` where that is the key itself.
fn shared_key(key: &CacheKey) -> Option<CacheKey> {
    key.principal.is_some().then(|| CacheKey { principal: None, ..key.clone() })
}

/// What one principal has stored of a group. No group of a caller is named so: the separator is a control character.
fn principals_group(group: &str, principal: &Principal) -> Arc<str> {
    format!("{group}\u{1f}{}", principal.as_str()).into()
}

/// Whether this reply may be given to whoever asks with this key.
fn may_have(key: &CacheKey, kept: &Kept) -> bool {
    kept.reply.scope == Scope::Public || (key.principal.is_some() && key.principal == kept.owner)
}

fn weigh(key: &CacheKey, kept: &Kept) -> usize {
    let principal = key.principal.as_ref().map_or(0, |principal| principal.as_str().len());
    key.group.len() + principal + key.text.len() + kept.reply.size()
}

/// The key of a call's reply: its group, its caller, and its method, target and canonical params.
///
/// The params' `_meta` is left out: it speaks of the call (progress tokens, traces), not of what is asked.
///
/// # Errors
/// Fails where the params make no key (see [`canonical`](crate::canonical())), or where the call goes on with an
/// exchange: such a call is not cached.
pub fn call_key(group: impl Into<Arc<str>>, call: &Call) -> Result<CacheKey, NoKey> {
    const OUTERMOST: Outermost =
        Outermost { leave_out: &["_meta"], refuse: &["inputResponses", "requestState"] };
    let params = match &call.params {
        Some(params) => write(params, OUTERMOST)?,
        None => "{}".to_owned(),
    };
    let target = call.target.as_deref().unwrap_or_default();
    // The target's length keeps "a" with params apart from any target that contains a space.
    let text = format!("{} {} {target} {params}", call.method.as_str(), target.len());
    Ok(CacheKey {
        group: group.into(),
        principal: Some(call.client.principal.clone()),
        text: text.into(),
    })
}
