//! Rules over rolling windows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolweir_core::Instant;

use crate::alert::Severity;
use crate::config::{InvalidConfig, within};
use crate::statistics::Statistics;
use crate::window::Window;

/// What is worth an alert beyond the two that are built in; looked at by
/// [`Recorder::evaluate`](crate::Recorder::evaluate), for each server by itself.
///
/// ```
/// use toolweir_metrics::Rule;
///
/// let rule: Rule = serde_json::from_str(
///     r#"{"name": "slow", "severity": "warning", "forMs": 60000,
///         "when": {"latency": {"window": "fiveMinutes", "quantile": "p99", "aboveMs": 800}}}"#,
/// )?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Rule {
    /// What the alert is called.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// What has to be the case.
    pub when: Condition,
    /// For how long it has to be the case before the alert is raised. 0 by default.
    #[serde(default)]
    pub for_ms: u64,
    /// The alert is over when the figure is below this share of its threshold. 0.8 by default.
    #[serde(default = "clear")]
    pub clear: f64,
    /// Fewer operations than this in a window say nothing. 10 by default.
    #[serde(default = "min_operations")]
    pub min_operations: u64,
}

/// What has to be the case.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Condition {
    /// The share of failures is too high.
    ErrorRate {
        /// Over what time.
        window: Window,
        /// The highest share that is fine.
        above: f64,
    },
    /// A percentile is too high.
    Latency {
        /// Over what time.
        window: Window,
        /// Which percentile.
        quantile: Quantile,
        /// The longest duration that is fine.
        above_ms: f64,
    },
    /// The share of failures that an objective allows is used up too fast, in the last hour and still in the
    /// last five minutes.
    BurnRate {
        /// The share of successes that was promised, such as 0.99.
        objective: f64,
        /// How many times as fast as the objective allows is fine; 14.4 uses up a month's share in two days.
        above: f64,
    },
}

/// A percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Quantile {
    /// The typical duration.
    P50,
    /// Nine in ten are faster.
    P90,
    /// 95 in a hundred are faster.
    P95,
    /// 99 in a hundred are faster.
    P99,
    /// 999 in a thousand are faster.
    P999,
}

fn clear() -> f64 {
    0.8
}

fn min_operations() -> u64 {
    10
}

impl Rule {
    /// A rule of this name, raised at once and over at 80 % of the threshold.
    #[must_use]
    pub fn new(name: impl Into<String>, severity: Severity, when: Condition) -> Self {
        let (clear, min_operations) = (clear(), min_operations());
        Self { name: name.into(), severity, when, for_ms: 0, clear, min_operations }
    }

    /// The same rule, raised only when its condition has held for this long.
    #[must_use]
    pub fn holds_for(mut self, time: Duration) -> Self {
        self.for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        within("name", self.name.len(), 1, 100)?;
        within("forMs", self.for_ms, 0, 86_400_000)?;
        within("clear", self.clear, 0.0, 1.0)?;
        let when = |error: InvalidConfig| error.within("when");
        match self.when {
            Condition::ErrorRate { above, .. } => {
                within("errorRate.above", above, 1e-6, 1.0).map_err(when)
            }
            Condition::Latency { above_ms, .. } => {
                within("latency.aboveMs", above_ms, 1e-3, 86_400_000.0).map_err(when)
            }
            Condition::BurnRate { objective, above } => {
                within("burnRate.objective", objective, 0.0, 0.999_999).map_err(when)?;
                within("burnRate.above", above, 1e-3, 1e6).map_err(when)
            }
        }
    }

    /// The figure and its threshold; `None` where too little happened.
    pub(crate) fn measure(
        &self,
        statistics: impl Fn(Window) -> Option<Statistics>,
    ) -> Option<(f64, f64)> {
        let enough = |window| {
            statistics(window).filter(|found| found.total_operations >= self.min_operations)
        };
        match self.when {
            Condition::ErrorRate { window, above } => Some((enough(window)?.error_rate(), above)),
            Condition::Latency { window, quantile, above_ms } => {
                Some((quantile.of(&enough(window)?), above_ms))
            }
            Condition::BurnRate { objective, above } => {
                let burn = |window| Some(enough(window)?.error_rate() / (1.0 - objective));
                Some((burn(Window::Hour)?.min(burn(Window::FiveMinutes)?), above))
            }
        }
    }
}

impl Quantile {
    fn of(self, statistics: &Statistics) -> f64 {
        match self {
            Self::P50 => statistics.p50_duration_ms,
            Self::P90 => statistics.p90_duration_ms,
            Self::P95 => statistics.p95_duration_ms,
            Self::P99 => statistics.p99_duration_ms,
            Self::P999 => statistics.p999_duration_ms,
        }
    }
}

/// Where a rule stands with one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Calm,
    Pending(Instant),
    Firing,
}

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Raised,
    Resolved,
}

impl Phase {
    /// Calm => Pending: the threshold is crossed. Pending => Firing: for long enough. Pending => Calm: no longer.
    /// Firing => Calm: well below the threshold, or nothing happens any more.
    pub(crate) fn step(
        &mut self,
        measured: Option<(f64, f64)>,
        rule: &Rule,
        now: Instant,
    ) -> Option<Change> {
        let crossed = measured.is_some_and(|(value, threshold)| value > threshold);
        if *self == Self::Firing {
            let below = |(value, threshold): (f64, f64)| {
                value < threshold * rule.clear || (value == 0.0 && !crossed)
            };
            if measured.is_none_or(below) {
                *self = Self::Calm;
                return Some(Change::Resolved);
            }
            return None;
        }
        if !crossed {
            *self = Self::Calm;
            return None;
        }
        let since = match *self {
            Self::Pending(since) => since,
            _ => now,
        };
        *self = Self::Pending(since);
        if now - since < Duration::from_millis(rule.for_ms) {
            return None;
        }
        *self = Self::Firing;
        Some(Change::Raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_waits_fires_once_and_ends_well_below() {
        let condition = Condition::ErrorRate { window: Window::Minute, above: 0.1 };
        let rule = Rule::new("errors", Severity::Warning, condition);
        let rule = rule.holds_for(Duration::from_secs(2));
        let mut phase = Phase::default();
        let (raised, resolved) = (Some(Change::Raised), Some(Change::Resolved));
        for (second, value, expected) in [
            (0, Some(0.2), None),
            (1, Some(0.1), None), // not above
            (2, Some(0.2), None),
            (3, Some(0.2), None),
            (4, Some(0.2), raised),
            (5, Some(0.3), None),
            (6, Some(0.09), None), // below, but not well
            (7, Some(0.2), None),
            (8, Some(0.07), resolved),
            (9, Some(0.07), None),
            (10, Some(0.2), None),
            (12, Some(0.2), raised),
            (13, None, resolved),
            (14, None, None),
        ] {
            let now = Instant::from_nanos(second * 1_000_000_000);
            let measured = value.map(|value| (value, 0.1));
            assert_eq!(phase.step(measured, &rule, now), expected, "second {second}");
        }
    }
}
