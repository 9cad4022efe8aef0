//! The orchestrator.

pub mod config;
