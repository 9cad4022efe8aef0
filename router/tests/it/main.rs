//! The router through its public API.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod allocation;
mod errors;
mod health;
mod model;
mod observer;
mod ranking;
mod simulation;
mod slow_start;
mod sticky;
mod support;
mod threads;
mod zones;
