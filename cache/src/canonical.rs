//! One text for all spellings of the same JSON.

use std::borrow::Cow;

use toolweir_core::RawJson;

/// Deeper values have no canonical text.
const MAX_DEPTH: usize = 128;

/// Larger values have no canonical text: a key of this size costs more than it saves.
const MAX_BYTES: usize = 256 * 1024;

/// Why a value makes no key, so that nothing can be cached under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoKey {
    /// An object has two members of one name; which of them counts is anyone's guess.
    #[error("an object has two members of one name")]
    DuplicateKey,
    /// A string has no meaning as text, such as half of a surrogate pair.
    #[error("a string is not Unicode text")]
    InvalidString,
    /// It is nested deeper than 128 levels.
    #[error("nested too deeply")]
    TooDeep,
    /// It is larger than 256 KiB.
    #[error("too large")]
    TooLarge,
    /// The call goes on with an exchange (`inputResponses`, `requestState`), so its reply is for it alone.
    #[error("belongs to an exchange under way")]
    Exchange,
}

/// The same text for every spelling of the same JSON value.
///
/// Order of members, white space and escapes in strings do not matter. Numbers stay as they are written: `1`, `1.0`
/// and `1e0` are three texts, and no digit is lost, since servers differ in what they make of them.
///
/// # Errors
/// Fails where the value is ambiguous (two members of one name), not Unicode, too deep or too large.
///
/// ```
/// use toolweir_cache::canonical;
/// use toolweir_core::RawJson;
///
/// let one = canonical(&RawJson::new(r#"{"b": [1, 1.0], "a": "\u0041"}"#)?)?;
/// assert_eq!(one, r#"{"a":"A","b":[1,1.0]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn canonical(json: &RawJson) -> Result<String, NoKey> {
    write(json, Outermost::default())
}

/// What is done with some of the outermost object's members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outermost {
    /// Members that do not belong to the key.
    pub(crate) leave_out: &'static [&'static str],
    /// Members with which there is no key.
    pub(crate) refuse: &'static [&'static str],
}

/// [`canonical`], minding the outermost object's members.
pub(crate) fn write(json: &RawJson, outermost: Outermost) -> Result<String, NoKey> {
    if json.len() > MAX_BYTES {
        return Err(NoKey::TooLarge);
    }
    let mut writer =
        Writer { text: json.as_str(), at: 0, out: String::with_capacity(json.len()), outermost };
    writer.value(0)?;
    Ok(writer.out)
}

/// Reads well-formed JSON (a [`RawJson`] is) and writes its canonical text.
struct Writer<'a> {
    text: &'a str,
    at: usize,
    out: String,
    outermost: Outermost,
}

/// A member as it was written: its name, and where it stands in the output.
struct Member<'a> {
    name: Cow<'a, str>,
    start: usize,
    end: usize,
}

impl<'a> Writer<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        rest.get(space).copied()
    }

    fn value(&mut self, depth: usize) -> Result<(), NoKey> {
        if depth > MAX_DEPTH {
            return Err(NoKey::TooDeep);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let string = self.string()?;
                self.write_string(&string, matches!(string, Cow::Owned(_)));
                Ok(())
            }
            _ => {
                let start = self.at;
                let rest = &self.text.as_bytes()[start..];
                let ends =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                self.out.push_str(&self.text[start..self.at]);
                Ok(())
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NoKey> {
        self.at += 1;
        self.out.push('[');
        let mut first = true;
        while let Some(byte) = self.peek() {
            match byte {
                b']' => {
                    self.at += 1;
                    break;
                }
                b',' => self.at += 1,
                _ => {
                    if !first {
                        self.out.push(',');
                    }
                    first = false;
                    self.value(depth + 1)?;
                }
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), NoKey> {
        self.at += 1;
        self.out.push('{');
        let body = self.out.len();
        let mut members: Vec<Member<'a>> = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b'}' => {
                    self.at += 1;
                    break;
                }
                b',' => self.at += 1,
                _ => {
                    let start = self.out.len();
                    let name = self.string()?;
                    self.write_string(&name, matches!(name, Cow::Owned(_)));
                    self.peek();
                    self.at += 1; // the colon
                    self.out.push(':');
                    self.value(depth + 1)?;
                    members.push(Member { name, start, end: self.out.len() });
                }
            }
        }
        self.arrange(body, members, depth)?;
        self.out.push('}');
        Ok(())
    }

    /// Puts the members that stand behind `body` in order, with commas.
    fn arrange(
        &mut self,
        body: usize,
        mut members: Vec<Member<'a>>,
        depth: usize,
    ) -> Result<(), NoKey> {
        members.sort_by(|one, other| one.name.cmp(&other.name));
        if members.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err(NoKey::DuplicateKey);
        }
        if depth == 0 {
            let Outermost { leave_out, refuse } = self.outermost;
            if members.iter().any(|member| refuse.contains(&&*member.name)) {
                return Err(NoKey::Exchange);
            }
            members.retain(|member| !leave_out.contains(&&*member.name));
        }
        let written = self.out.split_off(body);
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.out.push_str(&written[member.start - body..member.end - body]);
        }
        Ok(())
    }

    /// The string that stands here, without its escapes; borrowed where it has none.
    fn string(&mut self) -> Result<Cow<'a, str>, NoKey> {
        let text = self.text;
        let start = self.at;
        let bytes = text.as_bytes();
        let mut end = start + 1;
        let mut escaped = false;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at = end + 1;
        if escaped {
            let string: String =
                serde_json::from_str(&text[start..self.at]).map_err(|_| NoKey::InvalidString)?;
            Ok(Cow::Owned(string))
        } else {
            Ok(Cow::Borrowed(&text[start + 1..end]))
        }
    }

    fn write_string(&mut self, string: &str, escaped: bool) {
        self.out.push('"');
        if !escaped {
            self.out.push_str(string);
            self.out.push('"');
            return;
        }
        for character in string.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                control if control < ' ' => {
                    self.out.push_str(&format!("\\u{:04x}", u32::from(control)));
                }
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }
}
