#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(test, feature = "loom"),
    allow(
        clippy::duplicate_mod,
        reason = "the shared bucket compiles a second time on loom's atomics"
    )
)]

mod adaptive;
mod all;
mod bucket;
mod config;
mod crowd;
#[cfg(test)]
mod crowd_tests;
mod event;
mod gate;
mod gate_config;
mod held;
mod limiter;
mod line;
#[cfg(test)]
#[cfg(feature = "loom")]
#[expect(dead_code, reason = "the schedules need only a part of the second copy")]
mod loom_shared;
mod rate;
mod refusal;
mod shared;
mod sync;
mod table;
#[cfg(feature = "tower")]
mod tower;
mod turn;

#[cfg(feature = "tower")]
pub use self::tower::{Admit, LimitError, LimitFuture, LimitLayer, LimitService};
pub use self::{
    all::{Charge, Keyed, LIMITS_MAX, Limit, Refused, charge_all_at, check_all_at},
    bucket::Bucket,
    config::{Config, InvalidConfig},
    event::Event,
    gate::{Gate, Place},
    gate_config::GateConfig,
    limiter::Limiter,
    refusal::Refusal,
    turn::Turn,
};
