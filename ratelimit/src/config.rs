//! What a limiter is told.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rate::Rate;

/// How fast, how bursty, how long to wait, and the bounds of every table and queue.
///
/// ```
/// use toolweir_ratelimit::Config;
///
/// let config: Config = serde_json::from_str(r#"{"requestsPerSecond": 2.5, "burst": 5}"#)?;
/// assert_eq!(config, Config::default().requests_per_second(2.5).burst(5));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The lasting rate of each bucket, above 0. The interval between two calls is rounded up to a whole
    /// nanosecond, so the rate is never exceeded. Default 10.
    pub requests_per_second: f64,
    /// How many calls may come at once. Default: the rate, rounded up to a whole number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// The longest wait for a turn, in milliseconds in JSON (`maxWaitMs`). Default 1 s.
    #[serde(rename = "maxWaitMs", with = "millis")]
    pub max_wait: Duration,
    /// How many callers may wait for one bucket. Default 1,000.
    pub max_waiting: usize,
    /// How many keys have a bucket of their own. Default 10,000.
    pub max_keys: usize,
    /// The longest pause that `penalize` accepts, in milliseconds in JSON (`maxPauseMs`). Default 5 min.
    #[serde(rename = "maxPauseMs", with = "millis")]
    pub max_pause: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requests_per_second: 10.0,
            burst: None,
            max_wait: Duration::from_secs(1),
            max_waiting: 1_000,
            max_keys: 10_000,
            max_pause: Duration::from_secs(300),
        }
    }
}

/// A year: long enough for any limit, short enough that no sum of such times overflows.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Config {
    /// Sets the lasting rate.
    #[must_use]
    pub fn requests_per_second(mut self, rate: f64) -> Self {
        self.requests_per_second = rate;
        self
    }

    /// Sets how many calls may come at once.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Sets the longest wait for a turn.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets how many callers may wait for one bucket.
    #[must_use]
    pub fn max_waiting(mut self, callers: usize) -> Self {
        self.max_waiting = callers;
        self
    }

    /// Sets how many keys have a bucket of their own.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets the longest pause that `penalize` accepts.
    #[must_use]
    pub fn max_pause(mut self, pause: Duration) -> Self {
        self.max_pause = pause;
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that makes no sense, and why.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        self.rate().map(drop)
    }

    /// The checked rate.
    pub(crate) fn rate(&self) -> Result<Rate, InvalidConfig> {
        let per_second = self.requests_per_second;
        if !(per_second.is_finite() && per_second > 0.0) {
            return Err(InvalidConfig::new("requestsPerSecond", "must be a number above 0"));
        }
        if per_second > 1e9 {
            return Err(InvalidConfig::new("requestsPerSecond", "must be at most 1000000000"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above: positive and at most 1e9"
        )]
        let rounded_up = per_second.ceil() as u32;
        let burst = NonZeroU32::new(self.burst.unwrap_or(rounded_up))
            .ok_or_else(|| InvalidConfig::new("burst", "must be at least 1"))?;
        if 1.0 / per_second * f64::from(burst.get()) > YEAR.as_secs_f64() {
            return Err(InvalidConfig::new(
                "requestsPerSecond",
                "is too low: an empty bucket would take more than a year to fill",
            ));
        }
        if self.max_keys == 0 {
            return Err(InvalidConfig::new("maxKeys", "must be at least 1"));
        }
        for (field, value) in [("maxWaitMs", self.max_wait), ("maxPauseMs", self.max_pause)] {
            if value > YEAR {
                return Err(InvalidConfig::new(field, "must be at most a year"));
            }
        }
        Ok(Rate::new(per_second, burst))
    }
}

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidConfig {
    field: &'static str,
    problem: &'static str,
}

impl InvalidConfig {
    pub(crate) fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }

    /// The field, as it is spelled in JSON.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> &'static str {
        self.problem
    }
}

/// Durations as whole milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
