#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
    bucket::Bucket,
    config::{Config, InvalidConfig},
    limiter::Limiter,
    refusal::Refusal,
    turn::Turn,
};
