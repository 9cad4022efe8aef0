//! Walks over JSON that is known to be well-formed, without decoding or copying it.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::{InvalidJson, RawJson};

/// A value within a [`RawJson`].
#[derive(Clone)]
pub struct Part<'a> {
    parent: &'a RawJson,
    range: Range<usize>,
}

impl<'a> Part<'a> {
    /// The value on its own, sharing the memory of what it is part of.
    #[must_use]
    pub fn to_json(&self) -> RawJson {
        RawJson(self.parent.0.slice(self.range.clone()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        &self.parent.0[self.range.clone()]
    }

    /// Where it lies within the parent's bytes.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The text of a string, unescaped; `None` where the value is no string, or holds a lone surrogate.
    #[must_use]
    pub fn string(&self) -> Option<Cow<'a, str>> {
        let bytes = self.as_bytes();
        if bytes.first() != Some(&b'"') {
            return None;
        }
        unescape(bytes)
    }

    /// Reads the value as `T`.
    ///
    /// # Errors
    /// Fails where the value does not have the shape of `T`.
    pub fn get<T: Deserialize<'a>>(&self) -> Result<T, InvalidJson> {
        Ok(serde_json::from_slice(self.as_bytes())?)
    }
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} bytes)", self.range.len())
    }
}

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its key, unescaped; where it holds a lone surrogate, as it is written.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Part<'a>,
    /// Where the key begins, with its quote.
    pub(super) start: usize,
}

/// Iterates over an object's members; see [`RawJson::members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    parent: &'a RawJson,
    at: usize,
}

impl<'a> Members<'a> {
    pub(super) fn new(parent: &'a RawJson) -> Self {
        let at = if parent.is_object() { 1 } else { parent.0.len() };
        Self { parent, at }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let text: &'a [u8] = &self.parent.0;
        let start = skip_separators(text, self.at);
        if text.get(start) != Some(&b'"') {
            self.at = text.len();
            return None;
        }
        let key_end = string_end(text, start);
        let value_start = skip_separators(text, key_end);
        let value_end = value_end(text, value_start);
        self.at = value_end;
        let raw_key = &text[start..key_end];
        let key = unescape(raw_key).unwrap_or_else(|| String::from_utf8_lossy(raw_key));
        Some(Member {
            key,
            value: Part { parent: self.parent, range: value_start..value_end },
            start,
        })
    }
}

/// Iterates over an array's items; see [`RawJson::items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    parent: &'a RawJson,
    at: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(parent: &'a RawJson) -> Self {
        let at = if parent.0.first() == Some(&b'[') { 1 } else { parent.0.len() };
        Self { parent, at }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let text: &'a [u8] = &self.parent.0;
        let start = skip_separators(text, self.at);
        if start >= text.len() || text[start] == b']' {
            self.at = text.len();
            return None;
        }
        let end = value_end(text, start);
        self.at = end;
        Some(Part { parent: self.parent, range: start..end })
    }
}

/// Skips white space, commas and colons: all that stands between the tokens of a well-formed value.
fn skip_separators(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
        at += 1;
    }
    at
}

/// The position behind the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The position behind the value that begins at `start`.
fn value_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut depth = 0_usize;
    while at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// A string's text; `quoted` begins and ends with a quote.
fn unescape(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if inner.contains(&b'\\') {
        serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned)
    } else {
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }
}

pub(super) fn is_within_depth(text: &[u8], max: usize) -> bool {
    // Most values open fewer than that, in strings and all; counting takes a fraction of a walk's time.
    let opened: usize = text.chunks(128).map(opened).sum();
    opened <= max || is_walked_within_depth(text, max)
}

/// How many of so few bytes open an array or an object, or look like it in a string.
fn opened(chunk: &[u8]) -> usize {
    let opened: u8 = chunk.iter().map(|byte| u8::from(matches!(byte, b'{' | b'['))).sum();
    usize::from(opened)
}

fn is_walked_within_depth(text: &[u8], max: usize) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at = string_end(text, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    true
}
