//! How much of everything.

use std::time::Duration;

/// Bounds on what one connection may use; every one has a default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message in either direction, in bytes (16 MiB): one stdio line, HTTP body or SSE event.
    pub message: usize,
    /// How deep arrays and objects may nest (128, as in serde_json).
    pub depth: usize,
    /// How many calls may be in flight on one connection (1,024).
    pub in_flight: usize,
    /// How much may wait to be written on one stream, in bytes (1 MiB beyond the message being written).
    pub queue: usize,
    /// How long one write may take without any progress (30 s).
    pub write: Duration,
    /// How long a client may take to send a request's head, and again its body (30 s).
    pub read: Duration,
    /// How many legacy sessions (1,024).
    pub sessions: usize,
    /// After how long without any request a legacy session is ended (1 h).
    pub session_idle: Duration,
    /// How much of what its streams carried a legacy session keeps for `Last-Event-ID`, in bytes (256 KiB; 0 for none).
    pub replay: usize,
    /// How many connections a listener serves at once (1,024).
    pub connections: usize,
    /// How often a stream with nothing to say carries a keep-alive comment (15 s).
    pub keep_alive: Duration,
    /// How many calls of modern clients may wait for answers to a legacy server's questions (256).
    pub parked: usize,
    /// How long each of them waits for its client to come back (10 min).
    pub parked_idle: Duration,
    /// How long calls in flight may go on after a stdio client has closed its side (10 s).
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 << 20,
            depth: 128,
            in_flight: 1_024,
            queue: 1 << 20,
            write: Duration::from_secs(30),
            read: Duration::from_secs(30),
            sessions: 1_024,
            session_idle: Duration::from_secs(3_600),
            replay: 256 << 10,
            connections: 1_024,
            keep_alive: Duration::from_secs(15),
            parked: 256,
            parked_idle: Duration::from_secs(600),
            drain: Duration::from_secs(10),
        }
    }
}
