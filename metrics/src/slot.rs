//! What is known of one server, and of one of its operations.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use toolweir_core::Instant;

use crate::alert::Failures;
use crate::cell::{Cells, ServerCells};
use crate::events::ServerState;
use crate::statistics::Summary;
use crate::window::{Rolling, Window};

/// One server.
pub(crate) struct ServerSlot {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) cells: ServerCells,
    /// When the windows have to move on, in nanoseconds.
    next_roll: AtomicU64,
    rolling: Mutex<Box<Rolling>>,
    pub(crate) failures: Mutex<Failures>,
    /// Whether `high_error_rate` is active.
    failing: AtomicBool,
    /// How many alerts of this server and its operations are active.
    alarms: Mutex<usize>,
    /// The longest success that is not slow, in nanoseconds.
    latency: u64,
    /// From this on, a success bears on an alert: above `latency`, or any while an alert waits for its end.
    pub(crate) judged_from: AtomicU64,
    pub(crate) state: ServerState,
}

impl ServerSlot {
    pub(crate) fn new(id: u32, name: Arc<str>, latency: u64, now: Instant) -> Self {
        Self {
            id,
            name,
            cells: ServerCells::new(),
            next_roll: AtomicU64::new(0),
            rolling: Mutex::new(Rolling::new(now)),
            failures: Mutex::new(Failures::new()),
            failing: AtomicBool::new(false),
            alarms: Mutex::new(0),
            latency,
            judged_from: AtomicU64::new(latency.saturating_add(1)),
            state: ServerState::new(),
        }
    }

    /// Whether a step of the windows has ended, so that they have to move on before `now` is counted.
    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.as_nanos() >= self.next_roll.load(Relaxed)
    }

    /// Moves the windows on.
    pub(crate) fn roll(&self, now: Instant) {
        let mut rolling = lock(&self.rolling);
        if self.is_due(now) {
            let next = rolling.roll(self.cells.totals(), now);
            self.next_roll.store(next.as_nanos(), Relaxed);
        }
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.alarm(&self.failing, failing);
    }

    /// Sets a flag; while any is set, every success is looked at.
    fn alarm(&self, flag: &AtomicBool, set: bool) {
        let mut alarms = lock(&self.alarms);
        if flag.swap(set, Relaxed) != set {
            *alarms = if set { *alarms + 1 } else { alarms.saturating_sub(1) };
            let from = if *alarms == 0 { self.latency.saturating_add(1) } else { 0 };
            self.judged_from.store(from, Relaxed);
        }
    }

    /// Adds what happened in a window up to `now`.
    pub(crate) fn read(&self, window: Window, now: Instant, into: &mut Summary) {
        let mut rolling = lock(&self.rolling);
        let next = rolling.roll(self.cells.totals(), now);
        self.next_roll.store(next.as_nanos(), Relaxed);
        rolling.read(window, now, into);
    }
}

impl fmt::Debug for ServerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.name)
    }
}

/// What kind of name an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    /// The name that a program gave.
    Plain,
    /// A method of MCP.
    Method,
    /// A tool, called by `tools/call`.
    Tool,
}

/// One operation of one server.
pub(crate) struct OperationSlot {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    #[cfg_attr(
        not(feature = "prometheus"),
        expect(dead_code, reason = "chooses the labels of what is exported")
    )]
    pub(crate) family: Family,
    pub(crate) server: Arc<ServerSlot>,
    pub(crate) cells: Cells,
    /// Whether `high_latency` is active.
    slow: AtomicBool,
    /// How many successes in a row were fast since it was raised.
    pub(crate) fast_streak: AtomicU32,
}

impl OperationSlot {
    pub(crate) fn new(id: u32, name: Arc<str>, family: Family, server: Arc<ServerSlot>) -> Self {
        Self {
            id,
            name,
            family,
            server,
            cells: Cells::new(),
            slow: AtomicBool::new(false),
            fast_streak: AtomicU32::new(0),
        }
    }
}

impl OperationSlot {
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    pub(crate) fn set_slow(&self, slow: bool) {
        self.server.alarm(&self.slow, slow);
    }
}

impl fmt::Debug for OperationSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({} at {})", self.name, self.server.name)
    }
}

/// Locks; a panic elsewhere while it was held leaves figures that are at worst one operation short.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
