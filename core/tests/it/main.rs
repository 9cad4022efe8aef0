//! The laws of the words that all crates share.

mod call;
mod error;
mod json;
mod outcome;
mod permit;
mod ranked;
mod time;
