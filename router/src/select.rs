//! The router among the orchestrator's parts: it ranks, and learns by listening.

use toolweir_core::{Call, Event, Instant, Observer, Ranked, Select, ServerId};

use crate::Router;
use crate::cell::Cell;
use crate::estimate::nanos;

impl Select for Router {
    fn rank(&self, call: &Call, among: &[ServerId], now: Instant) -> Ranked {
        if call.hints.is_repeatable() {
            self.rank_among_at(among, now)
        } else {
            self.rank_once_at(among, now)
        }
    }
}

impl Observer for Router {
    /// Learns from calls and probes. Events of servers that are not registered (any more) are passed over.
    fn on_event(&self, event: &Event<'_>, now: Instant) {
        match event {
            Event::CallStart(start) => {
                self.with_cell(start.server.id, Cell::start_heard);
            }
            Event::CallEnd(end) => {
                let allowed = end.call.deadline.map(|deadline| deadline - (now - end.elapsed));
                let (elapsed, allowed) = (nanos(end.elapsed), nanos(allowed.unwrap_or_default()));
                self.with_cell(end.server.id, |cell| {
                    cell.end_heard();
                    cell.learn(&end.outcome, elapsed, allowed, now);
                });
            }
            Event::Health { server, healthy: true, .. } => {
                self.mark_healthy(server.id);
            }
            Event::Health { server, healthy: false, .. } => {
                self.mark_unhealthy_at(server.id, now);
            }
            _ => {}
        }
    }
}
