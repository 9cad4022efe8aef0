//! The default clock: the system's monotonic one, read fast where the machine allows it.

use crate::{Clock, Instant};

/// The system's monotonic clock: the default.
///
/// On x86-64 Linux, where the kernel itself keeps time by the processor's cycle counter, most readings take that counter
/// alone, in three quarters of the time that [`std::time::Instant`] takes; the standard clock is read every quarter of a
/// millisecond. Readings never go back, on one thread or from one to the next; they are never later than the standard
/// clock's, and at most five microseconds earlier. Where the counter turns out not to tell the time (the machine slept, or
/// was moved), the standard clock takes over, after an error of a millisecond at most. Everywhere else this is the standard
/// clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> Instant {
        now()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else reads")]
fn standard() -> Instant {
    Instant::from_std(std::time::Instant::now())
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use standard as now;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[inline]
fn now() -> Instant {
    Instant::from_nanos(counter::LINE.now(&counter::Processor))
}

/// The processor's cycle counter.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod counter {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    use std::fs::File;
    use std::io::Read;

    use crate::line::{Line, Source};

    /// One for the process, as its clocks share an origin.
    pub(super) static LINE: Line = Line::new();

    pub(super) struct Processor;

    impl Source for Processor {
        #[inline]
        #[expect(unsafe_code, reason = "the standard library has no safe way to read the counter")]
        fn cycles(&self) -> u64 {
            // SAFETY: both instructions are part of every x86-64 processor, and touch no memory.
            unsafe {
                // Without it the counter may be read before what precedes it in the program, and so before a value of
                // another thread that was read first: time would go back from one thread to the next.
                _mm_lfence();
                _rdtsc()
            }
        }

        fn nanos(&self) -> u64 {
            super::standard().as_nanos()
        }

        /// The kernel checks the counter at its start and watches it: that all processors agree on it, and that its
        /// rate does not change. Virtual machines that are moved about are given another source.
        fn is_steady(&self) -> bool {
            const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
            // Without an allocation: the first reading may be on a path that promises to have none.
            let mut name = [0; 8];
            let length = File::open(SOURCE).and_then(|mut source| source.read(&mut name));
            length.is_ok_and(|length| name[..length].trim_ascii_end() == b"tsc")
        }
    }
}
