//! The facade's tests: through its public interface, one binary.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cli;
mod config;
mod demo_servers;
mod effects;
mod eras;
mod fidelity;
mod handlers;
mod isolate;
#[path = "../../../wire/tests/ledger/mod.rs"]
mod ledger;
mod orchestrator;
#[path = "../../../wire/tests/peer/mod.rs"]
mod peer;
mod sim;
