#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod all;
mod bucket;
mod config;
mod limiter;
mod line;
mod rate;
mod refusal;
mod shared;
mod table;
mod turn;

pub use self::{
    all::{Keyed, LIMITS_MAX, Limit, Refused, check_all_at},
    bucket::Bucket,
    config::{Config, InvalidConfig},
    limiter::Limiter,
    refusal::Refusal,
    turn::Turn,
};
