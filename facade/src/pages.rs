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
            body: metrics(&orchestrator).into(),
        }),
        _ => None,
    })
}

/// The recorder's text, and what it does not hear of.
fn metrics(orchestrator: &Orchestrator) -> String {
    const END: &str = "# EOF\n";
    let (applied, refused) = orchestrator.reloads();
    let mut text = orchestrator.metrics().render();
    text.truncate(text.strip_suffix(END).unwrap_or(&text).len());
    text.push_str(&format!(
        "# HELP toolweir_config_reloads Configurations that took effect while running, or could not.\n\
         # TYPE toolweir_config_reloads counter\n\
         toolweir_config_reloads_total{{result=\"applied\"}} {applied}\n\
         toolweir_config_reloads_total{{result=\"refused\"}} {refused}\n{END}"
    ));
    text
}
