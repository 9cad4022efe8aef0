//! A breaker at one moment.

use std::time::Duration;

use serde::Serialize;

use crate::{Mode, State};

/// A breaker at one moment; taking it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Snapshot {
    /// What it does with calls. Stays `open` past the cooldown, until a call comes and becomes the probe.
    pub state: State,
    /// Who decides on that.
    pub mode: Mode,
    /// Number of the current generation.
    pub generation: u32,
    /// Failures in a row, while closed.
    pub failures: u32,
    /// Probes under way, while half-open.
    pub probes: u32,
    /// Probes that succeeded, while half-open.
    pub probes_succeeded: u32,
    /// What the window holds, where there is one.
    pub window: Option<WindowSnapshot>,
    /// How long calls are still refused; zero where a call may pass.
    #[serde(rename = "retryAfterMs", serialize_with = "crate::config::millis::serialize")]
    pub retry_after: Duration,
    /// How often it has opened, ever.
    pub opened: u64,
    /// Calls refused, ever.
    pub refused: u64,
    /// Verdicts that came too late to count, ever.
    pub late: u64,
    /// Transitions that listeners missed because they were too slow to hear them.
    pub missed: u64,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WindowSnapshot {
    /// Calls.
    pub calls: u64,
    /// Of these, failed.
    pub failures: u64,
    /// Of these, slow.
    pub slow: u64,
}
