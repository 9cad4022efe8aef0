//! The state machine: no runtime, no clock, no callbacks. Time comes in as an argument.
//!
//! The files here name their atomics and locks only through `super::sync`, so that they compile a second time
//! on loom's (see `loom_engine.rs`).

mod calls;
mod cooldown;
mod machine;
#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod machine_tests;
mod outbox;
mod settings;
mod sync;
mod threads;
mod time;
mod window;
mod word;

pub(crate) use self::{
    machine::{Ending, Machine, Pass},
    settings::Settings,
    word::{MAX_COUNT, Phase},
};
