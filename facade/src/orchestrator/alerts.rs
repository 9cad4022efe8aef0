//! Alerts are told in time, whoever looks.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use toolweir_metrics::{AlertEvent, Recorder, Severity};

use super::Orchestrator;

/// How often rules are looked at: as often as the metrics' windows move on.
const EVERY: Duration = Duration::from_secs(5);

/// Has alerts written to the log, as they begin and as they end.
pub(super) fn log(metrics: &Recorder) {
    let has_room = metrics.add_sink(|event: &AlertEvent| match event {
        AlertEvent::Raised(alert) if alert.severity == Severity::Critical => {
            tracing::error!("alert {event}");
        }
        AlertEvent::Raised(_) => tracing::warn!("alert {event}"),
        _ => tracing::info!("alert {event}"),
    });
    debug_assert!(has_room, "a new recorder has no sinks");
}

impl Orchestrator {
    /// Looks at the rules, and at whether alerts are over, until the orchestrator stops.
    pub(super) fn look_after_alerts(&self) {
        let (metrics, stop) = (self.0.metrics.clone(), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = tick.tick() => metrics.evaluate(),
                }
            }
        });
    }
}
