//! JSON that another module interprets, with its places.

use std::collections::BTreeMap;

use jsonc_parser::ast::Value;

use super::source::Place;
use super::walk::{Walk, span};

/// A JSON value as it stands in the file, its variables replaced, with the place of each part.
///
/// Parts are named by JSON pointers: `""` is the whole, `/arguments/title` a part.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    value: serde_json::Value,
    /// Of each part: its key, where it has one, and its value.
    places: BTreeMap<String, (Option<Place>, Place)>,
}

impl Raw {
    /// The value.
    #[must_use]
    pub fn value(&self) -> &serde_json::Value {
        &self.value
    }

    /// Where the part at `pointer` is.
    #[must_use]
    pub fn place(&self, pointer: &str) -> Option<&Place> {
        self.places.get(pointer).map(|(_, value)| value)
    }

    /// Where the key of the part at `pointer` is.
    #[must_use]
    pub fn key_place(&self, pointer: &str) -> Option<&Place> {
        self.places.get(pointer).and_then(|(key, _)| key.as_ref())
    }

    pub(super) fn read(walk: &mut Walk<'_>, value: &Value<'_>, what: &str) -> Self {
        let mut raw = Self::default();
        raw.value = raw.part(walk, value, String::new(), None, what);
        raw
    }

    fn part(
        &mut self,
        walk: &mut Walk<'_>,
        value: &Value<'_>,
        pointer: String,
        key: Option<Place>,
        what: &str,
    ) -> serde_json::Value {
        let json = match value {
            Value::StringLit(_) => {
                walk.text(value, what).map(|text| text.value().into()).unwrap_or_default()
            }
            Value::NumberLit(literal) => {
                literal.value.parse().map(serde_json::Value::Number).unwrap_or_else(|_| {
                    walk.error(span(literal), format!("a number in `{what}` is out of range"))
                        .help("write a smaller number, or a string");
                    serde_json::Value::Null
                })
            }
            Value::BooleanLit(literal) => literal.value.into(),
            Value::NullKeyword(_) => serde_json::Value::Null,
            Value::Array(list) => {
                let part = |(index, element)| {
                    self.part(walk, element, format!("{pointer}/{index}"), None, what)
                };
                list.elements.iter().enumerate().map(part).collect()
            }
            Value::Object(object) => {
                let part = |property: &jsonc_parser::ast::ObjectProp<'_>| {
                    let name = property.name.as_str();
                    let pointer =
                        format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let key = walk.place(span(&property.name));
                    (name.to_owned(), self.part(walk, &property.value, pointer, Some(key), what))
                };
                object.properties.iter().map(part).collect()
            }
        };
        self.places.insert(pointer, (key, walk.place(span(value))));
        json
    }
}
