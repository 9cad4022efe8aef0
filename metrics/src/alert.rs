//! Alerts: raised once, resolved once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolweir_core::Instant;

use crate::config::ERROR_WINDOW;

/// Something that somebody should look at.
///
/// Its JSON holds `type`, `severity`, and of the others those that the type has.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// What is wrong.
    #[serde(rename = "type")]
    pub kind: AlertKind,
    /// How bad it is.
    pub severity: Severity,
    /// The operation that was slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
    /// The server that it concerns.
    pub server: Arc<str>,
    /// How long the operation took that raised the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// How many of the server's last 100 operations had failed when the alert was raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_count: Option<u32>,
    /// The rule's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<str>>,
    /// Where the rule's figure stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Where it should stand at the worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// When it was raised.
    #[serde(skip)]
    pub raised: Instant,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// An operation succeeded, but took too long.
    HighLatency,
    /// Too many of a server's last operations failed.
    HighErrorRate,
    /// The condition of a configured [`Rule`](crate::Rule) holds.
    Rule,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

/// The beginning or the end of an alert.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AlertEvent {
    /// It was raised.
    Raised(Alert),
    /// It is over.
    Resolved(Alert),
}

/// Hears of alerts: writes a log, fills a channel.
///
/// Called on the path of the operation that raised or ended the alert, with no lock held: it neither blocks
/// nor waits. Closures are sinks.
pub trait Sink: Send + Sync {
    /// Hears of `event`; once for each alert's beginning and once for its end.
    fn on_alert(&self, event: &AlertEvent);
}

impl<F: Fn(&AlertEvent) + Send + Sync> Sink for F {
    fn on_alert(&self, event: &AlertEvent) {
        self(event);
    }
}

impl Alert {
    /// One about `server`, with none of the figures.
    pub(crate) fn new(
        kind: AlertKind,
        severity: Severity,
        server: &Arc<str>,
        now: Instant,
    ) -> Self {
        Self {
            kind,
            severity,
            operation: None,
            server: server.clone(),
            duration_ms: None,
            error_count: None,
            rule: None,
            value: None,
            threshold: None,
            raised: now,
        }
    }
}

/// What an alert is the only one of: a server's error rate, an operation's latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Server(u32),
    Operation(u32),
    /// A rule, and the server for which it holds.
    Rule(usize, u32),
}

/// How many beginnings and ends are kept. Active alerts need no bound of their own: there are never more than
/// operations, servers, and servers times rules.
const HISTORY: usize = 100;

/// The active alerts, oldest first, and the last events.
pub(crate) struct Book {
    active: Vec<(Key, Alert, Instant)>,
    history: VecDeque<AlertEvent>,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self { active: Vec::with_capacity(64), history: VecDeque::with_capacity(HISTORY + 1) }
    }

    /// Notes an alert; `None` where it is active already, which is then known to go on.
    pub(crate) fn raise(&mut self, key: Key, alert: Alert, now: Instant) -> Option<AlertEvent> {
        if let Some((.., last)) = self.active.iter_mut().find(|(k, ..)| *k == key) {
            *last = now.max(*last);
            return None;
        }
        let event = AlertEvent::Raised(alert.clone());
        self.active.push((key, alert, now));
        self.note(event.clone());
        Some(event)
    }

    /// Ends an alert; `None` where it is not active.
    pub(crate) fn resolve(&mut self, key: Key) -> Option<AlertEvent> {
        let index = self.active.iter().position(|(k, ..)| *k == key)?;
        let (_, alert, _) = self.active.remove(index);
        let event = AlertEvent::Resolved(alert);
        self.note(event.clone());
        Some(event)
    }

    /// An operation's alert of which nothing was seen since `after` before `now`.
    pub(crate) fn stale(&self, now: Instant, after: Duration) -> Option<u32> {
        self.active.iter().find_map(|(key, _, last)| match key {
            Key::Operation(id) if now - *last >= after => Some(*id),
            _ => None,
        })
    }

    /// The last `most` active alerts, oldest first.
    pub(crate) fn active(&self, most: usize) -> Vec<Alert> {
        let skip = self.active.len().saturating_sub(most);
        self.active[skip..].iter().map(|(_, alert, _)| alert.clone()).collect()
    }

    pub(crate) fn history(&self) -> Vec<AlertEvent> {
        self.history.iter().cloned().collect()
    }

    fn note(&mut self, event: AlertEvent) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(event);
    }
}

/// Where the last failures stand in the sequence of a server's operations.
///
/// Successes write nothing here: how many of the last 100 failed follows from the failures' numbers alone.
pub(crate) struct Failures {
    numbers: [u64; ERROR_WINDOW as usize],
    next: usize,
}

impl Failures {
    pub(crate) const fn new() -> Self {
        Self { numbers: [0; ERROR_WINDOW as usize], next: 0 }
    }

    /// Notes that operation `number`, counted from 1, failed.
    pub(crate) fn fail(&mut self, number: u64) {
        self.numbers[self.next] = number;
        self.next = (self.next + 1) % self.numbers.len();
    }

    /// How many of the last 100 of `total` operations failed.
    pub(crate) fn recent(&self, total: u64) -> u32 {
        let before = total.saturating_sub(ERROR_WINDOW);
        self.numbers.iter().filter(|number| **number > before).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_failures_are_those_among_the_last_hundred() {
        let mut failures = Failures::new();
        let mut all = Vec::new();
        for number in 1..2_000_u64 {
            let failed = number * number % 7 < 3 || (500..800).contains(&number);
            all.push(failed);
            if failed {
                failures.fail(number);
            }
            let expected = all.iter().rev().take(100).filter(|failed| **failed).count();
            assert_eq!(failures.recent(number) as usize, expected, "at {number}");
        }
    }
}
