//! The cache through its public API.

mod canonical;
mod flight;
mod support;
