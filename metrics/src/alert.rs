//! Alerts: raised once, resolved once.

use std::collections::VecDeque;
use std::fmt;
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

/// One line, as in `raised high_latency severity=warning server="github" operation="call" duration_ms=6000`.
impl fmt::Display for AlertEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, alert) = match self {
            Self::Raised(alert) => ("raised", alert),
            Self::Resolved(alert) => ("resolved", alert),
        };
        let kind = match alert.kind {
            AlertKind::HighLatency => "high_latency",
            AlertKind::HighErrorRate => "high_error_rate",
            AlertKind::Rule => "rule",
        };
        let severity = match alert.severity {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        write!(f, "{verb} {kind} severity={severity} server={:?}", alert.server)?;
        for (name, text) in [("operation", &alert.operation), ("rule", &alert.rule)] {
            if let Some(text) = text {
                write!(f, " {name}={text:?}")?;
            }
        }
        let figures = [
            ("duration_ms", alert.duration_ms),
            ("error_count", alert.error_count.map(f64::from)),
            ("value", alert.value),
            ("threshold", alert.threshold),
        ];
        for (name, figure) in figures {
            if let Some(figure) = figure {
                write!(f, " {name}={figure}")?;
            }
        }
        Ok(())
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

/// How many events wait to be told, where a sink blocks; then the oldest is not told.
const MOST_UNTOLD: usize = 1_000;

/// The active alerts, oldest first, and the last events.
pub(crate) struct Book {
    active: Vec<(Key, Alert, Instant)>,
    history: VecDeque<AlertEvent>,
    untold: VecDeque<AlertEvent>,
    /// Whether somebody tells the sinks: one at a time, so that they hear in order.
    telling: bool,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            active: Vec::with_capacity(64),
            history: VecDeque::with_capacity(HISTORY),
            untold: VecDeque::with_capacity(HISTORY),
            telling: false,
        }
    }

    /// Notes an alert; one that is active already is then known to go on.
    pub(crate) fn raise(&mut self, key: Key, alert: Alert, now: Instant) {
        if let Some((.., last)) = self.active.iter_mut().find(|(k, ..)| *k == key) {
            *last = now.max(*last);
            return;
        }
        self.active.push((key, alert.clone(), now));
        self.note(AlertEvent::Raised(alert));
    }

    /// Ends an alert, where it is active.
    pub(crate) fn resolve(&mut self, key: Key) {
        if let Some(index) = self.active.iter().position(|(k, ..)| *k == key) {
            let (_, alert, _) = self.active.remove(index);
            self.note(AlertEvent::Resolved(alert));
        }
    }

    /// Whether there is something to tell and nobody who does; then the caller does, until [`next`](Self::next)
    /// has nothing more.
    pub(crate) fn begin_telling(&mut self) -> bool {
        let begins = !self.telling && !self.untold.is_empty();
        self.telling |= begins;
        begins
    }

    pub(crate) fn next(&mut self) -> Option<AlertEvent> {
        let next = self.untold.pop_front();
        self.telling = next.is_some();
        next
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
        self.history.push_back(event.clone());
        if self.untold.len() == MOST_UNTOLD {
            self.untold.pop_front();
        }
        self.untold.push_back(event);
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

    fn raise(book: &mut Book, id: u32, second: u64) {
        let server: Arc<str> = Arc::from("a");
        let now = Instant::from_nanos(second * 1_000_000_000);
        let alert = Alert::new(AlertKind::HighLatency, Severity::Warning, &server, now);
        book.raise(Key::Operation(id), alert, now);
    }

    #[test]
    fn one_tells_at_a_time_until_nothing_is_left() {
        let mut book = Book::new();
        assert!(!book.begin_telling(), "there is nothing to tell");
        raise(&mut book, 1, 0);
        assert!(book.begin_telling());
        raise(&mut book, 1, 1);
        book.resolve(Key::Operation(1));
        book.resolve(Key::Operation(1));
        assert!(!book.begin_telling(), "somebody does");
        assert!(matches!(book.next(), Some(AlertEvent::Raised(_))));
        assert!(matches!(book.next(), Some(AlertEvent::Resolved(_))));
        assert_eq!(book.next(), None);
        raise(&mut book, 2, 2);
        assert!(book.begin_telling());
    }

    #[test]
    fn what_waits_to_be_told_and_what_is_remembered_is_bounded() {
        let mut book = Book::new();
        for id in 0..1_500 {
            raise(&mut book, id, 0);
        }
        assert_eq!((book.history().len(), book.untold.len()), (100, 1_000));
        assert_eq!(book.active(usize::MAX).len(), 1_500);
        assert_eq!(book.active(10).len(), 10);
    }

    #[test]
    fn an_alert_is_stale_when_it_was_not_seen_again_for_long_enough() {
        let mut book = Book::new();
        let stale = |book: &Book, second: u64| {
            book.stale(Instant::from_nanos(second * 1_000_000_000), Duration::from_secs(10))
        };
        raise(&mut book, 1, 0);
        raise(&mut book, 2, 5);
        assert_eq!(stale(&book, 9), None);
        assert_eq!(stale(&book, 10), Some(1));
        raise(&mut book, 1, 9);
        raise(&mut book, 1, 3);
        assert_eq!(stale(&book, 14), None);
        assert_eq!(stale(&book, 15), Some(2));
        assert_eq!(stale(&book, 19), Some(1));
    }

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
