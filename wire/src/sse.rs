//! Server-sent events, as WHATWG's HTML standard has them.

use bytes::{Bytes, BytesMut};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) event: Option<String>,
    pub(crate) data: Bytes,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
}

/// More than the cap in one event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {0} bytes")]
pub(crate) struct TooLarge(pub(crate) usize);

/// Takes a stream's bytes in pieces of any size and gives whole events; a half one at the end is never given.
#[derive(Debug)]
pub(crate) struct Decoder {
    line: BytesMut,
    data: BytesMut,
    has_data: bool,
    event: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    /// `id` was told in this block.
    is_new_id: bool,
    /// The id of the last block that ended, and the latest time, as far as they were not asked for.
    last_id: Option<String>,
    latest_retry: Option<u64>,
    at_start: bool,
    after_cr: bool,
    cap: usize,
}

impl Decoder {
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            line: BytesMut::new(),
            data: BytesMut::new(),
            has_data: false,
            event: None,
            id: None,
            retry: None,
            is_new_id: false,
            last_id: None,
            latest_retry: None,
            at_start: true,
            after_cr: false,
            cap,
        }
    }

    /// Takes the next piece and adds the events that it completes to `events`.
    pub(crate) fn push(
        &mut self,
        mut piece: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), TooLarge> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_cr) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = piece.split_at(end.unwrap_or(piece.len()));
            if self.line.len() + self.data.len() + part.len() > self.cap {
                return Err(TooLarge(self.cap));
            }
            self.line.extend_from_slice(part);
            if let Some(&line_end) = rest.first() {
                self.after_cr = line_end == b'\r';
                let line = self.line.split();
                self.take_line(&line, events);
                piece = &rest[1..];
            } else {
                piece = rest;
            }
        }
        Ok(())
    }

    /// The id from which the stream can be taken up again; once told, only where it is told anew.
    pub(crate) fn last_id(&mut self) -> Option<String> {
        self.last_id.take()
    }

    /// How long to wait before that, in milliseconds; told once.
    pub(crate) fn retry(&mut self) -> Option<u64> {
        self.latest_retry.take()
    }

    fn take_line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            let event = self.event.take();
            if self.is_new_id {
                self.is_new_id = false;
                self.last_id.clone_from(&self.id);
            }
            if std::mem::take(&mut self.has_data) {
                let data = self.data.split().freeze();
                events.push(Event { event, data, id: self.id.clone(), retry: self.retry.take() });
            }
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.extend_from_slice(b"\n");
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.event = Some(String::from_utf8_lossy(value).into_owned()),
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
                self.is_new_id = true;
            }
            // Digits alone: `parse` would take a sign.
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let time = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                self.retry = time.or(self.retry);
                self.latest_retry = time.or(self.latest_retry);
            }
            _ => {}
        }
    }
}

/// One message as an event; messages hold no line ends.
pub(crate) fn encode(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\ndata: ");
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// One message as an event with an id.
pub(crate) fn encode_with(id: &impl std::fmt::Display, message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 48);
    out.extend_from_slice(format!("id: {id}\nevent: message\ndata: ").as_bytes());
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// An event that says nothing but from where the stream can be taken up again, and after how long (1 s).
pub(crate) fn prime(id: &impl std::fmt::Display) -> Bytes {
    format!("id: {id}\nretry: 1000\ndata: \n\n").into()
}

/// A comment that keeps proxies from closing a quiet stream.
pub(crate) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keepalive\n\n");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut decoder, mut events) = (Decoder::new(1 << 20), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut events).unwrap();
        }
        events
    }

    fn data(text: &str) -> Vec<String> {
        decode(&[text.as_bytes()])
            .iter()
            .map(|event| String::from_utf8_lossy(&event.data).into_owned())
            .collect()
    }

    #[test]
    fn follows_the_standard() {
        assert_eq!(data("data: a\n\n"), ["a"]);
        assert_eq!(data("\u{feff}data:a\r\n\r\n: note\ndata: b\ndata:  c\r\r"), ["a", "b\n c"]);
        assert_eq!(data("event: x\n\ndata\n\n"), [""]);
        assert_eq!(data("data: half"), Vec::<String>::new());
        assert_eq!(data("data: half\n"), Vec::<String>::new());
        let events = decode(&[b"id: 7\nretry: 20\nevent: message\ndata: {}\n\ndata: x\n\n"]);
        assert_eq!(
            (events[0].id.as_deref(), events[0].retry, events[0].event.as_deref()),
            (Some("7"), Some(20), Some("message"))
        );
        assert_eq!(
            (events[1].id.as_deref(), events[1].retry, events[1].event.as_deref()),
            (Some("7"), None, None)
        );
    }

    #[test]
    fn a_retry_that_is_no_number_changes_nothing() {
        for (text, retry) in [
            ("retry: 20\nretry: +5\ndata\n\n", Some(20)),
            ("retry: 20\nretry:\ndata\n\n", Some(20)),
            ("retry: -1\ndata\n\n", None),
            ("retry: 99999999999999999999\ndata\n\n", None),
        ] {
            assert_eq!(decode(&[text.as_bytes()])[0].retry, retry, "{text:?}");
        }
    }

    #[test]
    fn refuses_an_event_over_the_cap() {
        let mut decoder = Decoder::new(8);
        assert_eq!(decoder.push(b"data: 123456789", &mut Vec::new()), Err(TooLarge(8)));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            text in "(data: [a-zé]{0,4}|event: x|id: [0-9]|:|\r\n|\r|\n|\n\n){0,24}", cut in 0_usize..200,
        ) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(decode(&[bytes]), decode(&[&bytes[..cut], &bytes[cut..]]));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(decode(&[bytes]), decode(&single));
        }
    }
}
