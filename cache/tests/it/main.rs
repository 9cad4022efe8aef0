//! The cache through its public API.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod bounds;
mod canonical;
mod config;
mod events;
mod flight;
mod model;
mod principals;
mod reply;
mod stale;
mod support;
mod threads;
mod tier;
mod time;
