//! A client that is remembered between its messages: a legacy session, or a stdio connection.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use toolweir_core::{
    Client, Clock, Instant, Kind, Method, Notification, RawJson, Reply, TokioClock,
};

use super::lock;
use super::replay::{EventId, Streams};
use super::stream::{Outbox, Push, Reader};
use super::tasks::SessionTasks;
use crate::message::{self, Id, Response};

/// One such client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    client: Mutex<Option<Arc<Client>>>,
    calls: Mutex<HashMap<u64, (String, Arc<Stop>)>>,
    next_call: AtomicU64,
    asks: Mutex<Asks>,
    /// Where messages go that belong to no call: the GET stream, or stdio.
    stream: Mutex<Stream>,
    /// Those that the client may take up again.
    streams: Mutex<Streams>,
    /// Resources that this client subscribed to.
    watched: Mutex<HashSet<String>>,
    tasks: Mutex<SessionTasks>,
    level: Mutex<Option<Level>>,
    /// All that the client is told goes over one stream, which ends with the connection.
    has_one_stream: bool,
    last_used: AtomicU64,
    token: CancellationToken,
}

#[derive(Debug, Default)]
struct Asks {
    next: u64,
    open: HashMap<u64, oneshot::Sender<Result<RawJson, RawJson>>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Stream {
    outbox: Option<Arc<Outbox>>,
    /// What came while no stream was open; each once, so few.
    pending: Vec<Bytes>,
}

/// How many notifications wait for a GET stream at most.
const PENDING: usize = 64;

/// Ends one call.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
    overflowed: AtomicBool,
}

impl Stop {
    pub(crate) fn new(token: CancellationToken) -> Arc<Self> {
        Arc::new(Self { token, overflowed: AtomicBool::new(false) })
    }

    /// Ends the call because its client reads too slowly.
    pub(crate) fn overflow(&self) {
        self.overflowed.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }
}

/// A call's place among those in flight; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    session: Arc<Session>,
    number: u64,
    pub(crate) stop: Arc<Stop>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.session.calls).remove(&self.number);
        self.session.touch();
    }
}

/// A question to the client; withdrawn on drop where it has no answer yet.
#[derive(Debug)]
pub(crate) struct Ask {
    session: Arc<Session>,
    outbox: Arc<Outbox>,
    pub(crate) number: u64,
    pub(crate) answer: oneshot::Receiver<Result<RawJson, RawJson>>,
}

impl Drop for Ask {
    fn drop(&mut self) {
        if lock(&self.session.asks).open.remove(&self.number).is_some() {
            let params = RawJson::from(serde_json::json!({ "requestId": self.number }));
            self.outbox.push(message::notification(&Method::CANCELLED, Some(&params)));
        }
    }
}

impl Session {
    /// A session of Streamable HTTP, whose streams keep `replay` bytes together for a client that comes back.
    pub(crate) fn new(
        id: String,
        client: Arc<Client>,
        replay: usize,
        token: CancellationToken,
    ) -> Arc<Self> {
        Self::with(id, Some(client), Stream::default(), replay, token)
    }

    /// The one session of a stdio connection.
    pub(crate) fn of_stdio(outbox: Arc<Outbox>, token: CancellationToken) -> Arc<Self> {
        let stream = Stream { outbox: Some(outbox), ..Stream::default() };
        Self::with("stdio".to_owned(), None, stream, 0, token)
    }

    fn with(
        id: String,
        client: Option<Arc<Client>>,
        stream: Stream,
        replay: usize,
        token: CancellationToken,
    ) -> Arc<Self> {
        let has_one_stream = stream.outbox.is_some();
        let session = Self {
            id,
            client: Mutex::new(client),
            calls: Mutex::default(),
            next_call: AtomicU64::new(0),
            asks: Mutex::default(),
            stream: Mutex::new(stream),
            streams: Mutex::new(Streams::new(replay)),
            watched: Mutex::default(),
            tasks: Mutex::default(),
            level: Mutex::default(),
            has_one_stream,
            last_used: AtomicU64::new(0),
            token,
        };
        session.touch();
        Arc::new(session)
    }

    /// The client as it introduced itself; `None` on a stdio connection before `initialize`.
    pub(crate) fn client(&self) -> Option<Arc<Client>> {
        lock(&self.client).clone()
    }

    pub(crate) fn set_client(&self, client: Arc<Client>) {
        *lock(&self.client) = Some(client);
    }

    /// Whether several messages may come in one array.
    pub(crate) fn takes_batches(&self) -> bool {
        self.client().is_some_and(|c| c.protocol_version.as_deref() == Some("2025-03-26"))
    }

    pub(crate) fn touch(&self) {
        self.last_used.store(TokioClock.now().as_nanos(), Ordering::Relaxed);
    }

    /// How long nothing has been asked; `None` while a call or the GET stream is open.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let has_stream = lock(&self.stream).outbox.as_ref().is_some_and(|o| o.is_read());
        (!has_stream && lock(&self.calls).is_empty())
            .then(|| Instant::from_nanos(self.last_used.load(Ordering::Relaxed)))
    }

    pub(crate) fn is_idle_for(&self, limit: Duration, now: Instant) -> bool {
        self.idle_since().is_some_and(|since| now - since >= limit)
    }

    /// Takes a place for a call; `None` where `cap` are in flight, or the session has ended.
    pub(crate) fn begin(self: &Arc<Self>, id: &Id, cap: usize) -> Option<Slot> {
        let mut calls = lock(&self.calls);
        if calls.len() >= cap || self.token.is_cancelled() {
            return None;
        }
        self.touch();
        let number = self.next_call.fetch_add(1, Ordering::Relaxed);
        let stop = Stop::new(self.token.child_token());
        calls.insert(number, (id.key().into_owned(), stop.clone()));
        drop(calls);
        Some(Slot { session: self.clone(), number, stop })
    }

    /// Cancels the calls of a `notifications/cancelled`.
    pub(crate) fn cancel(&self, params: Option<&RawJson>) {
        let id = params
            .and_then(|params| params.member("requestId"))
            .and_then(|id| Id::from_json(id.to_json()));
        let Some(id) = id else { return };
        let stops: Vec<_> = {
            let calls = lock(&self.calls);
            let named = calls.values().filter(|(key, _)| *key == id.key());
            named.map(|(_, stop)| stop.clone()).collect()
        };
        for stop in stops {
            stop.token.cancel();
        }
    }

    /// Opens a question whose text goes to `outbox`; `None` where `cap` are open or nobody can answer any more.
    pub(crate) fn ask(self: &Arc<Self>, outbox: &Arc<Outbox>, cap: usize) -> Option<Ask> {
        let mut asks = lock(&self.asks);
        if asks.closed || asks.open.len() >= cap {
            return None;
        }
        asks.next += 1;
        let number = asks.next;
        let (sender, answer) = oneshot::channel();
        asks.open.insert(number, sender);
        drop(asks);
        Some(Ask { session: self.clone(), outbox: outbox.clone(), number, answer })
    }

    /// Where a question goes that belongs to no call; `None` where no such stream is open.
    pub(super) fn general(&self) -> Option<Arc<Outbox>> {
        lock(&self.stream).outbox.clone().filter(|outbox| outbox.is_read())
    }

    /// Sends what belongs to no call and is not worth keeping: dropped where no stream is open for it.
    pub(super) fn say(&self, message: Bytes) {
        let Some(outbox) = self.general() else { return };
        if outbox.push(message) == Push::Full && !self.has_one_stream {
            outbox.end(); // it reads too slowly, and may open another
        }
    }

    /// Takes the client's answer to a question.
    pub(crate) fn answered(&self, response: Response) {
        let number = response.id.as_ref().and_then(Id::as_own);
        let sender = number.and_then(|number| lock(&self.asks).open.remove(&number));
        match sender {
            Some(sender) => drop(sender.send(response.result)),
            None => tracing::debug!("a client answered what it was not asked"),
        }
    }

    /// Nobody can answer any more.
    pub(crate) fn close_asks(&self) {
        let mut asks = lock(&self.asks);
        asks.closed = true;
        let open = std::mem::take(&mut asks.open);
        drop(asks);
        drop(open);
    }

    /// Takes the stream for what belongs to no call; the one before ends.
    pub(crate) fn set_stream(&self, outbox: Arc<Outbox>) {
        let mut stream = lock(&self.stream);
        let before = stream.outbox.replace(outbox.clone());
        if let Some(before) = &before {
            for message in before.take_unread() {
                outbox.push_once(message);
            }
        }
        for message in stream.pending.drain(..) {
            outbox.push_once(message);
        }
        drop(stream);
        if let Some(before) = before {
            lock(&self.streams).forget(&before);
            before.end();
        }
        self.touch();
    }

    /// Lets the client take a stream up again that belongs to a call, or to none where `is_general` says so.
    pub(crate) fn keep(&self, outbox: &Arc<Outbox>, is_general: bool) {
        lock(&self.streams).keep(outbox, is_general);
    }

    /// A stream from behind an event on; `None` where it is not kept any more.
    pub(crate) fn take_up(&self, event: EventId) -> Option<Reader> {
        let outbox = lock(&self.streams).find(event.stream)?;
        self.touch();
        outbox.read_again(event.number)
    }

    /// Whether an event without data may go first: before 2025-11-25, clients try to read it.
    pub(crate) fn is_primed(&self) -> bool {
        let version = self.client().and_then(|client| client.protocol_version.clone());
        version.is_some_and(|version| &*version >= "2025-11-25")
    }

    pub(crate) fn end_stream(&self) {
        if let Some(outbox) = &lock(&self.stream).outbox {
            outbox.end();
        }
    }

    /// Sends a notification that belongs to no call; list changes that wait already are not sent twice.
    pub(crate) fn deliver(&self, notification: &Notification) {
        if lock(&self.client).is_none() {
            return;
        }
        if notification.method == Method::RESOURCE_UPDATED {
            let uri = notification.params.as_ref().and_then(|params| params.member("uri"));
            let Some(uri) = uri.as_ref().and_then(|uri| uri.string()) else { return };
            if !is_watched(&lock(&self.watched), &uri) {
                return;
            }
        }
        if notification.method == Method::TASK_STATUS {
            let id = notification.params.as_ref().and_then(|params| params.member("taskId"));
            let Some(id) = id.as_ref().and_then(|id| id.string()) else { return };
            if !lock(&self.tasks).has(&id) {
                return;
            }
        }
        let message = message::notification(&notification.method, notification.params.as_ref());
        let mut stream = lock(&self.stream);
        if let Some(outbox) = &stream.outbox {
            match outbox.push_once(message.clone()) {
                Push::Taken => return,
                Push::Full if self.has_one_stream => return tracing::debug!("a change is lost"),
                Push::Full => return outbox.end(), // it reads too slowly, and may open another
                Push::Dropped => {}
            }
        }
        if stream.pending.len() < PENDING && !stream.pending.contains(&message) {
            stream.pending.push(message);
        }
    }

    /// Remembers a subscription; false where it stands already.
    ///
    /// # Errors
    /// Fails where `cap` stand.
    pub(crate) fn watch(&self, uri: &str, cap: usize) -> Result<bool, Kind> {
        let mut watched = lock(&self.watched);
        if watched.contains(uri) {
            return Ok(false);
        }
        if watched.len() >= cap {
            return Err(Kind::Overloaded);
        }
        Ok(watched.insert(uri.to_owned()))
    }

    /// Remembers the task that a request began or named: this client is told of it.
    pub(crate) fn note_task(&self, request: &message::Request, reply: &Reply) {
        if reply.is_task || request.method.as_str().starts_with("tasks/") {
            lock(&self.tasks).note(request, reply);
        }
    }

    pub(crate) fn unwatch(&self, uri: &str) -> bool {
        lock(&self.watched).remove(uri)
    }

    pub(crate) fn set_level(&self, level: Level) {
        *lock(&self.level) = Some(level);
    }

    pub(crate) fn level(&self) -> Option<Level> {
        *lock(&self.level)
    }

    /// Ends the session and cancels its calls; gives what it was subscribed to.
    pub(crate) fn end(&self) -> HashSet<String> {
        self.token.cancel();
        self.close_asks();
        self.end_stream();
        std::mem::take(&mut *lock(&self.watched))
    }
}

/// Whether a change of `uri` concerns one of those watched: it is one, or lies within one.
pub(crate) fn is_watched(watched: &HashSet<String>, uri: &str) -> bool {
    watched.contains(uri)
        || watched.iter().any(|watched| {
            uri.strip_prefix(watched.as_str())
                .is_some_and(|rest| watched.ends_with('/') || rest.starts_with('/'))
        })
}

/// How grave a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(usize);

const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Level {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        LEVELS.iter().position(|level| *level == name).map(Self)
    }

    /// The level that a `notifications/message` or `logging/setLevel` names.
    pub(crate) fn of(params: Option<&RawJson>) -> Option<Self> {
        Self::parse(&params?.member("level")?.string()?)
    }
}

/// The session of a peer, while it lives.
pub(crate) type WeakSession = Weak<Session>;
