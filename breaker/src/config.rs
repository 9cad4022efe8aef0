//! What can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{MAX_COUNT, Settings};

/// When a breaker opens and how it recovers.
///
/// The default opens after 5 failures in a row, stays open for 60 s, and then lets one probe pass.
///
/// ```
/// use std::time::Duration;
/// use toolweir_breaker::{Config, Window};
///
/// let config = Config::default()
///     .cooldown(Duration::from_secs(5))
///     .max_cooldown(Duration::from_secs(120)) // doubles from 5 s
///     .jitter(0.2)
///     .window(Window::calls(100).failure_rate(0.5));
/// # let same: Config = serde_json::from_str(
/// #     r#"{"cooldownMs":5000,"maxCooldownMs":120000,"jitter":0.2,"window":{"calls":100,"failureRate":0.5}}"#)?;
/// # assert_eq!(config, same);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Config {
    /// How many failures in a row open it. Unset: 5 where there is no [`window`](Self::window), else off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// How long it stays open (`cooldownMs`).
    #[serde(rename = "cooldownMs", with = "millis")]
    pub cooldown: Duration,
    /// Up to what the cooldown grows while probes keep failing (`maxCooldownMs`). Unset: it does not grow.
    #[serde(rename = "maxCooldownMs", with = "millis_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cooldown: Option<Duration>,
    /// What the cooldown is multiplied by each time that probes fail.
    pub backoff: f64,
    /// By up to which share each cooldown is shortened at random, from 0 to 1.
    pub jitter: f64,
    /// Where the jitter begins, so that a run can be repeated. Unset: at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How many probes pass in half-open, and must succeed for it to close.
    pub probes: u32,
    /// After what time a probe that nobody settled counts as failed (`probeTimeoutMs`). Longer than any call.
    #[serde(rename = "probeTimeoutMs", with = "millis")]
    pub probe_timeout: Duration,
    /// Opens on a share of recent calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures: None,
            cooldown: Duration::from_secs(60),
            max_cooldown: None,
            backoff: 2.0,
            jitter: 0.0,
            seed: None,
            probes: 1,
            probe_timeout: Duration::from_secs(300),
            window: None,
        }
    }
}

impl Config {
    /// How many failures in a row open it.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = Some(failures);
        self
    }

    /// How long it stays open.
    #[must_use]
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// Up to what the cooldown grows while probes keep failing.
    #[must_use]
    pub fn max_cooldown(mut self, max_cooldown: Duration) -> Self {
        self.max_cooldown = Some(max_cooldown);
        self
    }

    /// What the cooldown is multiplied by each time that probes fail.
    #[must_use]
    pub fn backoff(mut self, backoff: f64) -> Self {
        self.backoff = backoff;
        self
    }

    /// By up to which share each cooldown is shortened at random.
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Where the jitter begins.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many probes pass in half-open, and must succeed for it to close.
    #[must_use]
    pub fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// After what time a probe that nobody settled counts as failed.
    #[must_use]
    pub fn probe_timeout(mut self, probe_timeout: Duration) -> Self {
        self.probe_timeout = probe_timeout;
        self
    }

    /// Opens on a share of recent calls.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = Some(window);
        self
    }

    /// Looks for values that make no sense.
    ///
    /// # Errors
    /// The first such value, by the name that it has in a file.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Settings::new(self).map(drop)
    }
}

/// The recent calls whose share of failures or of slow calls opens a breaker.
///
/// Give either `calls` or `time`. A share counts only once the window holds `minimum` calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Window {
    /// The last so many calls; at most a million (8 bytes each).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// The calls of the last so much time (`timeMs`), moving in tenths.
    #[serde(rename = "timeMs", with = "millis_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Duration>,
    /// How many calls it must hold before a share counts. Unset: 10, or all of a smaller window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u32>,
    /// The share of failed calls that opens, above 0 and at most 1.
    pub failure_rate: f64,
    /// From what time on a call is slow (`slowMs`). Unset: none is.
    #[serde(rename = "slowMs", with = "millis_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Duration>,
    /// The share of slow calls that opens, above 0 and at most 1.
    pub slow_rate: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            calls: None,
            time: None,
            minimum: None,
            failure_rate: 0.5,
            slow: None,
            slow_rate: 0.5,
        }
    }
}

impl Window {
    /// The last `calls` calls; opens where half of them failed.
    #[must_use]
    pub fn calls(calls: u32) -> Self {
        Self { calls: Some(calls), ..Self::default() }
    }

    /// The calls of the last `time`; opens where half of them failed.
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self { time: Some(time), ..Self::default() }
    }

    /// How many calls it must hold before a share counts.
    #[must_use]
    pub fn minimum(mut self, minimum: u32) -> Self {
        self.minimum = Some(minimum);
        self
    }

    /// The share of failed calls that opens.
    #[must_use]
    pub fn failure_rate(mut self, failure_rate: f64) -> Self {
        self.failure_rate = failure_rate;
        self
    }

    /// A call is slow from `slow` on; a share of `slow_rate` of such calls opens.
    #[must_use]
    pub fn slow(mut self, slow: Duration, slow_rate: f64) -> Self {
        self.slow = Some(slow);
        self.slow_rate = slow_rate;
        self
    }
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The value's name in a file, such as `window.failureRate`.
    pub field: &'static str,
    /// What it must be.
    pub problem: &'static str,
}

impl ConfigError {
    pub(crate) fn unless(
        holds: bool,
        field: &'static str,
        problem: &'static str,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { field, problem }) }
    }
}

/// Longest span that can be set; anything longer is a typing error.
const MAX_SPAN: Duration = Duration::from_secs(365 * 24 * 3600);
const MAX_CALLS: u32 = 1_000_000;

impl Settings {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let check = ConfigError::unless;
        let span = |value: Duration, field| {
            let holds = (Duration::from_millis(1)..=MAX_SPAN).contains(&value);
            check(holds, field, "must be from 1 ms to 365 days").map(|()| nanos(value))
        };
        let share = |value: f64, field| {
            check(value > 0.0 && value <= 1.0, field, "must be above 0 and at most 1")
                .map(|()| millionths(value))
        };
        let failures = match (config.failures, &config.window) {
            (Some(failures), _) => {
                let holds = (1..=MAX_COUNT).contains(&failures);
                check(holds, "failures", "must be from 1 to 536870911")?;
                failures
            }
            (None, None) => 5,
            (None, Some(_)) => u32::MAX,
        };
        let cooldown = span(config.cooldown, "cooldownMs")?;
        let max_cooldown = config.max_cooldown.unwrap_or(config.cooldown);
        let cap = span(max_cooldown, "maxCooldownMs")?;
        check(cap >= cooldown, "maxCooldownMs", "must be at least cooldownMs")?;
        check((1.0..=1000.0).contains(&config.backoff), "backoff", "must be from 1 to 1000")?;
        check((0.0..=1.0).contains(&config.jitter), "jitter", "must be from 0 to 1")?;
        check((1..=MAX_CALLS).contains(&config.probes), "probes", "must be from 1 to 1000000")?;
        let mut settings = Self {
            failures,
            cooldown,
            cap,
            backoff: config.backoff,
            jitter: config.jitter,
            seed: config.seed,
            probes: config.probes,
            probe_timeout: span(config.probe_timeout, "probeTimeoutMs")?,
            calls: 0,
            time: 0,
            minimum: 0,
            failure_rate: 0,
            slow: u64::MAX,
            slow_rate: 0,
        };
        if let Some(window) = &config.window {
            match (window.calls, window.time) {
                (Some(calls), None) => {
                    let holds = (1..=MAX_CALLS).contains(&calls);
                    check(holds, "window.calls", "must be from 1 to 1000000")?;
                    settings.calls = calls as usize;
                }
                (None, Some(time)) => {
                    settings.time = span(time, "window.timeMs")?;
                    let holds = time >= Duration::from_millis(10);
                    check(holds, "window.timeMs", "must be at least 10 ms")?;
                }
                (None, None) => check(false, "window", "must have either calls or timeMs")?,
                (Some(_), Some(_)) => {
                    check(false, "window", "must not have both calls and timeMs")?;
                }
            }
            let most = window.calls.unwrap_or(u32::MAX);
            let minimum = window.minimum.unwrap_or(most.min(10));
            let holds = (1..=most).contains(&minimum);
            check(holds, "window.minimum", "must be at least 1 and at most window.calls")?;
            settings.minimum = u64::from(minimum);
            settings.failure_rate = share(window.failure_rate, "window.failureRate")?;
            settings.slow_rate = share(window.slow_rate, "window.slowRate")?;
            if let Some(slow) = window.slow {
                settings.slow = span(slow, "window.slowMs")?;
            }
        }
        Ok(settings)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Millionths, so that shares compare exactly: 0.07 of 100 calls is 7, which 0.07 × 100.0 is not.
fn millionths(share: f64) -> u64 {
    ((share * 1e6).round() as u64).max(1)
}

pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

mod millis_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::millis::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}
