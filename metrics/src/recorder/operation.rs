//! One operation: as it is recorded, and as it is kept.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::timestamp::Timestamp;

/// An operation that ended.
///
/// ```
/// use std::time::Duration;
/// use toolweir_metrics::{Operation, Recorder};
///
/// let recorder = Recorder::default();
/// recorder.record(Operation {
///     name: "query_database",
///     server: "firebase",
///     duration: Duration::from_millis(234),
///     success: true,
///     response_bytes: 1024,
///     ..Operation::default()
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operation<'a> {
    /// What was done.
    pub name: &'a str,
    /// By whom.
    pub server: &'a str,
    /// After what time.
    pub duration: Duration,
    /// Whether it did what it should.
    pub success: bool,
    /// What went wrong; the first 256 bytes are kept, for the last 1,024 different texts.
    pub error: Option<&'a str>,
    /// When it ended; `None`: now.
    pub timestamp: Option<Timestamp>,
    /// Size of the request.
    pub request_bytes: u64,
    /// Size of the response.
    pub response_bytes: u64,
}

/// An operation that ended, for a [`Handle`](crate::Handle) that knows its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample<'a> {
    /// After what time.
    pub duration: Duration,
    /// Whether it did what it should.
    pub success: bool,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// When it ended; `None`: now.
    pub timestamp: Option<Timestamp>,
    /// Size of the request.
    pub request_bytes: u64,
    /// Size of the response.
    pub response_bytes: u64,
}

/// An operation as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// What was done.
    pub operation_name: Arc<str>,
    /// By whom.
    pub server_name: Arc<str>,
    /// After what time.
    pub duration_ms: f64,
    /// Whether it did what it should.
    pub success: bool,
    /// What went wrong, where that was said and is not forgotten.
    pub error_message: Option<String>,
    /// When it ended.
    pub timestamp: Timestamp,
    /// Size of the request.
    pub request_size_bytes: u64,
    /// Size of the response.
    pub response_size_bytes: u64,
}
