//! What waits to be written to one client, in order and within a bound.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::Notify;

use super::lock;
use super::replay::{EventId, Log};

/// Messages on their way to a client: those of one HTTP response, of one GET stream, or of a stdio connection.
///
/// Many may push, one reads. Nothing is taken back, and nothing comes behind the answer.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    room: Notify,
    cap: usize,
    /// The reader wants nothing but the answer.
    quiet: bool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    /// Bytes in `queue`, without those in `single`.
    size: usize,
    /// Those in `queue` that must not stand there twice.
    single: HashSet<Bytes>,
    /// Bytes in `single`.
    single_size: usize,
    answer: Option<Answer>,
    ended: bool,
    waker: Option<Waker>,
    /// Which reader is the one; those before it get nothing more.
    reader: u64,
    /// Where a reader that has gone may come back: what was written.
    log: Option<Log>,
    /// The reader has gone, and may come back.
    away: bool,
}

/// The last message of a stream; the status holds where it is the only one.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Bytes,
    pub(crate) status: StatusCode,
}

impl Answer {
    pub(crate) fn ok(bytes: Bytes) -> Self {
        Self { bytes, status: StatusCode::OK }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// It will be written.
    Taken,
    /// Nobody reads any more, or only the answer is wanted.
    Dropped,
    /// The client reads too slowly.
    Full,
}

/// The next thing to write; with an id on a stream that can be taken up again.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Bytes, Option<EventId>),
    Answer(Answer, Option<EventId>),
}

impl Outbox {
    pub(crate) fn new(cap: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), room: Notify::new(), cap, quiet: false })
    }

    /// One that carries nothing but the answer.
    pub(crate) fn quiet() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), room: Notify::new(), cap: 0, quiet: true })
    }

    /// Adds a message without waiting.
    pub(crate) fn push(&self, message: Bytes) -> Push {
        self.add(message, false)
    }

    /// Adds a message unless the same one waits already. Such messages have a bound of their own: they are few, and
    /// a change that nobody is told of is worse than one told late.
    pub(crate) fn push_once(&self, message: Bytes) -> Push {
        self.add(message, true)
    }

    /// Adds a message, waiting for room.
    pub(crate) async fn push_wait(&self, message: Bytes) {
        loop {
            let room = self.room.notified();
            if self.add(message.clone(), false) != Push::Full {
                return;
            }
            room.await;
        }
    }

    fn add(&self, message: Bytes, once: bool) -> Push {
        let mut state = lock(&self.state);
        if state.ended || self.quiet {
            return Push::Dropped;
        }
        if once && state.single.contains(&message) {
            return Push::Taken;
        }
        // One message always fits: its own size is capped where it was read.
        let size = if once { &mut state.single_size } else { &mut state.size };
        if *size > 0 && *size + message.len() > self.cap {
            return if state.away { Push::Dropped } else { Push::Full };
        }
        *size += message.len();
        if once {
            state.single.insert(message.clone());
        }
        state.queue.push_back(message);
        wake(state);
        Push::Taken
    }

    /// Ends the stream with its answer, behind all that waits.
    pub(crate) fn finish(&self, answer: Answer) {
        let mut state = lock(&self.state);
        if !state.ended {
            state.answer = Some(answer);
            state.ended = true;
            wake(state);
        }
    }

    /// Ends the stream behind all that waits.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        wake(state);
        self.room.notify_waiters();
    }

    /// The reader has gone: drops what waits and whatever comes.
    pub(crate) fn detach(&self) {
        let mut state = lock(&self.state);
        let gone = std::mem::replace(&mut *state, State { ended: true, ..State::default() });
        drop(state);
        drop(gone);
        self.room.notify_waiters();
    }

    /// Lets a reader that goes come back, from now on.
    pub(crate) fn keep(&self, log: Log) {
        lock(&self.state).log = Some(log);
    }

    /// Gives an item that was read before `keep` its id, and the id from which the stream is read from its beginning.
    pub(crate) fn number(&self, item: Option<&mut Item>) -> Option<EventId> {
        let mut state = lock(&self.state);
        let log = state.log.as_mut()?;
        match item {
            Some(Item::Message(bytes, id)) => *id = Some(log.write(bytes)),
            Some(Item::Answer(answer, id)) => *id = Some(log.write(&answer.bytes)),
            None => {}
        }
        Some(log.start())
    }

    /// A reader for what comes behind the event `last`; the one before gets nothing more. `None` where nothing is kept.
    pub(crate) fn read_again(self: &Arc<Self>, last: u64) -> Option<Reader> {
        let mut state = lock(&self.state);
        state.log.as_mut()?.repeat_from(last);
        state.away = false;
        state.reader += 1;
        let reader = Reader { outbox: self.clone(), driver: None, number: state.reader };
        wake(state);
        Some(reader)
    }

    /// A reader has gone.
    fn leave(&self, reader: u64) {
        let mut state = lock(&self.state);
        if state.reader != reader {
            return; // another has taken its place
        }
        if state.log.is_none() {
            drop(state);
            return self.detach();
        }
        state.away = true;
        drop(state);
        self.room.notify_waiters();
    }

    /// Whether somebody reads it, and there may be more.
    pub(crate) fn is_read(&self) -> bool {
        let state = lock(&self.state);
        !state.ended && !state.away
    }

    /// Whether nothing is added any more, and nobody reads it.
    pub(crate) fn is_over(&self) -> bool {
        let state = lock(&self.state);
        state.ended && (state.away || state.log.is_none())
    }

    /// Takes out what nobody has read, where nobody reads.
    pub(crate) fn take_unread(&self) -> VecDeque<Bytes> {
        let mut state = lock(&self.state);
        if !state.away {
            return VecDeque::new();
        }
        state.single.clear();
        (state.size, state.single_size) = (0, 0);
        std::mem::take(&mut state.queue)
    }

    /// What comes next for the reader of this number; a stream that none was made for is read as 0.
    pub(crate) fn poll_next(&self, reader: u64, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut state = lock(&self.state);
        if state.reader != reader {
            return Poll::Ready(None);
        }
        if let Some((id, event)) = state.log.as_mut().and_then(Log::repeat) {
            return Poll::Ready(Some(Item::Message(event, Some(id))));
        }
        if let Some(message) = state.queue.pop_front() {
            if state.single.remove(&message) {
                state.single_size -= message.len();
            } else {
                state.size -= message.len();
            }
            let id = state.log.as_mut().map(|log| log.write(&message));
            drop(state);
            self.room.notify_waiters();
            return Poll::Ready(Some(Item::Message(message, id)));
        }
        if let Some(answer) = state.answer.take() {
            let id = state.log.as_mut().map(|log| log.write(&answer.bytes));
            return Poll::Ready(Some(Item::Answer(answer, id)));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn wake(mut state: std::sync::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What fills an outbox while its reader waits: run by the reader, and dropped with it.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The one reader of an outbox; when it goes, the driver is dropped, and the outbox takes nothing more unless the reader
/// may come back.
pub(crate) struct Reader {
    outbox: Arc<Outbox>,
    driver: Option<Driver>,
    number: u64,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("driven", &self.driver.is_some()).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(outbox: Arc<Outbox>, driver: Option<Driver>) -> Self {
        Self { outbox, driver, number: 0 }
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
            self.outbox.end(); // it has an answer, or never will
        }
        self.outbox.poll_next(self.number, context)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.driver = None;
        self.outbox.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &Outbox) -> Vec<String> {
        let mut context = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        loop {
            match outbox.poll_next(0, &mut context) {
                Poll::Ready(Some(Item::Message(bytes, _))) => seen.push(text(&bytes)),
                Poll::Ready(Some(Item::Answer(answer, _))) => {
                    seen.push(format!("={}", text(&answer.bytes)));
                }
                Poll::Ready(None) => {
                    seen.push("end".to_owned());
                    return seen;
                }
                Poll::Pending => return seen,
            }
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn message(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn keeps_order_and_bound_and_lets_nothing_behind_the_answer() {
        let outbox = Outbox::new(4);
        assert_eq!(outbox.push(message("larger than the cap")), Push::Taken);
        assert_eq!(outbox.push(message("b")), Push::Full);
        assert_eq!(drain(&outbox), ["larger than the cap"]);
        assert_eq!(outbox.push(message("a")), Push::Taken);
        assert_eq!(outbox.push_once(message("b")), Push::Taken);
        assert_eq!(outbox.push_once(message("b")), Push::Taken);
        assert_eq!(drain(&outbox), ["a", "b"]);
        assert_eq!(outbox.push_once(message("b")), Push::Taken);
        outbox.finish(Answer::ok(message("answer")));
        assert_eq!(outbox.push(message("late")), Push::Dropped);
        outbox.finish(Answer::ok(message("second")));
        assert_eq!(drain(&outbox), ["b", "=answer", "end"]);
    }

    #[test]
    fn a_reader_that_goes_takes_all_with_it() {
        let (outbox, dropped) = (Outbox::new(64), Arc::new(()));
        outbox.push(message("a"));
        let held = dropped.clone();
        let driver: Driver = Box::pin(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(Reader::new(outbox.clone(), Some(driver)));
        assert_eq!(Arc::strong_count(&dropped), 1);
        assert_eq!(outbox.push(message("b")), Push::Dropped);
        assert_eq!(drain(&outbox), ["end"]);
    }
}
