//! What a gate is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::InvalidConfig;
use crate::config::{YEAR, millis};

/// How many at once, whether that adapts, and the bounds of waiting.
///
/// ```
/// use toolweir_ratelimit::GateConfig;
///
/// let config: GateConfig = serde_json::from_str(r#"{"maxInFlight": 20, "adaptive": true}"#)?;
/// assert_eq!(config, GateConfig::default().max_in_flight(20).adaptive(true));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct GateConfig {
    /// The most calls at once. Default 64.
    pub max_in_flight: u32,
    /// What an adaptive limit never falls below. Default 1.
    pub min_in_flight: u32,
    /// Whether the limit follows what the server bears. Default: no.
    pub adaptive: bool,
    /// An answer that takes longer is a sign of overload, in milliseconds in JSON (`slowMs`). Default 5 s.
    #[serde(rename = "slowMs", with = "millis")]
    pub slow: Duration,
    /// How many callers may wait, in all lines together. Default 256.
    pub max_waiting: usize,
    /// The longest wait for a place, in milliseconds in JSON (`maxWaitMs`). Default 1 s.
    #[serde(rename = "maxWaitMs", with = "millis")]
    pub max_wait: Duration,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            min_in_flight: 1,
            adaptive: false,
            slow: Duration::from_secs(5),
            max_waiting: 256,
            max_wait: Duration::from_secs(1),
        }
    }
}

impl GateConfig {
    /// Sets the most calls at once.
    #[must_use]
    pub fn max_in_flight(mut self, calls: u32) -> Self {
        self.max_in_flight = calls;
        self
    }

    /// Sets what an adaptive limit never falls below.
    #[must_use]
    pub fn min_in_flight(mut self, calls: u32) -> Self {
        self.min_in_flight = calls;
        self
    }

    /// Sets whether the limit follows what the server bears.
    #[must_use]
    pub fn adaptive(mut self, adaptive: bool) -> Self {
        self.adaptive = adaptive;
        self
    }

    /// Sets how long an answer takes that is a sign of overload.
    #[must_use]
    pub fn slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// Sets how many callers may wait.
    #[must_use]
    pub fn max_waiting(mut self, callers: usize) -> Self {
        self.max_waiting = callers;
        self
    }

    /// Sets the longest wait for a place.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that makes no sense, and why.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        if self.max_in_flight == 0 {
            return Err(InvalidConfig::new("maxInFlight", "must be at least 1"));
        }
        if self.min_in_flight == 0 {
            return Err(InvalidConfig::new("minInFlight", "must be at least 1"));
        }
        if self.min_in_flight > self.max_in_flight {
            return Err(InvalidConfig::new("minInFlight", "must be at most maxInFlight"));
        }
        if self.slow.is_zero() {
            return Err(InvalidConfig::new("slowMs", "must be at least 1"));
        }
        if self.max_wait > YEAR {
            return Err(InvalidConfig::new("maxWaitMs", "must be at most a year"));
        }
        Ok(())
    }
}
