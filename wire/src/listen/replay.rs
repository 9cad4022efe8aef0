//! What a legacy client may ask for again with `Last-Event-ID`: the events of its streams, numbered, within a bound.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::stream::Outbox;

/// How many streams that have ended are kept beside those that go on, and how long.
const ENDED: usize = 8;
const ENDED_FOR: Duration = Duration::from_secs(300);

/// An event's place: in which stream of the session, and where in it. `g` begins that of a GET stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: StreamId,
    pub(crate) number: u64,
}

/// A stream of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    number: u64,
    /// It belongs to no call.
    pub(crate) is_general: bool,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.stream.is_general { "g" } else { "" };
        write!(f, "{kind}{}-{}", self.stream.number, self.number)
    }
}

impl EventId {
    /// Reads a `Last-Event-ID`; `None` where it is none of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (is_general, text) = match text.strip_prefix('g') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (stream, number) = text.split_once('-').filter(|(a, b)| digits(a) && digits(b))?;
        let stream = StreamId { number: stream.parse().ok()?, is_general };
        Some(Self { stream, number: number.parse().ok()? })
    }
}

/// How many bytes the streams of one session keep together.
#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    cap: usize,
}

impl Budget {
    fn take(&self, size: usize) -> bool {
        let more = |used: usize| used.checked_add(size).filter(|used| *used <= self.cap);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, size: usize) {
        self.used.fetch_sub(size, Ordering::Relaxed);
    }
}

/// What has been written to one stream, as far as it is kept, and what is to be written again.
#[derive(Debug)]
pub(crate) struct Log {
    stream: StreamId,
    /// The number of the latest event; 0 is the one that primes.
    latest: u64,
    written: VecDeque<(u64, Bytes)>,
    again: VecDeque<(u64, Bytes)>,
    budget: Arc<Budget>,
}

impl Log {
    /// Numbers an event that is written, and keeps it: at the cost of this stream's older ones.
    pub(crate) fn write(&mut self, event: &Bytes) -> EventId {
        self.latest += 1;
        let number = self.latest;
        while !self.budget.take(event.len()) {
            let Some((_, oldest)) = self.written.pop_front() else {
                return EventId { stream: self.stream, number };
            };
            self.budget.give_back(oldest.len());
        }
        self.written.push_back((number, event.clone()));
        EventId { stream: self.stream, number }
    }

    /// Lets all that came behind `last` be written again.
    pub(crate) fn repeat_from(&mut self, last: u64) {
        self.again = self.written.iter().filter(|(number, _)| *number > last).cloned().collect();
    }

    /// The next event that is written again.
    pub(crate) fn repeat(&mut self) -> Option<(EventId, Bytes)> {
        let (number, event) = self.again.pop_front()?;
        Some((EventId { stream: self.stream, number }, event))
    }

    /// The id from which the whole stream is written again.
    pub(crate) fn start(&self) -> EventId {
        EventId { stream: self.stream, number: 0 }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.budget.give_back(self.written.iter().map(|(_, event)| event.len()).sum());
    }
}

/// The streams of one session that can be taken up again.
#[derive(Debug)]
pub(crate) struct Streams {
    next: u64,
    kept: BTreeMap<u64, Kept>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Kept {
    outbox: Arc<Outbox>,
    is_general: bool,
    /// Since when it has been known to have ended.
    ended: Option<Instant>,
}

impl Streams {
    /// Streams that keep `cap` bytes together.
    pub(crate) fn new(cap: usize) -> Self {
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), cap });
        Self { next: 0, kept: BTreeMap::new(), budget }
    }

    /// Makes a stream one that can be taken up again.
    pub(crate) fn keep(&mut self, outbox: &Arc<Outbox>, is_general: bool) {
        if self.budget.cap == 0 {
            return;
        }
        self.forget_old();
        self.next += 1;
        let stream = StreamId { number: self.next, is_general };
        let (written, again) = (VecDeque::new(), VecDeque::new());
        outbox.keep(Log { stream, latest: 0, written, again, budget: self.budget.clone() });
        self.kept.insert(self.next, Kept { outbox: outbox.clone(), is_general, ended: None });
    }

    /// The stream of this event, where it is still kept.
    pub(crate) fn find(&self, stream: StreamId) -> Option<Arc<Outbox>> {
        let kept = self.kept.get(&stream.number)?;
        (kept.is_general == stream.is_general).then(|| kept.outbox.clone())
    }

    /// Forgets a stream that another has taken the place of.
    pub(crate) fn forget(&mut self, outbox: &Arc<Outbox>) {
        self.kept.retain(|_, kept| !Arc::ptr_eq(&kept.outbox, outbox));
    }

    /// Forgets those that ended long ago or are too many.
    pub(crate) fn forget_old(&mut self) {
        let now = Instant::now();
        let mut ended = 0;
        for kept in self.kept.values_mut() {
            if kept.ended.is_none() && kept.outbox.is_over() {
                kept.ended = Some(now);
            }
            ended += usize::from(kept.ended.is_some());
        }
        self.kept.retain(|_, kept| {
            let Some(since) = kept.ended else { return true };
            let is_old = ended > ENDED || now - since >= ENDED_FOR;
            ended -= usize::from(is_old);
            !is_old
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(budget: &Arc<Budget>) -> Log {
        let (written, again) = (VecDeque::new(), VecDeque::new());
        let stream = StreamId { number: 7, is_general: false };
        Log { stream, latest: 0, written, again, budget: budget.clone() }
    }

    fn repeated(log: &mut Log, last: u64) -> Vec<String> {
        log.repeat_from(last);
        let again = std::iter::from_fn(|| log.repeat());
        again.map(|(id, event)| format!("{id} {}", String::from_utf8_lossy(&event))).collect()
    }

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is() {
        for text in ["0-0", "7-12", "g3-18446744073709551615"] {
            assert_eq!(EventId::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "7", "-", "7-", "-7", "+7-1", "7-1-1", "gg1-1", "7-18446744073709551616"] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_kept_stays_within_the_sessions_bound_and_is_the_newest() {
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), cap: 4 });
        let (mut one, mut two) = (log(&budget), log(&budget));
        for text in ["a", "b", "c"] {
            one.write(&text.into());
        }
        two.write(&"dd".into()); // one's are one's
        assert_eq!(repeated(&mut two, 0), Vec::<String>::new());
        one.write(&"ee".into());
        assert_eq!(repeated(&mut one, 0), ["7-2 b", "7-3 c", "7-4 ee"]);
        assert_eq!(repeated(&mut one, 3), ["7-4 ee"]);
        assert_eq!(repeated(&mut one, 9), Vec::<String>::new());
        one.write(&"too large".into());
        assert_eq!(one.write(&"f".into()).to_string(), "7-6");
        assert_eq!(repeated(&mut one, 0), ["7-6 f"]);
        drop((one, two));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
