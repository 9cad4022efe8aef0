//! Arguments that a tool's schema wants repeated in headers (`x-mcp-header`, 2026-07-28).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderName;
use serde_json::Value;
use toolweir_core::RawJson;

/// The mirrored arguments of every tool that has some, learnt from the lists that pass by.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Mutex<HashMap<String, Arc<Vec<Mirror>>>>);

/// One argument and its header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) header: HeaderName,
    path: Vec<String>,
}

/// How many tools are remembered, how deep their schemas are searched, and how many headers one may have.
const TOOLS: usize = 4_096;
const DEPTH: usize = 16;
const HEADERS: usize = 64;

const ANNOTATION: &str = "x-mcp-header";

impl Mirrors {
    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<Vec<Mirror>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the result of a `tools/list`; says which of its tools have an annotation that is not valid.
    pub(crate) fn learn(&self, list: &RawJson) -> Vec<String> {
        let mut invalid = Vec::new();
        let is_mirrored = list.as_str().contains(ANNOTATION);
        if !is_mirrored && self.table().is_empty() {
            return invalid;
        }
        let Some(tools) = list.member("tools").map(|tools| tools.to_json()) else { return invalid };
        for tool in tools.items().map(|tool| tool.to_json()) {
            let Some(name) = tool.member("name").and_then(|name| name.string()) else { continue };
            let found = search(&tool);
            if !found.is_valid {
                invalid.push(name.clone().into_owned());
            }
            let mut table = self.table();
            if found.mirrors.is_empty() {
                table.remove(name.as_ref());
            } else if table.len() < TOOLS || table.contains_key(name.as_ref()) {
                table.insert(name.into_owned(), Arc::new(found.mirrors));
            }
        }
        invalid
    }

    /// The mirrored arguments of a tool, where it has any.
    pub(crate) fn of(&self, tool: &str) -> Option<Arc<Vec<Mirror>>> {
        self.table().get(tool).cloned()
    }
}

impl Mirror {
    /// The argument that is to stand in the header, where it is given.
    pub(crate) fn value(&self, arguments: &RawJson) -> Option<RawJson> {
        let value = self.path.iter().try_fold(arguments.clone(), |value, key| {
            value.member(key).map(|value| value.to_json())
        });
        value.filter(|value| *value != RawJson::NULL)
    }
}

/// What a schema says of headers.
struct Found {
    mirrors: Vec<Mirror>,
    /// Every annotation is one that may stand where it does.
    is_valid: bool,
}

fn search(tool: &RawJson) -> Found {
    let mut found = Found { mirrors: Vec::new(), is_valid: true };
    if !tool.as_str().contains(ANNOTATION) {
        return found;
    }
    let Some(schema) = tool.member("inputSchema") else { return found };
    if let Ok(schema) = schema.get::<Value>() {
        found.walk(&schema, Some(&mut Vec::new()));
    }
    found
}

impl Found {
    /// Looks at a schema and those inside it; `path` leads to it where that is a chain of `properties` alone.
    fn walk(&mut self, schema: &Value, mut path: Option<&mut Vec<String>>) {
        let items = match schema {
            Value::Object(object) => object,
            Value::Array(schemas) => {
                return schemas.iter().for_each(|schema| self.walk(schema, None));
            }
            _ => return,
        };
        if let Some(name) = items.get(ANNOTATION) {
            match mirror(name, items.get("type"), path.as_deref()) {
                Some(mirror)
                    if self.mirrors.len() < HEADERS
                        && self.mirrors.iter().all(|known| known.header != mirror.header) =>
                {
                    self.mirrors.push(mirror);
                }
                _ => self.is_valid = false,
            }
        }
        for (key, inner) in items {
            match (key.as_str(), inner) {
                ("const" | "enum" | "default" | "examples" | ANNOTATION, _) => {} // no schemas
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        match path.as_deref_mut() {
                            Some(path) if path.len() < DEPTH => {
                                path.push(name.clone());
                                self.walk(property, Some(path));
                                path.pop();
                            }
                            _ => self.walk(property, None),
                        }
                    }
                }
                (
                    "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                    Value::Object(schemas),
                ) => schemas.values().for_each(|schema| self.walk(schema, None)),
                _ => self.walk(inner, None),
            }
        }
    }
}

/// A valid annotation: a header's name on a string, an integer or a boolean that has a place among the arguments.
fn mirror(name: &Value, kind: Option<&Value>, path: Option<&Vec<String>>) -> Option<Mirror> {
    let path = path.filter(|path| !path.is_empty())?;
    let allowed = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "boolean"));
    let is_allowed = match kind? {
        Value::Array(kinds) => {
            kinds.iter().any(allowed) && kinds.iter().all(|kind| allowed(kind) || kind == "null")
        }
        kind => allowed(kind),
    };
    let name = name.as_str().filter(|name| is_allowed && !name.is_empty())?;
    let header = HeaderName::try_from(format!("mcp-param-{name}")).ok()?;
    Some(Mirror { header, path: path.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_annotation_has_its_places() {
        let on = |kind: &str, name: &str| json!({ "type": kind, "x-mcp-header": name });
        let cases = [
            (json!({ "properties": { "a": on("string", "A") } }), 1, true),
            (
                json!({ "properties": { "a": { "properties": { "b": on("integer", "B") } } } }),
                1,
                true,
            ),
            (json!({ "properties": { "x-mcp-header": on("boolean", "A") } }), 1, true),
            (json!({ "properties": { "a": { "default": on("string", "A") } } }), 0, true),
            (json!({ "properties": { "a": on("number", "A") } }), 0, false),
            (json!({ "properties": { "a": on("string", "") } }), 0, false),
            (json!({ "properties": { "a": on("string", "a b") } }), 0, false),
            (json!({ "properties": { "a": on("string", "A"), "b": on("string", "a") } }), 1, false),
            (json!({ "properties": { "a": { "items": on("string", "A") } } }), 0, false),
            (json!({ "anyOf": [{ "properties": { "a": on("string", "A") } }] }), 0, false),
            (json!({ "$defs": { "a": on("string", "A") } }), 0, false),
            (on("string", "A"), 0, false),
        ];
        for (schema, count, is_valid) in cases {
            let found = search(&RawJson::from(json!({ "name": "t", "inputSchema": schema })));
            assert_eq!((found.mirrors.len(), found.is_valid), (count, is_valid), "{schema}");
        }
    }
}
