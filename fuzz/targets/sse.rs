//! Server-sent events: the same wherever the stream is cut, as the standard has them, within their cap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolweir_fuzz::Control;
use toolweir_wire::fuzzing::{Event, events};

fuzz_target!(|input: &[u8]| {
    let Some((control, bytes)) = Control::split(input) else { return };
    let pieces = control.pieces(bytes);
    let (whole, is_over) = events(&[bytes], usize::MAX);
    assert!(!is_over);
    assert_eq!(whole, plain(bytes));
    assert_eq!(events(&pieces, usize::MAX), (whole, false));
    let capped = events(&[bytes], control.cap());
    assert!(capped.0.iter().all(|event| event.data.len() <= control.cap()));
    assert_eq!(events(&pieces, control.cap()), capped);
});

/// The standard's algorithm, step by step over the whole text.
fn plain(bytes: &[u8]) -> Vec<Event> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\r' if bytes.get(at) == Some(&b'\n') => {}
            b'\r' | b'\n' => lines.push(Vec::new()),
            byte => lines.last_mut().expect("it begins with one").push(*byte),
        }
    }
    lines.pop();
    let mut events = Vec::new();
    let (mut kind, mut data, mut id, mut retry): (_, Option<Vec<u8>>, _, _) =
        (None, None, None, None);
    for line in lines {
        if line.is_empty() {
            let kind = kind.take();
            if let Some(data) = data.take() {
                let data = data.into();
                events.push(Event { event: kind, data, id: id.clone(), retry: retry.take() });
            }
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = String::from_utf8_lossy(value).into_owned();
        match name {
            b"event" => kind = Some(text),
            b"data" => match &mut data {
                Some(data) => data.extend([b"\n", value].concat()),
                None => data = Some(value.to_vec()),
            },
            b"id" if !text.contains('\0') => id = Some(text),
            b"retry" if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                retry = text.parse().ok().or(retry);
            }
            _ => {}
        }
    }
    events
}
