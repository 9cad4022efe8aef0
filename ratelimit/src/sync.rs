//! What a bucket is shared between threads with; loom's own stand in its place in `loom_shared.rs`.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
