#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(test, feature = "loom"),
    allow(clippy::duplicate_mod, reason = "the cell compiles a second time on loom's atomics")
)]

mod bits;
mod hash;
mod logarithm;
mod random;

mod config;
mod errors;
mod routes;
mod routing;

mod cell;
mod estimate;
#[cfg(test)]
#[cfg(feature = "loom")]
#[expect(dead_code, reason = "the schedules need only a part of the second copy")]
mod loom_cell;
mod pool;
#[cfg(test)]
mod pool_tests;
mod rank;
mod registration;
mod table;

mod sync {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

mod attempt;
mod explain;
mod picker;
mod router;
mod select;

pub use self::{
    attempt::Attempt,
    config::{Config, InvalidConfig},
    errors::{NoCapableServer, RouteError, UnknownRoute},
    explain::{Distance, Explanation, Health, Standing},
    picker::Picker,
    registration::Registration,
    router::Router,
    routes::{KNOWN_CAPABILITIES, Routes},
};
pub use toolweir_core::{Clock, Instant, ManualClock, MonotonicClock, Outcome, Ranked, ServerId};
