//! JSON as plain data, by serde_json and by nothing of ours.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One value; numbers, `true`, `false` and `null` as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// A number or a word.
    Word(String),
    /// A string's text.
    Text(String),
    /// An array.
    Array(Vec<Model>),
    /// An object whose members have names of their own.
    Object(BTreeMap<String, Model>),
}

impl Model {
    /// Reads a value; `None` where it is no JSON, a string is no text, two members have one name, or it is deeper
    /// than `depth`.
    #[must_use]
    pub fn read(text: &str, depth: usize) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        let raw = raw.get();
        match raw.as_bytes()[0] {
            b'{' => {
                let mut object = BTreeMap::new();
                for (name, value) in Self::members(raw)? {
                    let value = Self::read(value, depth.checked_sub(1)?)?;
                    if object.insert(name, value).is_some() {
                        return None;
                    }
                }
                Some(Self::Object(object))
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
                let depth = if items.is_empty() { depth } else { depth.checked_sub(1)? };
                let items = items.into_iter().map(|item| Self::read(item.get(), depth));
                items.collect::<Option<_>>().map(Self::Array)
            }
            b'"' => serde_json::from_str(raw).ok().map(Self::Text),
            _ => Some(Self::Word(raw.to_owned())),
        }
    }

    /// The members of an object in their order, duplicates too; `None` where a name is no text.
    #[must_use]
    pub fn members(object: &str) -> Option<Vec<(String, &str)>> {
        let members: Members<'_> = serde_json::from_str(object).ok()?;
        Some(members.0.into_iter().map(|(name, value)| (name, value.get())).collect())
    }

    /// The value in another spelling: members in order of their names, white space around every token, escapes where
    /// none are needed.
    #[must_use]
    pub fn spelt_otherwise(&self) -> String {
        match self {
            Self::Word(word) => format!("\t{word} "),
            Self::Text(text) => spelt(text),
            Self::Array(items) => {
                let items: Vec<String> = items.iter().map(Self::spelt_otherwise).collect();
                format!("[\n{}]", items.join(" ,"))
            }
            Self::Object(members) => {
                let member =
                    |(name, value): (&String, &Self)| spelt(name) + ":" + &value.spelt_otherwise();
                let members: Vec<String> = members.iter().map(member).collect();
                format!(" {{{}\r\n}}", members.join(","))
            }
        }
    }
}

/// Every character escaped.
fn spelt(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!(" \"{units}\" ")
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
