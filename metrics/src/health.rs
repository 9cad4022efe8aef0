//! Health and the dashboard.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::alert::Alert;
use crate::config::Thresholds;
use crate::statistics::Statistics;
use crate::timestamp::Timestamp;

/// Everything at one glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Dashboard {
    /// When it was made.
    pub timestamp: Timestamp,
    /// How many records are kept.
    pub total_operations: u64,
    /// The figures of each server among them.
    pub servers: BTreeMap<String, Statistics>,
    /// The last ten active alerts, oldest first.
    pub active_alerts: Vec<Alert>,
    /// All in one word.
    pub system_health: SystemHealth,
}

/// The share of successes in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SystemHealth {
    /// At least 99 %.
    Excellent,
    /// At least 95 %.
    Good,
    /// At least 90 %.
    Fair,
    /// Less.
    Poor,
    /// Nothing was recorded.
    Unknown,
}

impl SystemHealth {
    /// The word for these figures.
    #[must_use]
    pub fn of(statistics: Option<&Statistics>) -> Self {
        match statistics.map(|statistics| statistics.success_rate) {
            None => Self::Unknown,
            Some(0.99..) => Self::Excellent,
            Some(0.95..) => Self::Good,
            Some(0.90..) => Self::Fair,
            Some(_) => Self::Poor,
        }
    }
}

/// How the figures stand against the thresholds.
///
/// Its JSON has `status`, and where there is data also `issues` and `timestamp`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// Which thresholds are crossed.
    pub issues: Vec<Issue>,
    /// When it was looked at.
    pub timestamp: Timestamp,
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let no_data = self.status == Status::NoData;
        let mut health = serializer.serialize_struct("Health", if no_data { 1 } else { 3 })?;
        health.serialize_field("status", &self.status)?;
        if !no_data {
            health.serialize_field("issues", &self.issues)?;
            health.serialize_field("timestamp", &self.timestamp)?;
        }
        health.end()
    }
}

/// Health in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// No threshold is crossed.
    Healthy,
    /// At least one is.
    Unhealthy,
    /// Nothing was recorded.
    NoData,
}

/// A threshold that is crossed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Issue {
    /// Which.
    #[serde(rename = "type")]
    pub kind: IssueKind,
    /// Where the figure stands: the success rate, or milliseconds.
    pub value: f64,
    /// Where it should stand at the worst.
    pub threshold: f64,
}

/// Which threshold is crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IssueKind {
    /// Too few successes.
    HighErrorRate,
    /// The slowest in a hundred are too slow.
    HighLatencyP99,
    /// The typical operation is too slow.
    HighLatencyP50,
}

impl Health {
    pub(crate) fn of(
        statistics: Option<&Statistics>,
        thresholds: &Thresholds,
        timestamp: Timestamp,
    ) -> Self {
        let Some(statistics) = statistics else {
            return Self { status: Status::NoData, issues: Vec::new(), timestamp };
        };
        let mut issues = Vec::new();
        let least = 1.0 - thresholds.error_rate;
        if statistics.success_rate < least {
            let value = statistics.success_rate;
            issues.push(Issue { kind: IssueKind::HighErrorRate, value, threshold: least });
        }
        let latencies = [
            (IssueKind::HighLatencyP99, statistics.p99_duration_ms, thresholds.latency_p99_ms),
            (IssueKind::HighLatencyP50, statistics.p50_duration_ms, thresholds.latency_p50_ms),
        ];
        for (kind, value, threshold) in latencies {
            if value > threshold {
                issues.push(Issue { kind, value, threshold });
            }
        }
        let status = if issues.is_empty() { Status::Healthy } else { Status::Unhealthy };
        Self { status, issues, timestamp }
    }
}
