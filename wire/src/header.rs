//! Text in HTTP headers, as 2026-07-28 encodes it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// The text as a header's value: as it is where that is safe, else in base64.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let is_marked = text.starts_with(PREFIX) && text.ends_with(SUFFIX);
    let safe = text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !is_marked;
    if safe {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(text)))
    }
}

/// The text that a header's value stands for; `None` where it is not validly encoded.
pub(crate) fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let Some(inner) = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else {
        return Some(Cow::Borrowed(text));
    };
    String::from_utf8(STANDARD.decode(inner).ok()?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(encode("plain name"), "plain name");
        assert_eq!(encode("é"), "=?base64?w6k=?=");
        assert_eq!(decode(b"  name\t").as_deref(), Some("name"));
        assert_eq!(decode(b"=?base64?SGVsbG8?="), None);
        assert_eq!(decode(b"=?base64?SGVsbG8="), Some(Cow::Borrowed("=?base64?SGVsbG8=")));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,20}|=\\?base64\\?.{0,5}\\?=| .{0,5} ") {
            let encoded = encode(&text).into_owned();
            prop_assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            let decoded = decode(encoded.as_bytes());
            prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
        }
    }
}
