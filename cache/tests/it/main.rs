//! The cache through its public API.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod bounds;
mod canonical;
mod config;
mod flight;
mod model;
mod reply;
mod stale;
mod support;
mod threads;
mod time;
