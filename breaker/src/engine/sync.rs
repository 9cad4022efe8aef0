//! What the machine shares between threads with.

pub(crate) use super::threads::{number, stripes};
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
