//! Time as an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A point in time, in nanoseconds since an origin that all of a process's clocks share.
///
/// Engines take it as an argument and never read a clock. Eight bytes, so that it fits an atomic.
///
/// ```
/// use std::time::Duration;
/// use toolweir_core::Instant;
///
/// let start = Instant::from_nanos(1_000);
/// let later = start + Duration::from_nanos(500);
/// assert_eq!(later - start, Duration::from_nanos(500));
/// assert_eq!(start - later, Duration::ZERO); // never negative
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

/// The shared origin stands this far before the first reading, so that going back from "now" stays exact.
const HEAD_START: Duration = Duration::from_secs(30 * 24 * 3600);

#[expect(clippy::disallowed_methods, reason = "the origin of every clock in the process")]
fn origin() -> std::time::Instant {
    static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
    *ORIGIN.get_or_init(std::time::Instant::now)
}

/// In 64 bits throughout, which reading a clock is worth: 584 years fit.
const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

impl Instant {
    /// Later than anything that is waited for.
    pub const FAR_FUTURE: Self = Self(u64::MAX / 2);

    /// The point `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The same point as the standard library's instant.
    #[must_use]
    pub fn from_std(instant: std::time::Instant) -> Self {
        const HEAD_START_NANOS: u64 = nanos(HEAD_START);
        let origin = origin();
        match instant.checked_duration_since(origin) {
            Some(since) => Self(HEAD_START_NANOS.saturating_add(nanos(since))),
            None => Self(
                HEAD_START_NANOS.saturating_sub(nanos(origin.saturating_duration_since(instant))),
            ),
        }
    }

    /// The same point for the standard library and for timers; capped at 30 years from the origin.
    #[must_use]
    pub fn into_std(self) -> std::time::Instant {
        const CAP: u64 = 30 * 365 * 24 * 3600 * 1_000_000_000;
        let head_start = nanos(HEAD_START);
        if self.0 >= head_start {
            origin() + Duration::from_nanos((self.0 - head_start).min(CAP))
        } else {
            let before = Duration::from_nanos(head_start - self.0);
            origin().checked_sub(before).unwrap_or_else(origin)
        }
    }

    /// Time passed since `earlier`; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({}ns)", self.0)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now; never earlier than an earlier reading of the same clock.
    fn now(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Instant {
        (**self).now()
    }
}

/// Tokio's clock: the system's, or the paused one of a test's runtime.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioClock;

#[cfg(feature = "tokio")]
impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::from_std(tokio::time::Instant::now().into_std())
    }
}

/// A clock that moves only when told to.
///
/// ```
/// use std::time::Duration;
/// use toolweir_core::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - start, Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands one hour after the origin.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(3_600_000_000_000))
    }

    /// Moves the clock forward; at the end of time it stands still.
    pub fn advance(&self, by: Duration) {
        let later = |now: u64| Some(now.saturating_add(nanos(by)));
        let _always_some = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
}
