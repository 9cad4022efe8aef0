//! Where alerts go.

use std::fmt;
use std::io::{Stderr, Write, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::alert::AlertEvent;
use crate::slot::lock;

/// Hears of alerts: writes a [log](Log), fills a [channel](Channel).
///
/// Called with no lock held, by one thread at a time and in the order in which things happened, usually on the path
/// of the operation that raised or ended the alert: it neither blocks nor waits. A sink that panics harms nobody
/// else. Closures are sinks.
///
/// ```
/// use toolweir_metrics::{AlertEvent, Channel, Log, Recorder};
///
/// let recorder = Recorder::default();
/// recorder.add_sink(Log::stderr());
/// let (channel, alerts) = Channel::new(100);
/// recorder.add_sink(channel);
/// recorder.add_sink(|event: &AlertEvent| println!("{event}"));
/// assert!(alerts.try_recv().is_err(), "nothing is wrong yet");
/// ```
pub trait Sink: Send + Sync {
    /// Hears of `event`; once for each alert's beginning and once for its end.
    fn on_alert(&self, event: &AlertEvent);
}

impl<F: Fn(&AlertEvent) + Send + Sync> Sink for F {
    fn on_alert(&self, event: &AlertEvent) {
        self(event);
    }
}

/// Writes each event as a line.
///
/// It waits for its writer: behind one that may block, put a [`Channel`] and a thread that writes.
pub struct Log<W = Stderr>(Mutex<W>);

impl Log {
    /// A log on standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(stderr())
    }
}

impl<W: Write + Send> Log<W> {
    /// A log that is written to `writer`.
    #[must_use]
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(writer))
    }
}

impl<W: Write + Send> Sink for Log<W> {
    fn on_alert(&self, event: &AlertEvent) {
        // A log that cannot be written is no reason for anything else to fail.
        let _ = writeln!(lock(&self.0), "alert {event}");
    }
}

impl<W> fmt::Debug for Log<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Puts each event into a bounded channel, for a thread or a task to take out.
#[derive(Debug)]
pub struct Channel {
    sender: SyncSender<AlertEvent>,
    dropped: AtomicU64,
}

impl Channel {
    /// A channel with room for so many events; further ones are [dropped](Self::dropped).
    #[must_use]
    pub fn new(room: usize) -> (Self, Receiver<AlertEvent>) {
        let (sender, receiver) = sync_channel(room);
        (Self { sender, dropped: AtomicU64::new(0) }, receiver)
    }

    /// How many events found no room, or nobody to take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl Sink for Channel {
    fn on_alert(&self, event: &AlertEvent) {
        if self.sender.try_send(event.clone()).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Shared sinks, such as a [`Channel`] whose losses are looked at.
impl<S: Sink + ?Sized> Sink for std::sync::Arc<S> {
    fn on_alert(&self, event: &AlertEvent) {
        (**self).on_alert(event);
    }
}
