//! Lines of a stdio stream, capped while they are read.

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A line, or that one was too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its line end.
    Whole(Bytes),
    /// Longer than the cap: thrown away but for its ends; the next line is read as usual.
    TooLong {
        /// Its first bytes, at most [`KEPT`].
        head: Bytes,
        /// Its last bytes, at most [`KEPT`].
        tail: Bytes,
    },
}

/// How much is kept of either end of a line over the cap.
const KEPT: usize = 256;

/// The ends of a line that is being thrown away; they do not depend on where the reads were cut.
#[derive(Debug)]
struct Skipped {
    head: BytesMut,
    /// One byte more than is kept: a carriage return may turn out to belong to the line's end.
    tail: BytesMut,
    length: usize,
}

impl Skipped {
    fn new(line: &[u8]) -> Self {
        let (head, tail) = (BytesMut::with_capacity(KEPT), BytesMut::with_capacity(2 * KEPT));
        let mut skipped = Self { head, tail, length: 0 };
        skipped.push(line);
        skipped
    }

    fn push(&mut self, more: &[u8]) {
        self.length = self.length.saturating_add(more.len());
        self.head.extend_from_slice(&more[..more.len().min(KEPT - self.head.len())]);
        self.tail.extend_from_slice(&more[more.len().saturating_sub(KEPT + 1)..]);
        let surplus = self.tail.len().saturating_sub(KEPT + 1);
        self.tail = self.tail.split_off(surplus);
    }

    /// What is kept of the line, once its line feed has been seen.
    fn line(mut self) -> Line {
        if self.tail.ends_with(b"\r") {
            self.tail.truncate(self.tail.len() - 1);
            self.length -= 1;
        }
        self.head.truncate(self.length);
        let surplus = self.tail.len().saturating_sub(KEPT);
        Line::TooLong { head: self.head.freeze(), tail: self.tail.split_off(surplus).freeze() }
    }
}

/// Reads lines of at most `cap` bytes.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    scanned: usize,
    cap: usize,
    skipping: Option<Skipped>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, cap: usize) -> Self {
        Self { reader, buffer: BytesMut::with_capacity(8 << 10), scanned: 0, cap, skipping: None }
    }

    /// The next line; `None` at the end. A last line without its line end is no message.
    ///
    /// Cancel-safe: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer[self.scanned..]) {
                let line = self.buffer.split_to(self.scanned + end + 1).freeze();
                self.scanned = 0;
                let end = line.len() - 1;
                if let Some(mut skipped) = self.skipping.take() {
                    skipped.push(&line[..end]);
                    return Ok(Some(skipped.line()));
                }
                if line.len() > self.cap {
                    return Ok(Some(Skipped::new(&line[..end]).line()));
                }
                let end = if line[..end].ends_with(b"\r") { end - 1 } else { end };
                return Ok(Some(Line::Whole(line.slice(..end))));
            }
            self.scanned = self.buffer.len();
            if self.buffer.len() > self.cap {
                match &mut self.skipping {
                    Some(skipped) => skipped.push(&self.buffer),
                    None => self.skipping = Some(Skipped::new(&self.buffer)),
                }
                self.buffer.clear();
                self.scanned = 0;
            }
            self.buffer.reserve(8 << 10);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_over_the_cap_is_lost_alone() {
        let text = b"one\r\n\n0123456789abcdef\ntwo\nhalf";
        let mut lines = Lines::new(&text[..], 8);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(match line {
                Line::Whole(line) => String::from_utf8(line.to_vec()).unwrap(),
                Line::TooLong { head, tail } => {
                    assert_eq!(head, b"0123456789abcdef"[..head.len()]);
                    assert!(tail.ends_with(b"f"), "{tail:?}");
                    "too long".to_owned()
                }
            });
        }
        assert_eq!(seen, ["one", "", "too long", "two"]);
    }

    /// Reads `text` with a line end that falls apart at `cut`.
    async fn cut_at(text: &[u8], cut: usize) -> Line {
        let reader = text[..cut].chain(&text[cut..]);
        Lines::new(reader, 8).next().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn the_ends_of_a_long_line_are_the_same_wherever_the_reads_were_cut() {
        let text = b"0123456789abcdef\r\n";
        let whole = Line::TooLong {
            head: Bytes::from_static(b"0123456789abcdef"),
            tail: Bytes::from_static(b"0123456789abcdef"),
        };
        for cut in 0..=text.len() {
            assert_eq!(cut_at(text, cut).await, whole, "cut at {cut}");
        }
    }

    /// `x` without an end, in the largest reads that are asked for.
    struct Endless(usize);

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let count = buffer.remaining().min(self.0);
            self.0 -= count;
            buffer.initialize_unfilled_to(count).fill(b'x');
            buffer.advance(count);
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_takes_no_more_than_twice_its_cap() {
        let cap = 1 << 20;
        let mut lines = Lines::new(Endless(64 * cap).chain(&b"\nnext\n"[..]), cap);
        let Some(Line::TooLong { head, tail }) = lines.next().await.unwrap() else {
            panic!("it is over the cap")
        };
        assert!(lines.buffer.capacity() <= 2 * cap, "{}", lines.buffer.capacity());
        assert_eq!((head.len(), tail.len()), (KEPT, KEPT));
        let next = lines.next().await.unwrap();
        assert_eq!(next, Some(Line::Whole(Bytes::from_static(b"next"))));
    }
}
