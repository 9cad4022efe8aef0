//! What flights are locked with; a test puts loom's in its place.

pub(crate) use std::sync::{Mutex, MutexGuard};
