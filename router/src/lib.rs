#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bits;
mod hash;
mod logarithm;
mod random;

mod config;
mod errors;
mod routes;

mod cell;
mod estimate;
mod pool;
mod rank;
mod registration;
mod table;

mod attempt;
mod explain;
mod router;
mod select;

pub use self::{
    attempt::Attempt,
    config::{Config, InvalidConfig},
    errors::{NoCapableServer, RouteError, UnknownRoute},
    explain::{Explanation, Health, Standing},
    registration::Registration,
    router::Router,
    routes::{KNOWN_CAPABILITIES, Routes},
};
pub use toolweir_core::{Clock, Instant, ManualClock, MonotonicClock, Outcome, Ranked, ServerId};
