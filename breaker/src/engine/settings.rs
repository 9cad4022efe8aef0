//! What the machine goes by.

/// A checked configuration, in the machine's own units: nanoseconds and millionths.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `u32::MAX`: off.
    pub(crate) failures: u32,
    pub(crate) cooldown: u64,
    pub(crate) cap: u64,
    pub(crate) backoff: f64,
    pub(crate) jitter: f64,
    pub(crate) seed: Option<u64>,
    pub(crate) probes: u32,
    pub(crate) probe_timeout: u64,
    /// 0: no such window.
    pub(crate) calls: usize,
    /// 0: no such window.
    pub(crate) time: u64,
    pub(crate) minimum: u64,
    pub(crate) failure_rate: u64,
    /// `u64::MAX`: no call is slow.
    pub(crate) slow: u64,
    pub(crate) slow_rate: u64,
}
