//! What the ring is made of; a test puts loom's in its place.

pub(crate) use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering, fence},
};
