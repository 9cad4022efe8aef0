//! A rule from JSON; every mistake has its place.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Rule;

/// A handler that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
#[non_exhaustive]
pub struct InvalidHandler {
    /// What is wrong.
    pub what: String,
    /// Where, as a JSON pointer into the handler: `""` is the whole, `/rename/channel` a part.
    pub pointer: String,
    /// What to do about it.
    pub help: String,
}

type Read<T> = Result<T, InvalidHandler>;

const KEYS: [&str; 8] =
    ["tool", "action", "given", "rename", "build", "defaults", "text", "required"];

/// The rules of a handler: itself one, or several under `rules`.
pub(super) fn handler(handler: &Value) -> Read<Vec<Rule>> {
    let whole = Place { value: handler, pointer: String::new(), name: "a handler".to_owned() };
    let members = whole.object()?;
    if !members.contains_key("rules") {
        return Ok(vec![rule(&whole)?]);
    }
    if let Some(other) = members.keys().find(|key| *key != "rules") {
        return Err(whole.at(other).wrong("cannot stand beside `rules`", "put it into a rule"));
    }
    let list = whole.at("rules");
    let items = list.array()?;
    if items.is_empty() {
        return Err(list.wrong("is empty", "give at least one rule, or leave the handler out"));
    }
    (0..items.len()).map(|index| rule(&list.nth(index))).collect()
}

fn rule(place: &Place<'_>) -> Read<Rule> {
    let members = place.object()?;
    if let Some(key) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let known = KEYS.map(|key| format!("`{key}`")).join(", ");
        return Err(place.at(key).wrong("is unknown", &format!("a rule has {known}")));
    }
    if !members.contains_key("tool") {
        return Err(place.wrong("names no tool", "set `tool` to a tool's name at its server"));
    }
    let part = |key| members.contains_key(key).then(|| place.at(key));
    Ok(Rule {
        tool: place.at("tool").text()?,
        source: None,
        capability: None,
        actions: part("action").map(|part| part.one_or_more()).transpose()?.unwrap_or_default(),
        given: part("given").map(|part| part.texts()).transpose()?,
        rename: part("rename").map(|part| part.renames()).transpose()?.unwrap_or_default(),
        build: part("build").map(|part| part.object().cloned()).transpose()?.unwrap_or_default(),
        defaults: part("defaults")
            .map(|part| part.object().cloned())
            .transpose()?
            .unwrap_or_default(),
        text: part("text").map(|part| part.texts()).transpose()?.unwrap_or_default(),
        required: part("required").map(|part| part.texts()).transpose()?.unwrap_or_default(),
    })
}

/// A part of a handler.
struct Place<'a> {
    value: &'a Value,
    pointer: String,
    /// For people.
    name: String,
}

impl<'a> Place<'a> {
    fn at(&self, key: &str) -> Self {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        Self {
            value: self.value.get(key).unwrap_or(&Value::Null),
            pointer: format!("{}/{escaped}", self.pointer),
            name: format!("`{key}`"),
        }
    }

    fn nth(&self, index: usize) -> Self {
        Self {
            value: self.value.get(index).unwrap_or(&Value::Null),
            pointer: format!("{}/{index}", self.pointer),
            name: format!("item {} of {}", index + 1, self.name),
        }
    }

    fn wrong(&self, what: &str, help: &str) -> InvalidHandler {
        InvalidHandler {
            what: format!("{} {what}", self.name),
            pointer: self.pointer.clone(),
            help: help.to_owned(),
        }
    }

    fn object(&self) -> Read<&'a Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.wrong("must be an object", "write `{ .. }`"))
    }

    fn array(&self) -> Read<&'a Vec<Value>> {
        self.value.as_array().ok_or_else(|| self.wrong("must be a list", "write `[ .. ]`"))
    }

    fn text(&self) -> Read<String> {
        let text = self.value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        text.ok_or_else(|| {
            self.wrong("must be a string that is not empty", "write a name in quotes")
        })
    }

    fn texts(&self) -> Read<Vec<String>> {
        (0..self.array()?.len()).map(|index| self.nth(index).text()).collect()
    }

    fn one_or_more(&self) -> Read<Vec<String>> {
        if self.value.is_string() { Ok(vec![self.text()?]) } else { self.texts() }
    }

    fn renames(&self) -> Read<BTreeMap<String, String>> {
        self.object()?.keys().map(|from| Ok((from.clone(), self.at(from).text()?))).collect()
    }
}
