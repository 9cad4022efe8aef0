//! Further tiers: where values are kept beside the memory of this process.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// A further place for values, behind the memory of this cache: slower, larger, often shared by several processes.
///
/// The cache asks it once a flight, before the fetch, and writes to it afterwards, in the order in which things
/// happened. Each of these calls has a [deadline](crate::Config::tier_timeout) and may fail, or panic: the tier then
/// [rests](crate::Config::tier_rest) and the caller gets what the fetch gives. It is never a reason for a call to fail.
///
/// What was invalidated here is not read from the tier, however late the tier hears of it: until it has confirmed
/// [`forget`](Self::forget), it is not asked. For what is invalidated in *other* processes the tier answers itself, by
/// [`Epochs`].
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use toolweir_cache::{Cache, Config, Forget, Sought, Terms, Tier, TierError};
///
/// /// Keeps everything for ever: an example, not a cache.
/// #[derive(Default)]
/// struct Map(Mutex<HashMap<u32, String>>);
///
/// #[async_trait]
/// impl Tier<u32, String> for Map {
///     async fn get(&self, key: &u32, _: &[Arc<str>]) -> Result<Sought<String>, TierError> {
///         let map = self.0.lock().map_err(|_| "poisoned")?;
///         let left = Duration::from_secs(60);
///         Ok(map.get(key).map_or_else(Sought::nothing, |value| Sought::found(value.clone(), left)))
///     }
///     async fn put(&self, key: &u32, value: &String, _: Terms<'_>) -> Result<(), TierError> {
///         self.0.lock().map_err(|_| "poisoned")?.insert(*key, value.clone());
///         Ok(())
///     }
///     async fn forget(&self, what: Forget<'_, u32>) -> Result<(), TierError> {
///         let mut map = self.0.lock().map_err(|_| "poisoned")?;
///         match what {
///             Forget::Key(key) => drop(map.remove(key)),
///             _ => map.clear(),
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shared = Arc::new(Map::default());
/// let process = || {
///     Cache::builder(Config::default())
///         .spawner(|work| drop(tokio::spawn(work)))
///         .timer(|time| Box::pin(tokio::time::sleep(time)))
///         .tier(shared.clone())
///         .build()
/// };
/// let (one, other) = (process()?, process()?);
/// one.get_or_fetch(7, async { Ok::<_, std::io::Error>("seven".to_owned()) }).await?;
/// tokio::task::yield_now().await;
///
/// let never = async { Err(std::io::Error::other("was asked again")) };
/// assert_eq!(other.get_or_fetch(7, never).await?, "seven");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Tier<K, V>: Send + Sync {
    /// What is kept under `key`, and how things stand with it and `groups` now.
    ///
    /// # Errors
    /// Fails where the tier cannot be asked; the value is then fetched.
    ///
    /// # Cancel safety
    /// Is dropped where its time is over, or nobody waits for the value any more.
    async fn get(&self, key: &K, groups: &[Arc<str>]) -> Result<Sought<V>, TierError>;

    /// Keeps a value, unless something that it belongs to was forgotten since its epochs were read.
    ///
    /// # Errors
    /// Fails where the tier cannot be asked; what a fetch brought is then not kept there.
    ///
    /// # Cancel safety
    /// Is dropped where its time is over: a value must be kept whole or not at all.
    async fn put(&self, key: &K, value: &V, terms: Terms<'_>) -> Result<(), TierError>;

    /// Forgets, for all who use the tier; confirmed by returning.
    ///
    /// # Errors
    /// Fails where the tier cannot be asked. It is asked for the same again, and until then for nothing else.
    ///
    /// # Cancel safety
    /// Is dropped where its time is over, and then called again.
    async fn forget(&self, what: Forget<'_, K>) -> Result<(), TierError>;
}

/// Why a tier could not do what it was asked for.
pub type TierError = Box<dyn StdError + Send + Sync>;

/// How things stood when a tier was asked: in a form of its own, such as a counter for each group.
///
/// A process that fetches a value while another one invalidates it must not store it afterwards. So a tier counts what
/// it forgets, tells these counts before the fetch, is told them again with the value, and does not keep it (or does
/// not find it again) where they have moved on. Empty where a tier is not shared.
pub type Epochs = Vec<u64>;

/// What a tier has of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sought<V> {
    /// The value, and for how long it is still fresh.
    pub found: Option<(V, Duration)>,
    /// How things stand with the key and its groups.
    pub epochs: Epochs,
}

impl<V> Sought<V> {
    /// A value that is fresh for `left`.
    #[must_use]
    pub fn found(value: V, left: Duration) -> Self {
        Self { found: Some((value, left)), epochs: Epochs::new() }
    }

    /// No value.
    #[must_use]
    pub fn nothing() -> Self {
        Self { found: None, epochs: Epochs::new() }
    }

    /// The same, as things stand.
    #[must_use]
    pub fn epochs(mut self, epochs: Epochs) -> Self {
        self.epochs = epochs;
        self
    }
}

/// How a value is to be kept by a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms<'a> {
    /// For how long it is fresh.
    pub ttl: Duration,
    /// What it belongs to.
    pub groups: &'a [Arc<str>],
    /// How things stood before it was fetched; `None` for a value that holds from now on, whatever was there.
    pub epochs: Option<&'a [u64]>,
}

/// What a tier is to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forget<'a, K> {
    /// One key.
    Key(&'a K),
    /// Everything of one group.
    Group(&'a str),
    /// Everything of every group whose name begins so.
    Prefix(&'a str),
    /// Everything.
    All,
}
