//! What can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// How much is kept, and what is worth an alert.
///
/// ```
/// use toolweir_metrics::{Config, Recorder};
///
/// let recorder = Recorder::new(Config::default().max_records(500))?;
/// # Ok::<(), toolweir_metrics::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// How many records are kept; the oldest goes first. 10,000 by default.
    pub max_records: usize,
    /// How many servers get a name of their own; further ones count under `_other`. 128 by default.
    pub max_servers: usize,
    /// How many operations get a name of their own, over all servers; one server has at most a quarter of
    /// them. Further ones count under their server's `_other`. 1,024 by default.
    pub max_operations: usize,
    /// What is worth an alert.
    pub alerts: Alerts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_records: 10_000,
            max_servers: 128,
            max_operations: 1_024,
            alerts: Alerts::default(),
        }
    }
}

impl Config {
    /// The same configuration with this many records kept.
    #[must_use]
    pub fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// The same configuration with this many named servers.
    #[must_use]
    pub fn max_servers(mut self, servers: usize) -> Self {
        self.max_servers = servers;
        self
    }

    /// The same configuration with this many named operations.
    #[must_use]
    pub fn max_operations(mut self, operations: usize) -> Self {
        self.max_operations = operations;
        self
    }

    /// The same configuration with these alerts.
    #[must_use]
    pub fn alerts(mut self, alerts: Alerts) -> Self {
        self.alerts = alerts;
        self
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that makes no sense, by its name.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        within("maxRecords", self.max_records, 1, 1_000_000)?;
        within("maxServers", self.max_servers, 1, 10_000)?;
        within("maxOperations", self.max_operations, 4, 100_000)?;
        self.alerts.validate().map_err(|error| error.within("alerts"))
    }
}

/// What is worth an alert, and when it is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Alerts {
    /// `high_latency`: a success that took longer than this. 5,000 ms by default.
    pub latency_ms: u64,
    /// `high_latency` is over after this many successes of the operation in a row that were fast enough.
    /// 10 by default.
    pub latency_clear_after: u32,
    /// `high_latency` is over, too, when nothing was slow for this long. Five minutes by default.
    pub latency_clear_ms: u64,
    /// `high_error_rate`: more than this many errors among a server's last 100 operations. 10 by default.
    pub errors: u32,
    /// `high_error_rate` is over when no more than this many are left among the last 100. 5 by default.
    pub errors_clear: u32,
    /// What [`Recorder::health`](crate::Recorder::health) holds the statistics against.
    pub thresholds: Thresholds,
    /// Further rules, at most 32; none by default.
    pub rules: Vec<Rule>,
}

/// How many of a server's last operations `high_error_rate` looks at.
pub(crate) const ERROR_WINDOW: u64 = 100;

impl Default for Alerts {
    fn default() -> Self {
        Self {
            latency_ms: 5_000,
            latency_clear_after: 10,
            latency_clear_ms: 300_000,
            errors: 10,
            errors_clear: 5,
            thresholds: Thresholds::default(),
            rules: Vec::new(),
        }
    }
}

impl Alerts {
    /// How many rules there can be.
    pub const MAX_RULES: usize = 32;

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that makes no sense, by its name.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        within("latencyMs", self.latency_ms, 1, 86_400_000)?;
        within("latencyClearAfter", self.latency_clear_after, 1, 1_000_000)?;
        within("latencyClearMs", self.latency_clear_ms, 1, 86_400_000)?;
        within("errors", u64::from(self.errors), 0, ERROR_WINDOW - 1)?;
        within("errorsClear", self.errors_clear, 0, self.errors)?;
        self.thresholds.validate().map_err(|error| error.within("thresholds"))?;
        within("rules", self.rules.len(), 0, Self::MAX_RULES)?;
        self.rules.iter().enumerate().try_for_each(|(index, rule)| {
            rule.validate().map_err(|error| error.within(&format!("rules[{index}]")))
        })
    }

    /// The same alerts with one more rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }
}

/// The limits of what counts as healthy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Thresholds {
    /// Share of operations that may fail. 0.05 by default.
    pub error_rate: f64,
    /// What the slowest in a hundred may take. 5,000 ms by default.
    pub latency_p99_ms: f64,
    /// What the typical operation may take. 1,000 ms by default.
    pub latency_p50_ms: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { error_rate: 0.05, latency_p99_ms: 5_000.0, latency_p50_ms: 1_000.0 }
    }
}

impl Thresholds {
    fn validate(&self) -> Result<(), InvalidConfig> {
        within("errorRate", self.error_rate, 0.0, 1.0)?;
        within("latencyP99Ms", self.latency_p99_ms, 0.0, 86_400_000.0)?;
        within("latencyP50Ms", self.latency_p50_ms, 0.0, 86_400_000.0)
    }
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
#[non_exhaustive]
pub struct InvalidConfig {
    /// Which, as it is written in the configuration: `alerts.thresholds.errorRate`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidConfig {
    pub(crate) fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }
}

pub(crate) fn within<T: PartialOrd + std::fmt::Display>(
    field: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), InvalidConfig> {
    if value >= least && value <= most {
        return Ok(());
    }
    let reason = format!("{value} is not between {least} and {most}");
    Err(InvalidConfig { field: field.to_owned(), reason })
}
