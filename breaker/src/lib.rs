#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod breaker;
mod config;
mod engine;
mod guard;
mod keyed;
mod permit;
mod snapshot;
mod state;

pub use self::{
    breaker::{Breaker, CallError},
    config::{Config, ConfigError, Window},
    keyed::Breakers,
    permit::{Handle, OwnedPermit, Permit},
    snapshot::{Snapshot, WindowSnapshot},
    state::{Mode, Reason, Refused, State, Transition},
};
pub use toolweir_core::{Clock, Instant, ManualClock, MonotonicClock, Outcome, Verdict};
