//! Raises and resolves alerts as operations come in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use toolweir_core::Instant;

use super::Shared;
use crate::alert::{Alert, AlertKind, Key, Severity};
use crate::rule::{Change, Facts};
use crate::rules::Held;
use crate::slot::{OperationSlot, lock};
use crate::statistics::millis;

impl Shared {
    /// Raises and resolves the alerts that this operation bears on.
    #[cold]
    #[inline(never)]
    pub(super) fn judge(&self, slot: &OperationSlot, nanos: u64, success: bool, now: Instant) {
        self.judge_latency(slot, nanos, success, now);
        self.judge_errors(slot, success, now);
        self.tell();
    }

    fn judge_latency(&self, slot: &OperationSlot, nanos: u64, success: bool, now: Instant) {
        if !success {
            return;
        }
        let key = Key::Operation(slot.id);
        if nanos > self.latency {
            slot.fast_streak.store(0, Relaxed);
            let (kind, severity) = (AlertKind::HighLatency, Severity::Warning);
            let alert = Alert {
                operation: Some(slot.name.clone()),
                duration_ms: Some(millis(nanos)),
                ..Alert::new(kind, severity, &slot.server.name, now)
            };
            let mut book = lock(&self.book);
            slot.set_slow(true);
            book.raise(key, alert, now);
        } else if slot.is_slow() {
            let streak = slot.fast_streak.fetch_add(1, Relaxed) + 1;
            if streak < self.config.alerts.latency_clear_after {
                return;
            }
            let mut book = lock(&self.book);
            slot.set_slow(false);
            book.resolve(key);
        }
    }

    fn judge_errors(&self, slot: &OperationSlot, success: bool, now: Instant) {
        let server = &*slot.server;
        if success && !server.is_failing() {
            return;
        }
        let mut failures = lock(&server.failures);
        let total = server.cells.total();
        if !success {
            failures.fail(total);
        }
        let errors = failures.recent(total);
        let key = Key::Server(server.id);
        if errors > self.config.alerts.errors {
            server.set_failing(true);
            let (kind, severity) = (AlertKind::HighErrorRate, Severity::Critical);
            let alert = Alert {
                error_count: Some(errors),
                ..Alert::new(kind, severity, &server.name, now)
            };
            lock(&self.book).raise(key, alert, now);
        } else if errors <= self.config.alerts.errors_clear && server.is_failing() {
            server.set_failing(false);
            lock(&self.book).resolve(key);
        }
    }

    /// Ends the latency alerts of operations that were not slow for long enough.
    pub(super) fn expire(&self, now: Instant) {
        let after = Duration::from_millis(self.config.alerts.latency_clear_ms);
        loop {
            let mut book = lock(&self.book);
            let Some(id) = book.stale(now, after) else { return };
            if let Some(slot) = self.table.names().operations.get(id as usize) {
                slot.set_slow(false);
            }
            book.resolve(Key::Operation(id));
        }
    }

    /// Steps every rule for every server.
    pub(super) fn evaluate(&self, now: Instant) {
        let mut rules = lock(&self.rules);
        if rules.is_empty() {
            return;
        }
        let (rules, phases) = rules.each();
        let names = self.table.names();
        for server in names.servers() {
            for Held { id, name, rule } in rules {
                if !rule.concerns(&server.name) {
                    continue;
                }
                let facts = Facts {
                    statistics: &|window| self.window(&names, window, &*server.name, now),
                    events: &|| server.state.events(),
                    thresholds: &self.config.alerts.thresholds,
                };
                let measured = rule.measure(&facts);
                let phase = phases.entry((*id, server.id)).or_default();
                let key = Key::Rule(*id, server.id);
                match phase.step(measured, rule, now) {
                    Some(Change::Raised) => {
                        let (value, threshold) = measured.map(|m| (m.value, m.threshold)).unzip();
                        let alert = Alert::new(AlertKind::Rule, rule.severity, &server.name, now);
                        let alert = Alert { rule: Some(name.clone()), value, threshold, ..alert };
                        lock(&self.book).raise(key, alert, now);
                    }
                    Some(Change::Resolved) => lock(&self.book).resolve(key),
                    None => {}
                }
            }
        }
    }

    /// Tells the sinks what they have not heard, unless another thread is at it.
    pub(super) fn tell(&self) {
        if !lock(&self.book).begin_telling() {
            return;
        }
        loop {
            let Some(event) = lock(&self.book).next() else { return };
            for sink in self.sinks.load().iter() {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sink.on_alert(&event))) {
                    std::mem::forget(panic); // its destructor may panic again
                }
            }
        }
    }
}
