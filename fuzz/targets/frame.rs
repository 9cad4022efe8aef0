//! Lines of a stdio stream: the same wherever the reads are cut, as plain splitting gives them, within their cap; and
//! what is salvaged from a broken one is never the answer to another call.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use toolweir_fuzz::{Control, Model};
use toolweir_wire::fuzzing::{Frame, frames, salvaged, salvaged_ends};

/// So much of either end of a long line is kept.
const KEPT: usize = 256;

fuzz_target!(|input: &[u8]| {
    let Some((control, bytes)) = Control::split(input) else { return };
    let cap = control.cap();
    let seen = frames(&control.pieces(bytes), cap);
    assert_eq!(seen, plain(bytes, cap));
    for frame in seen {
        match frame {
            Frame::Whole(line) => {
                let answered = salvaged(&line);
                check(&line, answered);
                check(&line, salvaged_ends(&line, &line));
            }
            Frame::TooLong(head, tail) => {
                let _ = salvaged_ends(&head, &tail);
            }
        }
    }
});

fn plain(bytes: &[u8], cap: usize) -> Vec<Frame> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    lines.pop(); // without its line end it is no line
    let frame = |line: &[u8]| {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() < cap {
            return Frame::Whole(text.to_vec().into());
        }
        let head = text[..text.len().min(KEPT)].to_vec();
        let tail = text[text.len().saturating_sub(KEPT)..].to_vec();
        Frame::TooLong(head.into(), tail.into())
    };
    lines.into_iter().map(frame).collect()
}

/// A line that is well-formed says itself which call it answers. White space within names and doubled names are left
/// out: the ends alone cannot tell them apart.
fn check(line: &[u8], answered: Option<u64>) {
    let Some(answered) = answered else { return };
    let Ok(text) = std::str::from_utf8(line) else { return };
    let Some(members) = Model::members(text) else { return };
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < members.len() || text.contains(|c: char| c.is_ascii_whitespace() || c == '\\')
    {
        return;
    }
    let id = members.iter().find(|(name, _)| name == "id").map(|(_, value)| *value);
    assert_eq!(id, Some(answered.to_string().as_str()), "{text}");
}
