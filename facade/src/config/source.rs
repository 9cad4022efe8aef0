//! The text of the file: where things are in it, and what of it may be shown.

use std::fmt;
use std::ops::Range;

/// A place in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes, all of them on that one line.
    pub(super) bytes: Range<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The bytes of a block; see [`Source`].
const BLOCK: usize = 512;

/// A file's name and its text.
#[derive(Default)]
pub(super) struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// How many characters begin before each block, so that a place costs the same wherever it is.
    blocks: Vec<usize>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold secrets.
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let starts =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        let mut before = 0;
        let blocks = text.as_bytes().chunks(BLOCK).map(|block| {
            let so_far = before;
            before += characters(block);
            so_far
        });
        Self { name: name.to_owned(), text: text.to_owned(), lines, blocks: blocks.collect() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The place of `bytes`, cut to the line that they begin on.
    pub(super) fn place(&self, bytes: Range<usize>) -> Place {
        let start = self.floor(bytes.start);
        let line = self.lines.partition_point(|begin| *begin <= start).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or_default();
        // Nothing can be pointed at within a line's end.
        let start = start.min(self.line_end(line));
        let end = self.floor(bytes.end).clamp(start, self.line_end(line));
        Place { line, column: self.before(start) - self.before(begin) + 1, bytes: start..end }
    }

    /// The bytes of the lines `first..=last`, without the last line's end.
    pub(super) fn lines(&self, first: usize, last: usize) -> Range<usize> {
        let begin = self.lines.get(first.saturating_sub(1)).copied().unwrap_or_default();
        begin..self.line_end(last).max(begin)
    }

    /// How many characters begin before `at`.
    fn before(&self, at: usize) -> usize {
        let block = (at / BLOCK).min(self.blocks.len().saturating_sub(1));
        self.blocks.get(block).copied().unwrap_or_default()
            + characters(&self.text.as_bytes()[block * BLOCK..at])
    }

    fn line_end(&self, line: usize) -> usize {
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        if self.text[..end].ends_with('\r') { end - 1 } else { end }
    }

    /// The character boundary at or before `at`.
    pub(super) fn floor(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or_default()
    }

    /// The same text with `secrets` hidden; every byte keeps its place.
    pub(super) fn mask(&self, secrets: &[Range<usize>]) -> Self {
        let mut hidden = vec![false; self.text.len()];
        for secret in secrets {
            hidden.get_mut(secret.clone()).into_iter().flatten().for_each(|byte| *byte = true);
            for reference in references(&self.text, secret.clone()) {
                hidden.get_mut(reference).into_iter().flatten().for_each(|byte| *byte = false);
            }
        }
        let mut text = String::with_capacity(self.text.len());
        for (at, character) in self.text.char_indices() {
            text.push(match (hidden[at] && !character.is_control(), character.len_utf8()) {
                (false, _) => character,
                (true, 1) => '*',
                (true, 2) => '\u{b7}',
                (true, 3) => '\u{2022}',
                (true, _) => '\u{1d7cf}',
            });
        }
        Self {
            name: self.name.clone(),
            text,
            lines: self.lines.clone(),
            blocks: self.blocks.clone(),
        }
    }
}

/// How many characters begin in `bytes`.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// The `${NAME`, and the `}` if it follows, of each reference: a variable's name is no secret, its default may be.
fn references(text: &str, inside: Range<usize>) -> Vec<Range<usize>> {
    let Some(content) = text.get(inside.clone()) else { return Vec::new() };
    let names = content.match_indices("${").map(|(at, _)| {
        let length = content[at + 2..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(content.len() - at - 2);
        let length = length + usize::from(content[at + 2 + length..].starts_with('}'));
        inside.start + at..inside.start + at + 2 + length
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let source = Source::new("f", "ä{\r\n  \"é\": 1\n}");
        let at = source.text().find('1').unwrap();
        assert_eq!(source.place(at..at + 1).to_string(), "2:8");
        assert_eq!(source.place(0..source.text().len()).bytes, 0..3);
        assert_eq!(source.place(900..901).to_string(), "3:2");
        assert_eq!(source.place(4..5), source.place(3..5));
    }

    #[test]
    fn a_mask_hides_all_but_the_names_of_variables() {
        let text = r#"["Bearer ${TOKEN:-äb€𝄞}", "seen"]"#;
        let inside = 2..text.find("\", ").unwrap();
        let masked = Source::new("f", text).mask(&[inside]);
        assert_eq!(masked.text(), "[\"*******${TOKEN**·*•𝟏*\", \"seen\"]");
        assert_eq!(masked.text().len(), text.len());
    }
}
