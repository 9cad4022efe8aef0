//! One message a line: a client that started this program, or any other pair of streams.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

use super::front::Front;
use super::http::{array, fault_answer};
use super::legacy;
use super::modern::{self, Reject, Route};
use super::service::Service;
use super::session::{Session, Slot};
use super::stream::{Answer, Item, Outbox};
use crate::lines::{Line, Lines};
use crate::message::{self, Incoming, Request, code};
use toolweir_core::{Method, Notification, RawJson};

/// Serves the client at the other end of `reader` and `writer`, both eras, until it closes its side.
///
/// Calls in flight then get [`Limits::drain`](crate::Limits::drain) to finish.
///
/// # Errors
/// Fails where a stream fails, or where the client reads nothing for [`Limits::write`](crate::Limits::write).
///
/// # Cancel safety
/// Dropping the future ends everything that belongs to the connection.
pub async fn serve_stdio<R, W>(service: Service, reader: R, writer: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let front = Front::new(service);
    let limits = &front.service.limits;
    let _closing = front.closing.clone().drop_guard();
    let _killed = front.killed.clone().drop_guard();
    let outbox = Outbox::new(limits.queue);
    let session = Session::of_stdio(outbox.clone(), front.killed.child_token());
    let _ = front.hub.open(session.clone(), 1);
    let mut writing = pin!(write(outbox.clone(), writer, limits.write));
    let mut connection =
        Connection { front: front.clone(), session, outbox: outbox.clone(), calls: JoinSet::new() };
    let read = tokio::select! {
        written = &mut writing => Err(written),
        read = connection.run(reader) => Ok(read),
    };
    let (read, written) = match read {
        Ok(read) => {
            outbox.end();
            (read, writing.await)
        }
        Err(written) => {
            connection.give_up().await;
            (Ok(()), written)
        }
    };
    front.tasks.close();
    let _ = tokio::time::timeout(limits.drain, front.tasks.wait()).await;
    read.and(written)
}

/// Writes what the outbox gives, each message with its line end in one write.
async fn write<W>(outbox: Arc<Outbox>, mut writer: W, limit: Duration) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let _gone = Gone(outbox.clone());
    let mut line = BytesMut::new();
    loop {
        let bytes = match std::future::poll_fn(|context| outbox.poll_next(0, context)).await {
            Some(Item::Message(bytes, _)) => bytes,
            Some(Item::Answer(answer, _)) => answer.bytes,
            None => return timed(limit, writer.shutdown()).await,
        };
        line.clear();
        line.extend_from_slice(&bytes);
        line.extend_from_slice(b"\n");
        let mut rest = &line[..];
        while !rest.is_empty() {
            let written = timed(limit, writer.write(rest)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[written..];
        }
        timed(limit, writer.flush()).await?;
        if line.capacity() > 1 << 20 {
            line = BytesMut::new(); // a large answer's memory is not kept
        }
    }
}

async fn timed<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Nothing is written any more.
struct Gone(Arc<Outbox>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.detach();
    }
}

struct Connection {
    front: Arc<Front>,
    session: Arc<Session>,
    outbox: Arc<Outbox>,
    calls: JoinSet<()>,
}

impl Connection {
    async fn run(&mut self, reader: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut lines = Lines::new(reader, self.front.service.limits.message);
        let read = loop {
            let line = tokio::select! {
                biased;
                Some(_) = self.calls.join_next() => continue,
                line = lines.next() => line,
            };
            match line {
                Ok(Some(line)) => self.line(line).await,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.front.closing.cancel(); // ends listen streams
        self.session.close_asks(); // nobody answers any more
        let calls = async { while self.calls.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.front.service.limits.drain, calls).await;
        self.give_up().await;
        read
    }

    /// Ends what still runs, and gives up what the client was subscribed to.
    async fn give_up(&mut self) {
        self.front.closing.cancel();
        self.session.close_asks();
        self.calls.shutdown().await;
        if let Some(session) = self.front.hub.remove(&self.session.id) {
            self.front.end(&session);
        }
    }

    async fn line(&mut self, line: Line) {
        let bytes = match line {
            Line::Whole(bytes) if bytes.trim_ascii().is_empty() => return,
            Line::Whole(bytes) => bytes,
            Line::TooLong { .. } => {
                let limit = self.front.service.limits.message;
                let text = format!("a line is longer than {limit} bytes");
                return self.say(Reject::new(code::INVALID_REQUEST, &text).answer(None)).await;
            }
        };
        match message::read(bytes, self.front.service.limits.depth) {
            Ok(Incoming::Request(request)) => self.request(request).await,
            Ok(Incoming::Notification(notification)) => self.notification(notification),
            Ok(Incoming::Response(response)) => self.session.answered(response),
            Ok(Incoming::Batch(items)) => self.batch(items).await,
            Err(fault) => self.say(fault_answer(&fault)).await,
        }
    }

    async fn say(&self, answer: Answer) {
        self.outbox.push_wait(answer.bytes).await;
    }

    async fn request(&mut self, request: Request) {
        if request.method == Method::INITIALIZE && !modern::claims(request.params.as_ref()) {
            // Waits, so that what the client sends next is read as its session's.
            return self.initialize(&request).await;
        }
        let Some(slot) = self.session.begin(&request.id, self.front.service.limits.in_flight)
        else {
            return self.say(legacy::overloaded(&request)).await;
        };
        let (front, session) = (self.front.clone(), self.session.clone());
        let outbox = self.outbox.clone();
        self.calls.spawn(async move {
            if let Some(answer) = answer(&front, &session, &slot, request, &outbox).await {
                outbox.push_wait(answer.bytes).await;
            }
        });
    }

    async fn initialize(&self, request: &Request) {
        let principal = self.front.service.access.principal();
        match legacy::initialize(&self.front, request, principal).await {
            Ok((client, answer)) => {
                self.say(answer).await;
                self.session.set_client(client);
            }
            Err(answer) => self.say(answer).await,
        }
    }

    fn notification(&mut self, notification: Notification) {
        if notification.method == Method::CANCELLED {
            return self.session.cancel(notification.params.as_ref());
        }
        if self.calls.len() >= 2 * self.front.service.limits.in_flight {
            return tracing::warn!("a client sends more notifications than are taken");
        }
        let (front, session) = (self.front.clone(), self.session.clone());
        self.calls.spawn(async move {
            if session.client().is_some() || modern::is_passed_on(&notification.method) {
                legacy::notified(&front, &session, notification).await;
            }
        });
    }

    async fn batch(&mut self, items: Vec<RawJson>) {
        if !self.session.takes_batches() || items.is_empty() {
            let reject = Reject::new(code::INVALID_REQUEST, "one message at a time is taken here");
            return self.say(reject.answer(None)).await;
        }
        let limits = &self.front.service.limits;
        let (mut calls, mut answers) = (JoinSet::new(), Vec::new());
        for item in items {
            match message::read(item.to_bytes(), limits.depth) {
                Ok(Incoming::Request(request)) => {
                    let Some(slot) = self.session.begin(&request.id, limits.in_flight) else {
                        answers.push(legacy::overloaded(&request).bytes);
                        continue;
                    };
                    let (front, session) = (self.front.clone(), self.session.clone());
                    let outbox = self.outbox.clone();
                    calls.spawn(
                        async move { answer(&front, &session, &slot, request, &outbox).await },
                    );
                }
                Ok(Incoming::Notification(notification)) => {
                    legacy::notified(&self.front, &self.session, notification).await;
                }
                Ok(Incoming::Response(response)) => self.session.answered(response),
                Ok(Incoming::Batch(_)) => {
                    let reject = Reject::new(code::INVALID_REQUEST, "a batch within a batch");
                    answers.push(reject.answer(None).bytes);
                }
                Err(fault) => answers.push(fault_answer(&fault).bytes),
            }
        }
        let outbox = self.outbox.clone();
        self.calls.spawn(async move {
            while let Some(ended) = calls.join_next().await {
                answers.extend(ended.ok().flatten().map(|answer| answer.bytes));
            }
            if !answers.is_empty() {
                outbox.push_wait(array(&answers)).await;
            }
        });
    }
}

/// The answer to a request of either era; `None` where the client cancelled it.
async fn answer(
    front: &Arc<Front>,
    session: &Arc<Session>,
    slot: &Slot,
    request: Request,
    outbox: &Arc<Outbox>,
) -> Option<Answer> {
    let id = request.id.clone();
    let is_modern = modern::claims(request.params.as_ref());
    if let Some(client) = session.client().filter(|_| !is_modern) {
        return legacy::answer(front, client, session, slot, request, outbox).await;
    }
    if !is_modern && request.method == Method::PING {
        return Some(Answer::ok(message::response(Some(&id), Ok(&RawJson::EMPTY_OBJECT))));
    }
    let principal = front.service.access.principal();
    let envelope = modern::envelope(request.params.as_ref(), principal)
        .and_then(|envelope| modern::check_version(&envelope).map(|()| envelope));
    let envelope = match envelope {
        Ok(envelope) => envelope,
        Err(reject) => return Some(reject.answer(Some(&id))),
    };
    let (session, stop) = (Arc::downgrade(session), slot.stop.clone());
    match modern::route(front, request, envelope, outbox, session, stop.clone()).await {
        Route::Answer(answer) => Some(answer),
        Route::Call(asked) => {
            let result = asked.carry(front).await?;
            Some(asked.answer(result))
        }
        Route::Listen(opened) => {
            let id = opened.id().clone();
            let answer = tokio::select! {
                biased;
                () = stop.token.cancelled() => return None,
                answer = opened.run(false) => answer,
            };
            // The revision's text asks for both, in different places; clients ignore ids that they do not know.
            outbox.push_wait(answer.bytes).await;
            let params = RawJson::EMPTY_OBJECT.edit().set("requestId", id.as_json()).finish().ok();
            outbox.push_wait(message::notification(&Method::CANCELLED, params.as_ref())).await;
            None
        }
    }
}
