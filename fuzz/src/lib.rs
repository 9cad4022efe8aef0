//! What the targets share: how an input is cut, and JSON read in the plainest way that serde_json offers.

mod cut;
mod model;

pub use self::{cut::Control, model::Model};
