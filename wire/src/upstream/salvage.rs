//! Which call a line was meant for that is no message: told only where its envelope is plain to see.

use toolweir_core::RawJson;

/// How much of a line's beginning and end is looked at.
const SEEN: usize = 160;

/// What a line that cannot be read was meant to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// The answer to our call of this id.
    Answer(u64),
    /// A request of the peer's own, whose id is as it was written.
    Request(RawJson),
    /// Nothing that can be told: noise.
    Nothing,
}

/// Looks at a line that could not be read as a message.
pub(crate) fn meant(line: &bytes::Bytes) -> Meant {
    if line.first() != Some(&b'{') {
        return Meant::Nothing;
    }
    // Well-formed, but nested too deep or of a wrong shape.
    if let Ok(json) = RawJson::new(line.clone()) {
        let mut ids = json.members().filter(|member| member.key == "id");
        let (Some(id), None) = (ids.next(), ids.next()) else { return Meant::Nothing };
        if json.member("method").is_some() {
            return Meant::Request(id.value.to_json());
        }
        return id.value.get().map_or(Meant::Nothing, Meant::Answer);
    }
    ends(line, line)
}

/// The same of a line of which only the beginning and the end are left.
pub(crate) fn ends(head: &[u8], tail: &[u8]) -> Meant {
    if head.first() != Some(&b'{') {
        return Meant::Nothing;
    }
    let head = dense(&head[..head.len().min(SEEN)]);
    let answers = |text: &str| text.starts_with("\"result\":") || text.starts_with("\"error\":");
    if let Some(rest) = head.strip_prefix(r#"{"jsonrpc":"2.0","id":"#)
        && let Some((id, rest)) = rest.split_once(',')
        && answers(rest)
    {
        return id.parse().map_or(Meant::Nothing, Meant::Answer);
    }
    let tail = dense(&tail[tail.len().saturating_sub(SEEN)..]);
    if answers(&head[1..])
        && let Some(at) = tail.rfind(r#","id":"#)
        && let Some(id) = tail[at + 6..].strip_suffix('}')
    {
        return id.parse().map_or(Meant::Nothing, Meant::Answer);
    }
    Meant::Nothing
}

/// The text without spaces.
fn dense(bytes: &[u8]) -> String {
    bytes
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_envelope_is_believed() {
        let cases: [(&[u8], Meant); 10] = [
            (br#"{"jsonrpc": "2.0", "id": 5, "result": {"a":}}"#, Meant::Answer(5)),
            (br#"{"error":{"a":},"jsonrpc":"2.0","id":6}"#, Meant::Answer(6)),
            (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"\xff\"}", Meant::Answer(7)),
            (br#"{"jsonrpc":"2.0","id":8}"#, Meant::Answer(8)),
            (br#"{"jsonrpc":"2.0","id":8,"id":9}"#, Meant::Nothing),
            (br#"{"jsonrpc":"2.0","id":8,"method":"x","params":}"#, Meant::Nothing),
            (br#"{"jsonrpc":"2.0","id":"8","result":}"#, Meant::Nothing),
            (br#"{"note":"\"id\":1"#, Meant::Nothing),
            (b"Starting", Meant::Nothing),
            (b"{", Meant::Nothing),
        ];
        for (line, expected) in cases {
            assert_eq!(meant(&bytes::Bytes::from_static(line)), expected);
        }
        let request = br#"{"jsonrpc":"2.0","id":8,"method":"x","params":null}"#;
        let id = RawJson::new("8").unwrap();
        assert_eq!(meant(&bytes::Bytes::from_static(request)), Meant::Request(id));
    }
}
