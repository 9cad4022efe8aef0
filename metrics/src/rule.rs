//! Rules over rolling windows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolweir_core::Instant;

use crate::alert::Severity;
use crate::config::{InvalidConfig, Thresholds, within};
use crate::events::ServerEvents;
use crate::score::Score;
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
    /// Fewer operations than this in a window say nothing of failures and durations. 10 by default.
    #[serde(default = "min_operations")]
    pub min_operations: u64,
    /// For which servers it is; for all, where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
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
    /// The share of failures that an objective allows is used up too fast, in a long window and still in a short one.
    BurnRate {
        /// The share of successes that was promised, such as 0.99.
        objective: f64,
        /// How many times as fast as the objective allows is fine; 14.4 uses up a month's share in two days.
        above: f64,
        /// Over what time it has to be so, so that a moment is not enough. The last hour by default.
        #[serde(default = "hour")]
        long: Window,
        /// Over what time it still has to be so, so that it ends soon. The last five minutes by default.
        #[serde(default = "five_minutes")]
        short: Window,
    },
    /// A figure is beyond what is fine: on the one side or on the other.
    Threshold {
        /// Which figure.
        figure: Figure,
        /// The highest value that is fine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        above: Option<f64>,
        /// The lowest value that is fine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        below: Option<f64>,
    },
}

/// A figure of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Figure {
    /// Calls that began and did not end, as heard through [`Observer`](toolweir_core::Observer).
    InFlight,
    /// The [score](crate::Score), from 0 to 100.
    Score,
    /// Operations a second over the last minute, which is up to 5 s shorter.
    OperationsPerSecond,
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

fn hour() -> Window {
    Window::Hour
}

fn five_minutes() -> Window {
    Window::FiveMinutes
}

/// A figure, what it is held against, and on which side of that it is fine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    pub(crate) threshold: f64,
    low: bool,
}

impl Measured {
    fn above(value: f64, threshold: f64) -> Self {
        Self { value, threshold, low: false }
    }

    fn below(value: f64, threshold: f64) -> Self {
        Self { value, threshold, low: true }
    }

    fn is_crossed(&self) -> bool {
        if self.low { self.value < self.threshold } else { self.value > self.threshold }
    }

    /// Whether it is well on the side that is fine.
    fn is_well(&self, clear: f64) -> bool {
        if self.low {
            return self.value * clear > self.threshold;
        }
        self.value < self.threshold * clear || (self.value == 0.0 && !self.is_crossed())
    }
}

/// What can be known of one server.
pub(crate) struct Facts<'a> {
    pub(crate) statistics: &'a dyn Fn(Window) -> Option<Statistics>,
    pub(crate) events: &'a dyn Fn() -> ServerEvents,
    pub(crate) thresholds: &'a Thresholds,
}

impl Rule {
    /// A rule of this name, raised at once and over at 80 % of the threshold.
    #[must_use]
    pub fn new(name: impl Into<String>, severity: Severity, when: Condition) -> Self {
        let (clear, min_operations) = (clear(), min_operations());
        let servers = Vec::new();
        Self { name: name.into(), severity, when, for_ms: 0, clear, min_operations, servers }
    }

    /// The same rule for this server, and for others that it is for already.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>) -> Self {
        self.servers.push(name.into());
        self
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
            Condition::BurnRate { objective, above, long, short } => {
                within("burnRate.objective", objective, 0.0, 0.999_999).map_err(when)?;
                within("burnRate.above", above, 1e-3, 1e6).map_err(when)?;
                let Some(long) = seconds(long) else {
                    return Err(when(refused("burnRate.long", "must be a rolling window")));
                };
                if seconds(short).is_none_or(|short| short >= long) {
                    let reason = "must be a rolling window that is shorter than `long`";
                    return Err(when(refused("burnRate.short", reason)));
                }
                Ok(())
            }
            Condition::Threshold { above, below, .. } => match (above, below) {
                (Some(above), None) => within("threshold.above", above, 0.0, 1e12).map_err(when),
                (None, Some(below)) => within("threshold.below", below, 0.0, 1e12).map_err(when),
                _ => Err(when(refused("threshold", "must have either `above` or `below`"))),
            },
        }
    }

    /// Whether it is for this server.
    pub(crate) fn concerns(&self, server: &str) -> bool {
        self.servers.is_empty() || self.servers.iter().any(|name| name == server)
    }

    /// The figure and its threshold; `None` where too little happened.
    pub(crate) fn measure(&self, facts: &Facts<'_>) -> Option<Measured> {
        let enough = |window| {
            (facts.statistics)(window).filter(|found| found.total_operations >= self.min_operations)
        };
        match self.when {
            Condition::ErrorRate { window, above } => {
                Some(Measured::above(enough(window)?.error_rate(), above))
            }
            Condition::Latency { window, quantile, above_ms } => {
                Some(Measured::above(quantile.of(&enough(window)?), above_ms))
            }
            Condition::BurnRate { objective, above, long, short } => {
                let burn = |window| Some(enough(window)?.error_rate() / (1.0 - objective));
                Some(Measured::above(burn(long)?.min(burn(short)?), above))
            }
            Condition::Threshold { figure, above, below } => {
                let value = figure.of(facts);
                match (above, below) {
                    (Some(above), _) => Some(Measured::above(value, above)),
                    (None, below) => Some(Measured::below(value, below?)),
                }
            }
        }
    }
}

impl Figure {
    fn of(self, facts: &Facts<'_>) -> f64 {
        match self {
            Self::InFlight => (facts.events)().in_flight as f64,
            Self::Score => {
                let statistics = (facts.statistics)(Window::FiveMinutes);
                let score = Score::of(statistics.as_ref(), &(facts.events)(), facts.thresholds);
                f64::from(score.score)
            }
            Self::OperationsPerSecond => {
                let statistics = (facts.statistics)(Window::Minute);
                statistics.map_or(0.0, |found| found.total_operations as f64 / 60.0)
            }
        }
    }
}

/// How long a rolling window is.
fn seconds(window: Window) -> Option<u64> {
    match window {
        Window::Minute => Some(60),
        Window::FiveMinutes => Some(300),
        Window::Hour => Some(3_600),
        Window::Records | Window::Lifetime => None,
    }
}

fn refused(field: &str, reason: &str) -> InvalidConfig {
    InvalidConfig { field: field.to_owned(), reason: reason.to_owned() }
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
        measured: Option<Measured>,
        rule: &Rule,
        now: Instant,
    ) -> Option<Change> {
        let crossed = measured.is_some_and(|measured| measured.is_crossed());
        if *self == Self::Firing {
            if measured.is_none_or(|measured| measured.is_well(rule.clear)) {
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
            let measured = value.map(|value| Measured::above(value, 0.1));
            assert_eq!(phase.step(measured, &rule, now), expected, "second {second}");
        }
    }

    #[test]
    fn a_figure_that_is_too_low_ends_well_above() {
        let condition =
            Condition::Threshold { figure: Figure::Score, above: None, below: Some(50.0) };
        let rule = Rule::new("sick", Severity::Critical, condition);
        let mut phase = Phase::default();
        let (raised, resolved) = (Some(Change::Raised), Some(Change::Resolved));
        for (value, expected) in [
            (50.0, None),
            (49.0, raised),
            (10.0, None),
            (62.0, None), // above, but not well
            (62.5, None), // nor at the edge
            (63.0, resolved),
            (51.0, None),
            (0.0, raised),
        ] {
            let measured = Some(Measured::below(value, 50.0));
            assert_eq!(phase.step(measured, &rule, Instant::from_nanos(0)), expected, "{value}");
        }
    }

    #[test]
    fn nothing_wrong_at_all_is_well_whatever_the_threshold() {
        assert!(Measured::above(0.0, 0.0).is_well(0.5));
        assert!(!Measured::above(0.1, 0.0).is_well(0.5));
        assert!(!Measured::above(0.5, 1.0).is_well(0.5));
        assert!(Measured::above(0.49, 1.0).is_well(0.5));
    }
}
