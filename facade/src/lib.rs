#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod catalogue;
pub mod config;
mod configured;
pub mod demo;
mod endpoint;
pub mod handlers;
mod isolated;
mod orchestrator;
mod pages;
mod policy;
mod pools;
mod tasks;

pub use toolweir_core as core;
pub use toolweir_wire as wire;

pub use self::{
    isolated::Isolation,
    orchestrator::{
        BuildError, Builder, Candidate, Effects, Explained, Member, Occupancy, Orchestrator,
        PoolReport, RateLimit, Readiness, Reloaded, Rule, ServerReport, Standing,
    },
    pages::pages,
    pools::{Equivalent, Pool, PooledTool},
};
