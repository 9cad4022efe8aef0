#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive;
mod all;
mod bucket;
mod config;
mod crowd;
mod gate;
mod gate_config;
mod limiter;
mod line;
mod rate;
mod refusal;
mod shared;
mod table;
#[cfg(feature = "tower")]
mod tower;
mod turn;

#[cfg(feature = "tower")]
pub use self::tower::{Admit, LimitError, LimitFuture, LimitLayer, LimitService};
pub use self::{
    all::{Keyed, LIMITS_MAX, Limit, Refused, check_all_at},
    bucket::Bucket,
    config::{Config, InvalidConfig},
    gate::{Gate, Place},
    gate_config::GateConfig,
    limiter::Limiter,
    refusal::Refusal,
    turn::Turn,
};
