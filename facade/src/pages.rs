//! What the admin listener shows.

use std::sync::Arc;

use toolweir_wire::{Page, Pages};

use crate::Orchestrator;

/// The pages of the admin listener: `/health` (JSON, as [`Orchestrator::standing`]) and `/metrics` (Prometheus text).
///
/// They hold a handle of the orchestrator.
#[must_use]
pub fn pages(orchestrator: &Orchestrator) -> Pages {
    let orchestrator = orchestrator.clone();
    Arc::new(move |path| match path {
        "/health" => Some(Page {
            content_type: "application/json",
            body: serde_json::to_vec_pretty(&orchestrator.standing()).unwrap_or_default().into(),
        }),
        "/metrics" => Some(Page {
            content_type: toolweir_metrics::CONTENT_TYPE,
            body: orchestrator.metrics().render().into(),
        }),
        _ => None,
    })
}
