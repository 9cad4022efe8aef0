//! A server's health as a number, with reasons.

use serde::Serialize;

use crate::config::Thresholds;
use crate::events::ServerEvents;
use crate::statistics::Statistics;

/// A server's health as a number, and why it is not a hundred.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Score {
    /// From 0, useless, to 100, perfect.
    pub score: u8,
    /// What was taken off and why; the points add up to what is missing, unless that is everything.
    pub reasons: Vec<Reason>,
}

/// Why points were taken off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// What is wrong.
    #[serde(rename = "type")]
    pub kind: ReasonKind,
    /// How many points that costs.
    pub points: u8,
    /// The figure, where there is one: a share of failures or milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReasonKind {
    /// It cannot be called: 100 points.
    Down,
    /// Its breaker is open: 70 points.
    BreakerOpen,
    /// Its breaker tries whether it is back: 30 points.
    BreakerHalfOpen,
    /// Some operations failed: four points for each in a hundred, at most 60.
    Errors,
    /// The slowest in a hundred are over the threshold: 20 points.
    SlowP99,
    /// The typical operation is over the threshold: 20 points.
    SlowP50,
    /// Nothing happened lately, so nothing else is known: no points.
    NoData,
}

impl Score {
    pub(crate) fn of(
        statistics: Option<&Statistics>,
        events: &ServerEvents,
        thresholds: &Thresholds,
    ) -> Self {
        let mut reasons = Vec::new();
        let mut reason = |kind, points, value| reasons.push(Reason { kind, points, value });
        if events.up == Some(false) {
            reason(ReasonKind::Down, 100, None);
        }
        match events.breaker {
            Some("open") => reason(ReasonKind::BreakerOpen, 70, None),
            Some("half_open") => reason(ReasonKind::BreakerHalfOpen, 30, None),
            _ => {}
        }
        match statistics {
            None => reason(ReasonKind::NoData, 0, None),
            Some(found) => {
                let errors = found.error_rate();
                if found.failed > 0 {
                    let points = (errors * 400.0).ceil().min(60.0) as u8;
                    reason(ReasonKind::Errors, points, Some(errors));
                }
                if found.p99_duration_ms > thresholds.latency_p99_ms {
                    reason(ReasonKind::SlowP99, 20, Some(found.p99_duration_ms));
                }
                if found.p50_duration_ms > thresholds.latency_p50_ms {
                    reason(ReasonKind::SlowP50, 20, Some(found.p50_duration_ms));
                }
            }
        }
        let score = reasons.iter().fold(100_u8, |score, r| score.saturating_sub(r.points));
        Self { score, reasons }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_at_its_threshold_costs_nothing() {
        let thresholds = Thresholds::default();
        for (p50, p99, score) in [(1_000, 5_000, 100), (1_001, 5_000, 80), (1_000, 5_001, 80)] {
            let mut durations = [p50 * 1_000_000; 100];
            durations[99] = p99 * 1_000_000;
            let found = Statistics::exact(&mut durations, 100).expect("there are some");
            let scored = Score::of(Some(&found), &ServerEvents::default(), &thresholds);
            assert_eq!(scored.score, score, "{p50} and {p99} ms: {scored:?}");
        }
    }
}
