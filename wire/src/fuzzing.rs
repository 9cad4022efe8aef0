//! Windows through which `cargo xtask fuzz` reaches what reads bytes from strangers. Not part of the interface.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use toolweir_core::{Call, RawJson};

use crate::header;
use crate::lines::{Line, Lines};
use crate::message::{Fault, Id, Incoming, Request, read};
use crate::mirrors::Mirrors;
use crate::sse::Decoder;
use crate::upstream::{Meant, ends, headers, meant};

/// A line of a stdio stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// The whole line without its end.
    Whole(Bytes),
    /// Beginning and end of a line over the cap.
    TooLong(Bytes, Bytes),
}

/// Each of `pieces` is one read.
struct Pieces(VecDeque<Bytes>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.0.front().is_some_and(Bytes::is_empty) {
            self.0.pop_front();
        }
        if let Some(piece) = self.0.front_mut() {
            buffer.put_slice(&piece.split_to(piece.len().min(buffer.remaining())));
        }
        Poll::Ready(Ok(()))
    }
}

/// The lines of a stream that comes in `pieces`.
#[must_use]
pub fn frames(pieces: &[&[u8]], cap: usize) -> Vec<Frame> {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let mut lines = Lines::new(Pieces(pieces), cap);
    let mut frames = Vec::new();
    loop {
        let next = pin!(lines.next()).poll(&mut Context::from_waker(Waker::noop()));
        frames.push(match next {
            Poll::Ready(Ok(Some(Line::Whole(line)))) => Frame::Whole(line),
            Poll::Ready(Ok(Some(Line::TooLong { head, tail }))) => Frame::TooLong(head, tail),
            _ => return frames,
        });
    }
}

/// Which of our calls a line that is no message is taken to answer.
#[must_use]
pub fn salvaged(line: &Bytes) -> Option<u64> {
    answered(meant(line))
}

/// The same, of a line's beginning and end.
#[must_use]
pub fn salvaged_ends(head: &[u8], tail: &[u8]) -> Option<u64> {
    answered(ends(head, tail))
}

fn answered(meant: Meant) -> Option<u64> {
    if let Meant::Answer(id) = meant { Some(id) } else { None }
}

/// A server-sent event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The value of `event`.
    pub event: Option<String>,
    /// The lines of `data`, joined.
    pub data: Bytes,
    /// The last value of `id`.
    pub id: Option<String>,
    /// The value of `retry`.
    pub retry: Option<u64>,
}

/// The events of a stream that comes in `pieces`, and whether one was over the cap.
#[must_use]
pub fn events(pieces: &[&[u8]], cap: usize) -> (Vec<Event>, bool) {
    let (mut decoder, mut events) = (Decoder::new(cap), Vec::new());
    let is_over = pieces.iter().any(|piece| decoder.push(piece, &mut events).is_err());
    let event = |event: crate::sse::Event| Event {
        event: event.event,
        data: event.data,
        id: event.id,
        retry: event.retry,
    };
    (events.into_iter().map(event).collect(), is_over)
}

/// A message as the envelope was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Not JSON.
    Syntax,
    /// Nested too deep.
    TooDeep,
    /// JSON, and no message; with its id where that can be told.
    Invalid(Option<Bytes>),
    /// Id, method and params.
    Request(Bytes, String, Option<Bytes>),
    /// Method and params.
    Notification(String, Option<Bytes>),
    /// Id and result, or error.
    Response(Option<Bytes>, Result<Bytes, Bytes>),
    /// The items.
    Batch(Vec<Bytes>),
}

/// Reads one message.
#[must_use]
pub fn envelope(bytes: Bytes, depth: usize) -> Envelope {
    let raw = |json: RawJson| json.to_bytes();
    match read(bytes, depth) {
        Err(Fault::Syntax(_)) => Envelope::Syntax,
        Err(Fault::TooDeep(_)) => Envelope::TooDeep,
        Err(Fault::Invalid { id, .. }) => Envelope::Invalid(id.map(|id| id.as_json().to_bytes())),
        Ok(Incoming::Request(Request { id, method, params })) => {
            let method = method.as_str().to_owned();
            Envelope::Request(id.as_json().to_bytes(), method, params.map(raw))
        }
        Ok(Incoming::Notification(notification)) => Envelope::Notification(
            notification.method.as_str().to_owned(),
            notification.params.map(raw),
        ),
        Ok(Incoming::Response(response)) => Envelope::Response(
            response.id.map(|id| id.as_json().to_bytes()),
            response.result.map(raw).map_err(raw),
        ),
        Ok(Incoming::Batch(items)) => Envelope::Batch(items.into_iter().map(raw).collect()),
    }
}

/// Text as a header's value.
#[must_use]
pub fn encode(text: &str) -> String {
    header::encode(text).into_owned()
}

/// The text of a header's value.
#[must_use]
pub fn decode(value: &[u8]) -> Option<String> {
    header::decode(value).map(std::borrow::Cow::into_owned)
}

/// Whether our listener takes the headers that our client writes for a call of `tool`, after both have seen `list`.
#[must_use]
pub fn agree(list: &RawJson, tool: &str, arguments: &RawJson) -> bool {
    let mirrors = Mirrors::default();
    let _ = mirrors.learn(list);
    let Ok(call) = Call::tool(tool, arguments) else { return false };
    let headers = headers(&mirrors, &call).into_iter().collect();
    let request = Request { id: Id::own(1), method: call.method, params: call.params };
    mirrors.check(&headers, &request).is_ok()
}
