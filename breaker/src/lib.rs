#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(test, feature = "loom"),
    allow(clippy::duplicate_mod, reason = "the engine compiles a second time on loom's atomics")
)]

mod breaker;
mod config;
mod engine;
mod guard;
mod keyed;
#[cfg(test)]
#[cfg(feature = "loom")]
#[expect(dead_code, reason = "the schedules need only a part of the engine's second copy")]
mod loom_engine;
mod permit;
#[cfg(feature = "tower")]
mod service;
mod snapshot;
mod state;

#[cfg(feature = "tower")]
pub use self::service::{BreakerLayer, BreakerService, Classify, FailOnError, ResponseFuture};
pub use self::{
    breaker::{Breaker, CallError},
    config::{Config, ConfigError, Window},
    keyed::Breakers,
    permit::{Handle, OwnedPermit, Permit},
    snapshot::{Snapshot, WindowSnapshot},
    state::{Mode, Reason, Refused, State, Transition},
};
pub use toolweir_core::{Clock, Instant, ManualClock, MonotonicClock, Outcome, Verdict};
