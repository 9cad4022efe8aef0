//! Whether a rule fits a request, and the tool's arguments from the caller's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use toolweir_core::RawJson;

use super::{Rule, Unresolved};

impl Rule {
    /// Whether the request asks for the tool.
    pub(super) fn fits(&self, action: Option<&str>, arguments: &Map<String, Value>) -> bool {
        match (action, &self.given) {
            _ if self.actions.is_empty() && self.given.is_none() => true,
            (Some(action), _) => self.actions.iter().any(|own| own == action),
            (None, Some(given)) => given.iter().all(|name| self.is_given(name, arguments)),
            (None, None) => false,
        }
    }

    fn is_given(&self, name: &str, arguments: &Map<String, Value>) -> bool {
        arguments.contains_key(name)
            || self.rename.iter().any(|(from, to)| to == name && arguments.contains_key(from))
    }

    /// The tool's arguments.
    pub(super) fn arguments(
        &self,
        action: Option<&str>,
        given: &Map<String, Value>,
    ) -> Result<RawJson, Unresolved> {
        let chose = |key: &str| key == "action" && action.is_some() && !self.actions.is_empty();
        let given: BTreeMap<&str, &Value> = given
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .filter(|(key, _)| !chose(key))
            .collect();
        let mut made = Made::default();
        let mut used = BTreeSet::new();
        let mut missing = Vec::new();
        for (argument, template) in &self.build {
            if given.contains_key(argument.as_str()) {
                continue; // given whole
            }
            let mut names = BTreeSet::new();
            placeholders(template, &mut names);
            let (here, not_here): (Vec<&str>, Vec<&str>) =
                names.iter().partition(|name| given.contains_key(*name));
            if not_here.is_empty() {
                used.extend(here.iter().copied());
                let from = here.first().copied().unwrap_or(argument);
                made.insert(&self.tool, argument, from, filled(template, &given))?;
            } else if !here.is_empty() || self.required.contains(argument) {
                missing.extend(not_here.iter().map(|name| format!("`{name}` (or `{argument}`)")));
            }
        }
        for (key, value) in given {
            if used.contains(key) {
                continue;
            }
            let argument = self.rename.get(key).map_or(key, String::as_str);
            made.insert(&self.tool, argument, key, value.clone())?;
        }
        let mut arguments = made.arguments;
        for (argument, value) in &self.defaults {
            arguments.entry(argument.clone()).or_insert_with(|| value.clone());
        }
        for argument in &self.text {
            if let Some(value) = arguments.get_mut(argument).filter(|value| !value.is_string()) {
                *value = Value::String(value.to_string());
            }
        }
        let is_missing = |argument: &&String| {
            !arguments.contains_key(*argument) && !self.build.contains_key(*argument)
        };
        missing.extend(self.required.iter().filter(is_missing).map(|name| self.callers_name(name)));
        if !missing.is_empty() {
            return Err(Unresolved::Missing { tool: self.tool.clone(), arguments: missing });
        }
        Ok(Value::Object(arguments).into())
    }

    fn callers_name(&self, argument: &str) -> String {
        let own = self.rename.iter().find(|(_, to)| *to == argument);
        own.map_or_else(
            || format!("`{argument}`"),
            |(from, _)| format!("`{from}` (or `{argument}`)"),
        )
    }
}

/// The tool's arguments, and the caller's name for each.
#[derive(Default)]
struct Made {
    arguments: Map<String, Value>,
    from: BTreeMap<String, String>,
}

impl Made {
    fn insert(
        &mut self,
        tool: &str,
        argument: &str,
        from: &str,
        value: Value,
    ) -> Result<(), Unresolved> {
        if let Some(first) = self.from.insert(argument.to_owned(), from.to_owned()) {
            return Err(Unresolved::Twice {
                tool: tool.to_owned(),
                argument: argument.to_owned(),
                first,
                second: from.to_owned(),
            });
        }
        self.arguments.insert(argument.to_owned(), value);
        Ok(())
    }
}

/// The caller's argument that a text stands for.
fn placeholder(text: &str) -> Option<&str> {
    text.strip_prefix('$').filter(|name| !name.starts_with('$') && !name.is_empty())
}

fn placeholders<'a>(template: &'a Value, names: &mut BTreeSet<&'a str>) {
    match template {
        Value::String(text) => names.extend(placeholder(text)),
        Value::Array(items) => items.iter().for_each(|item| placeholders(item, names)),
        Value::Object(members) => members.values().for_each(|value| placeholders(value, names)),
        _ => {}
    }
}

fn filled(template: &Value, given: &BTreeMap<&str, &Value>) -> Value {
    match template {
        Value::String(text) => match placeholder(text).and_then(|name| given.get(name)) {
            Some(value) => (*value).clone(),
            None => Value::String(
                text.strip_prefix("$$").map_or(text.clone(), |rest| format!("${rest}")),
            ),
        },
        Value::Array(items) => items.iter().map(|item| filled(item, given)).collect(),
        Value::Object(members) => Value::Object(
            members.iter().map(|(key, value)| (key.clone(), filled(value, given))).collect(),
        ),
        other => other.clone(),
    }
}
