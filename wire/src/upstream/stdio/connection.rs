//! One run of a child process: its pipes, the tasks that serve them, the calls in flight.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_core::{Call, Error, Instant, Kind, Method, Notification, RawJson, ServerInfo};

use super::hears::Hears;
use super::listen::Link as Listening;
use super::posts;
use crate::message::{self, Id};
use crate::upstream::child::{LastWords, Process};
use crate::upstream::handshake::{Agreed, Link};
use crate::upstream::keeper::{AbortOnDrop, Ends};
use crate::upstream::listening;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::source::{Input, Source};
use crate::upstream::subscribers::Subscribers;
use crate::upstream::waiting::{Origin, Waiting};
use crate::upstream::wishes::Wishes;
use crate::upstream::{Options, until};
use crate::version::Era;

/// How many messages may wait for the child to read them; each is within [`Limits::message`].
const WRITE_QUEUE: usize = 64;
/// How long a child has to end by itself once its stdin is closed, and again after TERM.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// How long what an ended child left in its pipes may take to read.
const DRAIN_PATIENCE: Duration = Duration::from_millis(250);

/// A message on its way to the child.
#[derive(Debug)]
pub(super) struct Item {
    /// The call it begins, which is skipped where its caller has left meanwhile.
    pub(super) call: Option<u64>,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct Connection {
    waiting: Arc<Waiting>,
    writer: mpsc::Sender<Item>,
    ids: AtomicU64,
    agreed: OnceLock<Agreed>,
    process_id: Option<u32>,
    message_cap: usize,
    stop: CancellationToken,
    kill: CancellationToken,
    /// Why it ended, with the child's last words: for the operator, not for clients.
    epitaph: OnceLock<Error>,
    task: Mutex<Option<JoinHandle<()>>>,
    listening: Mutex<Option<AbortOnDrop>>,
}

impl Connection {
    /// Starts the program, or opens the streams; `on_end` is called once, when it has ended, with the reason and the reason
    /// in full. The task that ends with the child is one of
    /// `children`.
    pub(super) fn start(
        name: &Arc<str>,
        source: &Source,
        options: &Options,
        children: &TaskTracker,
        subscribers: Arc<Subscribers>,
        on_end: impl FnOnce(&Self, &Error, &Error) + Send + 'static,
    ) -> Result<Arc<Self>, Error> {
        let limits = &options.limits;
        let ends = source.open()?;
        let (process, stderr) = ends.process.unzip();
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let waiting = Arc::new(Waiting::new(limits.in_flight, options.owner.as_ref()));
        let connection = Arc::new(Self {
            waiting: waiting.clone(),
            writer: writer.clone(),
            ids: AtomicU64::new(1),
            agreed: OnceLock::new(),
            process_id: process.as_ref().and_then(Process::id),
            message_cap: limits.message,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            epitaph: OnceLock::new(),
            task: Mutex::new(None),
            listening: Mutex::new(None),
        });
        let words = LastWords::default();
        let mut pipes = JoinSet::new();
        if let Some(stderr) = stderr {
            pipes.spawn(words.clone().drain(name.clone(), stderr, source.secrets()).then_nothing());
        }
        let writing = match ends.input {
            Input::Stream(input) => pipes.spawn(write(queue, input, waiting.clone(), limits.write)),
            Input::Posts(post) => {
                pipes.spawn(posts::post_all(queue, post, waiting.clone(), limits.clone()))
            }
        };
        let hears = Hears {
            name: name.clone(),
            waiting,
            writer: writer.downgrade(),
            subscribers,
            limits: limits.clone(),
        };
        pipes.spawn(hears.read(ends.output));
        let supervisor = Supervisor {
            connection: Arc::downgrade(&connection),
            process,
            pipes,
            writing,
            words,
            stop: connection.stop.clone(),
            kill: connection.kill.clone(),
        };
        let task = children.spawn(supervisor.run(on_end));
        *connection.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Ok(connection)
    }

    pub(super) fn agree(&self, agreed: Agreed) {
        let _ = self.agreed.set(agreed); // once, before anyone else sees the connection
    }

    /// Has a modern child tell what it would not tell unasked, for as long as it lives.
    pub(super) fn listen(self: &Arc<Self>, wishes: &Arc<Wishes>, subscribers: &Arc<Subscribers>) {
        let Some(info) = self.info().filter(|_| self.era() == Era::Modern) else { return };
        let link = Listening {
            connection: Arc::downgrade(self),
            waiting: self.waiting.clone(),
            writer: self.writer.downgrade(),
            wishes: wishes.clone(),
            info: info.clone(),
        };
        let task = tokio::spawn(listening::keep(link, wishes.clone(), subscribers.clone(), info));
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDrop(task));
    }

    pub(super) fn era(&self) -> Era {
        self.agreed.get().map_or(Era::Legacy, |agreed| agreed.era)
    }

    pub(super) fn info(&self) -> Option<Arc<ServerInfo>> {
        self.agreed.get().map(|agreed| agreed.info.clone())
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request under `id` and waits for its result.
    ///
    /// Dropping the future, or reaching the deadline, tells the child that the call is cancelled.
    pub(super) async fn exchange(
        &self,
        id: u64,
        outgoing: Outgoing,
        call: Option<&Call>,
        deadline: Option<Instant>,
    ) -> Result<RawJson, Error> {
        if outgoing.bytes.len() > self.message_cap {
            let cap = self.message_cap;
            return Err(
                Error::new(Kind::TooLarge).message(format!("the request is over {cap} bytes"))
            );
        }
        let origin = call.and_then(|call| Origin::caused(call, outgoing.token));
        let answer = self.waiting.enter(id, origin)?;
        let mut stay = Stay { connection: self, id, cancellable: call.is_some() };
        let exchange = async {
            let item = Item { call: Some(id), bytes: outgoing.bytes };
            // Where the queue is closed the child has ended, and the answer says how.
            let _ = self.writer.send(item).await;
            answer.await.unwrap_or_else(|_| Err(Error::new(Kind::Internal)))
        };
        let result = until(deadline, exchange).await;
        match result {
            Err(error) if error.kind() == Kind::Timeout => match stay.leave() {
                Some(false) => Err(error.unsent()),
                _ => Err(error),
            },
            result => result,
        }
    }

    pub(super) async fn notify(&self, notification: &Notification) {
        let bytes = message::notification(&notification.method, notification.params.as_ref());
        let _ = self.writer.send(Item { call: None, bytes }).await; // an ended child needs no notification
    }

    /// Ends the child in good order: stdin is closed, then TERM, then KILL, by `deadline` at the latest.
    pub(super) async fn close(&self, deadline: Instant) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && tokio::time::timeout_at(deadline.into_std().into(), &mut task).await.is_err()
        {
            task.abort(); // drops the process, which kills its group
            let _ = task.await;
        }
    }
}

impl Connection {
    /// The error of a failed handshake, with the child's last words where it ended.
    pub(super) fn in_full(&self, error: Error) -> Error {
        match self.epitaph.get() {
            Some(full) if error.kind() == Kind::Disconnected => full.clone(),
            _ => error,
        }
    }
}

impl Ends for Connection {
    fn ended(&self) -> Option<Error> {
        self.waiting.ended()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl Link for Connection {
    async fn request(&self, method: Method, params: RawJson) -> Result<RawJson, Error> {
        let id = self.next_id();
        let bytes = message::request(&Id::own(id), &method, Some(&params));
        self.exchange(id, Outgoing { bytes, token: None }, None, None).await
    }

    async fn notify(&self, method: Method) -> Result<(), Error> {
        Self::notify(self, &Notification::new(method, None)).await;
        Ok(())
    }
}

/// A caller's place in the table of calls; leaving early cancels the call.
struct Stay<'a> {
    connection: &'a Connection,
    id: u64,
    cancellable: bool,
}

impl Stay<'_> {
    fn leave(&mut self) -> Option<bool> {
        leave(&self.connection.waiting, &self.connection.writer, self.id, self.cancellable)
    }
}

/// Gives up waiting; says whether the request had been sent, or `None` where it was answered.
pub(super) fn leave(
    waiting: &Waiting,
    writer: &mpsc::Sender<Item>,
    id: u64,
    cancellable: bool,
) -> Option<bool> {
    let sent = waiting.leave(id)?;
    if sent && cancellable {
        let params = serde_json::json!({ "requestId": id, "reason": "no longer awaited" });
        let bytes = message::notification(&Method::CANCELLED, Some(&RawJson::from(params)));
        // Never waits: a child that reads nothing misses the notice, and the late answer is dropped anyway.
        let _ = writer.try_send(Item { call: None, bytes });
    }
    Some(sent)
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Writes messages to the child, one a line. Ends when it cannot, or when nobody can send any more.
async fn write(
    mut queue: mpsc::Receiver<Item>,
    mut stdin: impl AsyncWrite + Unpin,
    waiting: Arc<Waiting>,
    patience: Duration,
) -> Option<Error> {
    while let Some(Item { call, bytes }) = queue.recv().await {
        if call.is_some_and(|id| !waiting.mark_sent(id)) {
            continue;
        }
        let mut line = bytes.chain(&b"\n"[..]);
        while line.has_remaining() {
            match tokio::time::timeout(patience, stdin.write_buf(&mut line)).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return None, // the child's end tells more than a broken pipe does
                Err(_) => {
                    return Some(
                        Error::new(Kind::Disconnected).message("the server stopped reading"),
                    );
                }
            }
        }
    }
    None
}

/// Owns the child and the tasks at its pipes.
struct Supervisor {
    connection: Weak<Connection>,
    /// Where it is a child.
    process: Option<Process>,
    pipes: JoinSet<Option<Error>>,
    writing: AbortHandle,
    words: LastWords,
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Supervisor {
    async fn run(mut self, on_end: impl FnOnce(&Connection, &Error, &Error)) {
        let error = loop {
            tokio::select! {
                biased;
                () = self.kill.cancelled() => break Error::new(Kind::Closed),
                () = self.stop.cancelled() => break Error::new(Kind::Closed),
                status = ended(&mut self.process) => break self.explain(status).await,
                pipe = self.pipes.join_next() => match pipe {
                    // stderr may be closed early, and a broken stdin shows in the child's end.
                    Some(Ok(None)) => {}
                    Some(Ok(Some(error))) => {
                        // A child that ends closes its pipes first; its status and last words tell more.
                        let Some(process) = &mut self.process else { break error };
                        let soon = Duration::from_millis(200);
                        break match tokio::time::timeout(soon, process.wait()).await {
                            Ok(status) => self.explain(status).await,
                            Err(_) => error,
                        };
                    }
                    Some(Err(_)) => break Error::new(Kind::Internal).message("a pipe's task failed"),
                    None => break Error::new(Kind::Disconnected).message("the server closed its pipes"),
                },
            }
        };
        if let Some(connection) = self.connection.upgrade() {
            drop(connection.listening.lock().unwrap_or_else(PoisonError::into_inner).take());
            let full = match self.words.tail() {
                Some(words) if error.kind() == Kind::Disconnected => {
                    let text = error.details().unwrap_or("the server ended");
                    error.clone().message(format!("{text}: {words}"))
                }
                _ => error.clone(),
            };
            let _ = connection.epitaph.set(full.clone()); // it ends once
            connection.waiting.end(&error);
            on_end(&connection, &error, &full);
        }
        self.pipes.shutdown().await; // closes stdin
        let Some(mut process) = self.process else { return };
        let ended = tokio::select! {
            biased;
            () = self.kill.cancelled() => false,
            _ = process.end(END_PATIENCE) => true,
        };
        if !ended {
            process.kill().await;
        }
    }

    /// How the child ended.
    async fn explain(&mut self, status: std::io::Result<std::process::ExitStatus>) -> Error {
        // What it wrote just before its end may still be in the pipes. They end with its group, or stay open where a
        // process that left the group has them.
        self.writing.abort();
        let drained = async { while self.pipes.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN_PATIENCE, drained).await;
        let text = match status {
            Ok(status) => format!("the server ended ({status})"),
            Err(error) => format!("the server ended ({error})"),
        };
        Error::new(Kind::Disconnected).message(text)
    }
}

/// Waits for a child's end; without one for ever. Cancel-safe.
async fn ended(process: &mut Option<Process>) -> std::io::Result<std::process::ExitStatus> {
    match process {
        Some(process) => process.wait().await,
        None => std::future::pending().await,
    }
}

/// Lets a task that reports nothing stand among those that may.
trait ThenNothing: Future<Output = ()> + Sized {
    async fn then_nothing(self) -> Option<Error> {
        self.await;
        None
    }
}

impl<F: Future<Output = ()>> ThenNothing for F {}
