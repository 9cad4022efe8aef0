//! HTTP answers: plain JSON where nothing precedes the result, else a stream of events.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use tokio::time::Sleep;

use super::replay::EventId;
use super::session::Session;
use super::stream::{Answer, Item, Reader};
use crate::sse;

/// What the client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    pub(crate) json: bool,
    pub(crate) events: bool,
}

impl Accepts {
    /// Reads `Accept`; without one, anything goes.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepts = Self { json: false, events: false };
        let mut is_given = false;
        for value in headers.get_all(ACCEPT) {
            is_given = true;
            for range in value.to_str().unwrap_or_default().split(',') {
                let name = range.split(';').next().unwrap_or_default().trim();
                match name.to_ascii_lowercase().as_str() {
                    "*/*" => accepts = Self { json: true, events: true },
                    "application/*" | "application/json" => accepts.json = true,
                    "text/*" | "text/event-stream" => accepts.events = true,
                    _ => {}
                }
            }
        }
        if is_given { accepts } else { Self { json: true, events: true } }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Events(Box<Events>),
}

/// A stream of events, with keep-alive comments while it is quiet.
#[derive(Debug)]
pub(crate) struct Events {
    prime: Option<Bytes>,
    first: Option<Item>,
    reader: Option<Reader>,
    every: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Events {
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        if let Some(prime) = self.prime.take() {
            return Poll::Ready(Some(prime));
        }
        let item = match self.first.take() {
            Some(item) => Poll::Ready(Some(item)),
            None => reader.poll_next(context),
        };
        let bytes = match item {
            Poll::Ready(Some(Item::Message(bytes, id))) => event(&bytes, id),
            Poll::Ready(Some(Item::Answer(answer, id))) => {
                self.reader = None;
                event(&answer.bytes, id)
            }
            Poll::Ready(None) => {
                self.reader = None;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                if self.timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.restart();
                let _ = self.timer.as_mut().poll(context); // so that it wakes this task
                return Poll::Ready(Some(sse::KEEP_ALIVE));
            }
        };
        self.restart();
        Poll::Ready(Some(bytes))
    }

    fn restart(&mut self) {
        self.timer.as_mut().reset(tokio::time::Instant::now() + self.every);
    }
}

fn event(message: &[u8], id: Option<EventId>) -> Bytes {
    id.map_or_else(|| sse::encode(message), |id| sse::encode_with(&id, message))
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Events(events) => events.poll_bytes(context),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Events(events) => events.reader.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// An answer with no body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    with(status, Body::Whole(None))
}

/// An answer of one JSON message.
pub(crate) fn json(answer: Answer) -> Response<Body> {
    whole(answer.status, HeaderValue::from_static("application/json"), answer.bytes)
}

/// An answer of these bytes.
pub(crate) fn whole(status: StatusCode, kind: HeaderValue, bytes: Bytes) -> Response<Body> {
    let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
    let mut response = with(status, Body::Whole(bytes));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An answer of events that a session's client may take up again: `first`, then what `reader` gives.
pub(crate) fn kept_events(
    mut first: Option<Item>,
    reader: Reader,
    every: Duration,
    session: &Session,
    is_general: bool,
) -> Response<Body> {
    session.keep(reader.outbox(), is_general);
    let start = reader.outbox().number(first.as_mut());
    let prime = start.filter(|_| session.is_primed()).map(|start| sse::prime(&start));
    stream(prime, first, reader, every)
}

/// An answer of events: what `reader` gives.
pub(crate) fn events(reader: Reader, every: Duration) -> Response<Body> {
    stream(None, None, reader, every)
}

fn stream(
    prime: Option<Bytes>,
    first: Option<Item>,
    reader: Reader,
    every: Duration,
) -> Response<Body> {
    let timer = Box::pin(tokio::time::sleep(every));
    let events = Events { prime, first, reader: Some(reader), every, timer };
    let mut response = with(StatusCode::OK, Body::Events(Box::new(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn with(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Waits for the first message and decides by it; a client that can read events and waits long gets a stream, so
/// that the connection is kept.
pub(crate) async fn respond(
    mut reader: Reader,
    accepts: Accepts,
    keep_alive: Duration,
    session: Option<&Session>,
) -> Response<Body> {
    let events = |first, reader| match session {
        Some(session) => kept_events(first, reader, keep_alive, session, false),
        None => stream(None, first, reader, keep_alive),
    };
    if !accepts.json {
        return events(None, reader);
    }
    let next = std::future::poll_fn(|context| reader.poll_next(context));
    let first = if accepts.events {
        match tokio::time::timeout(keep_alive, next).await {
            Ok(first) => first,
            Err(_) => return events(None, reader),
        }
    } else {
        next.await
    };
    match first {
        Some(Item::Answer(answer, _)) => json(answer),
        Some(message) => events(Some(message), reader),
        None if accepts.events => events(None, reader),
        None => empty(StatusCode::ACCEPTED),
    }
}
