//! What can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much is kept, and how long.
///
/// In JSON the keys are `maxEntries`, `maxBytes`, `ttlMs`, `ttlJitterPercent`, `staleWhileRevalidateMs`,
/// `staleIfErrorMs`, `negativeTtlMs`, `maxWaiters`, `finishAbandoned`, `tierTimeoutMs` and `tierRestMs`; unknown keys and impossible values are refused by name.
///
/// ```
/// use std::time::Duration;
/// use toolweir_cache::Config;
///
/// let config = Config::default().max_entries(200).ttl(Duration::from_secs(60));
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
#[non_exhaustive]
pub struct Config {
    /// Most entries kept; 1,000 unless set.
    pub max_entries: u64,
    /// Most bytes kept, keys and values together; 64 MiB unless set. No entry larger than 15 MiB, or than 97 % of this, is sure
    /// to be kept.
    pub max_bytes: u64,
    /// How long an entry is fresh; 300 s unless set. An entry may state its own time.
    pub ttl: Duration,
    /// By how many percent of its time to live an entry may expire early, so that entries stored together do not
    /// expire together; 0 unless set.
    pub ttl_jitter_percent: u8,
    /// How long past its time an entry is still served while one caller fetches anew; 0 (off) unless set.
    pub stale_while_revalidate: Duration,
    /// How long past its time an entry is served where the fetch fails; 0 (off) unless set.
    pub stale_if_error: Duration,
    /// How long a lasting failure is remembered; 0 (failures are never remembered) unless set.
    pub negative_ttl: Duration,
    /// Most callers that wait for one fetch; 1,024 unless set.
    pub max_waiters: usize,
    /// Whether a fetch goes on although everyone who waited for it left; it is dropped with the last one unless set.
    pub finish_abandoned: bool,
    /// How long a [tier](crate::Tier) may take for one answer; 100 ms unless set.
    pub tier_timeout: Duration,
    /// For how long a tier that failed is not asked again; 1 s unless set.
    pub tier_rest: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 1_000,
            max_bytes: 64 * 1024 * 1024,
            ttl: Duration::from_secs(300),
            ttl_jitter_percent: 0,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative_ttl: Duration::ZERO,
            max_waiters: 1_024,
            finish_abandoned: false,
            tier_timeout: Duration::from_millis(100),
            tier_rest: Duration::from_secs(1),
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl Config {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            })*
        }
    };
}

setters! {
    /// The same with at most this many entries.
    max_entries: u64;
    /// The same with at most this many bytes.
    max_bytes: u64;
    /// The same with this time to live.
    ttl: Duration;
    /// The same with entries expiring up to this many percent early.
    ttl_jitter_percent: u8;
    /// The same, serving old entries this long while they are fetched anew.
    stale_while_revalidate: Duration;
    /// The same, serving old entries this long where the fetch fails.
    stale_if_error: Duration;
    /// The same, remembering lasting failures this long.
    negative_ttl: Duration;
    /// The same with at most this many callers waiting for one fetch.
    max_waiters: usize;
    /// The same, finishing fetches that everyone left, or not.
    finish_abandoned: bool;
    /// The same, giving a tier this long for one answer.
    tier_timeout: Duration;
    /// The same, asking a tier that failed again after this.
    tier_rest: Duration;
}

/// No duration may be longer: beyond it, adding to the clock would lose its meaning.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the first field that cannot be used, as it is written in JSON.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |field, problem| Err(ConfigError { field, problem });
        if self.max_entries == 0 {
            return refuse("maxEntries", "must be at least 1");
        }
        if self.max_bytes < self.max_entries {
            return refuse("maxBytes", "must be at least one byte for each of maxEntries");
        }
        if self.ttl.is_zero() {
            return refuse("ttlMs", "must be at least 1");
        }
        if self.tier_timeout.is_zero() {
            return refuse("tierTimeoutMs", "must be at least 1");
        }
        for (field, duration) in [
            ("ttlMs", self.ttl),
            ("staleWhileRevalidateMs", self.stale_while_revalidate),
            ("staleIfErrorMs", self.stale_if_error),
            ("negativeTtlMs", self.negative_ttl),
            ("tierTimeoutMs", self.tier_timeout),
            ("tierRestMs", self.tier_rest),
        ] {
            if duration > LONGEST {
                return refuse(field, "must be at most ten years");
            }
        }
        if self.ttl_jitter_percent > 100 {
            return refuse("ttlJitterPercent", "must be at most 100");
        }
        if self.max_waiters == 0 {
            return refuse("maxWaiters", "must be at least 1");
        }
        Ok(())
    }
}

/// A value in the configuration that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field, as it is written in JSON.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The configuration as it stands in a file: durations in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    max_entries: u64,
    max_bytes: u64,
    ttl_ms: u64,
    ttl_jitter_percent: u8,
    stale_while_revalidate_ms: u64,
    stale_if_error_ms: u64,
    negative_ttl_ms: u64,
    max_waiters: usize,
    finish_abandoned: bool,
    tier_timeout_ms: u64,
    tier_rest_ms: u64,
}

impl Default for Written {
    fn default() -> Self {
        Config::default().into()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<Config> for Written {
    fn from(config: Config) -> Self {
        Self {
            max_entries: config.max_entries,
            max_bytes: config.max_bytes,
            ttl_ms: millis(config.ttl),
            ttl_jitter_percent: config.ttl_jitter_percent,
            stale_while_revalidate_ms: millis(config.stale_while_revalidate),
            stale_if_error_ms: millis(config.stale_if_error),
            negative_ttl_ms: millis(config.negative_ttl),
            max_waiters: config.max_waiters,
            finish_abandoned: config.finish_abandoned,
            tier_timeout_ms: millis(config.tier_timeout),
            tier_rest_ms: millis(config.tier_rest),
        }
    }
}

impl TryFrom<Written> for Config {
    type Error = ConfigError;
    fn try_from(written: Written) -> Result<Self, ConfigError> {
        let config = Self {
            max_entries: written.max_entries,
            max_bytes: written.max_bytes,
            ttl: Duration::from_millis(written.ttl_ms),
            ttl_jitter_percent: written.ttl_jitter_percent,
            stale_while_revalidate: Duration::from_millis(written.stale_while_revalidate_ms),
            stale_if_error: Duration::from_millis(written.stale_if_error_ms),
            negative_ttl: Duration::from_millis(written.negative_ttl_ms),
            max_waiters: written.max_waiters,
            finish_abandoned: written.finish_abandoned,
            tier_timeout: Duration::from_millis(written.tier_timeout_ms),
            tier_rest: Duration::from_millis(written.tier_rest_ms),
        };
        config.validate()?;
        Ok(config)
    }
}
