//! The crate through its public interface.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop at once, as tests do")]

mod alerts;
mod allocations;
mod bounds;
mod config;
mod json;
mod model;
mod observer;
mod percentiles;
#[cfg(feature = "prometheus")]
mod prometheus;
mod ring;
mod rules;

/// What the ring's source is made of here.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
    pub(crate) use std::sync::OnceLock;
}

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use toolweir_core::ManualClock;
use toolweir_metrics::{Config, Operation, Recorder};

/// A recorder whose clocks stand still: the one for people at 2026-11-22T12:00:00Z.
fn recorder(config: Config) -> (Recorder, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let wall = || UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    let recorder = Recorder::with_clocks(config, clock.clone(), wall).expect("valid");
    (recorder, clock)
}

fn ok(millis: u64) -> Operation<'static> {
    let duration = Duration::from_millis(millis);
    Operation { name: "call", server: "a", duration, success: true, ..Operation::default() }
}

fn failed(millis: u64) -> Operation<'static> {
    Operation { success: false, error: Some("timeout"), ..ok(millis) }
}
