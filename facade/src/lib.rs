//! toolweir sends each MCP call to the server best able to answer it, and keeps answering when servers fail.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod catalogue;
pub mod config;
mod configured;
mod endpoint;
pub mod handlers;
mod orchestrator;
mod pages;

pub use toolweir_core as core;
pub use toolweir_wire as wire;

pub use self::{
    orchestrator::{BuildError, Builder, Member, Orchestrator, Readiness, ServerReport, Standing},
    pages::pages,
};
