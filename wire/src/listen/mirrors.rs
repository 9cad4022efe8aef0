//! Arguments that a tool's schema wants repeated in headers (`x-mcp-header`, 2026-07-28).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hyper::HeaderMap;
use hyper::header::HeaderName;
use toolweir_core::{Method, RawJson};

use super::lock;
use super::modern::{Reject, single};
use crate::header;
use crate::message::Request;

/// The mirrored arguments of every tool that has some, learnt from the lists that pass by: a client that knows a
/// tool has listed it.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Mutex<HashMap<String, Arc<Vec<Mirror>>>>);

/// One argument and its header.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    header: HeaderName,
    path: Vec<String>,
}

/// How many tools are remembered, how deep their schemas are searched, and how many headers one may have.
const TOOLS: usize = 4_096;
const DEPTH: usize = 16;
const HEADERS: usize = 64;

impl Mirrors {
    /// Takes the result of a `tools/list`.
    pub(crate) fn learn(&self, list: &RawJson) {
        let is_mirrored = list.as_str().contains("x-mcp-header");
        if !is_mirrored && lock(&self.0).is_empty() {
            return;
        }
        let Some(tools) = list.member("tools").map(|tools| tools.to_json()) else { return };
        for tool in tools.items().map(|tool| tool.to_json()) {
            let Some(name) = tool.member("name").and_then(|name| name.string()) else { continue };
            let mut found = Vec::new();
            if let Some(schema) = tool.member("inputSchema") {
                search(&schema.to_json(), &mut Vec::new(), &mut found);
            }
            let mut table = lock(&self.0);
            if found.is_empty() {
                table.remove(name.as_ref());
            } else if table.len() < TOOLS || table.contains_key(name.as_ref()) {
                table.insert(name.into_owned(), Arc::new(found));
            }
        }
    }

    /// Checks a request's headers against its arguments.
    pub(crate) fn check(&self, headers: &HeaderMap, request: &Request) -> Result<(), Reject> {
        if request.method != Method::TOOLS_CALL {
            return Ok(());
        }
        let member = |key| request.params.as_ref().and_then(|params| params.member(key));
        let Some(name) = member("name").and_then(|name| name.string()) else { return Ok(()) };
        let Some(mirrors) = lock(&self.0).get(name.as_ref()).cloned() else { return Ok(()) };
        let Some(arguments) = member("arguments").map(|it| it.to_json()) else { return Ok(()) };
        for mirror in mirrors.iter() {
            let value = mirror.path.iter().try_fold(arguments.clone(), |value, key| {
                value.member(key).map(|value| value.to_json())
            });
            let Some(value) = value.filter(|value| *value != RawJson::NULL) else { continue };
            mirror.check(headers, &value)?;
        }
        Ok(())
    }
}

impl Mirror {
    fn check(&self, headers: &HeaderMap, value: &RawJson) -> Result<(), Reject> {
        let name = self.header.as_str();
        let Some(given) = single(headers, name)? else {
            return Err(Reject::mismatch(name, "is missing"));
        };
        let Some(given) = header::decode(given.as_bytes()) else {
            return Err(Reject::mismatch(name, "is not validly encoded"));
        };
        let is_same = match value.get::<String>() {
            Ok(text) => text == given,
            Err(_) => value.as_str() == given || is_same_number(value, &given),
        };
        if is_same { Ok(()) } else { Err(Reject::mismatch(name, "is not the body's argument")) }
    }
}

/// Numbers may be spelt in more than one way.
fn is_same_number(value: &RawJson, given: &str) -> bool {
    match (value.get::<f64>(), given.parse::<f64>()) {
        (Ok(value), Ok(given)) => value.to_bits() == given.to_bits() && value.abs() < 9e15,
        _ => false,
    }
}

/// Finds the annotations that lie on a chain of `properties`.
fn search(schema: &RawJson, path: &mut Vec<String>, found: &mut Vec<Mirror>) {
    let Some(properties) = schema.member("properties").map(|it| it.to_json()) else { return };
    if path.len() >= DEPTH {
        return;
    }
    for property in properties.members() {
        if found.len() >= HEADERS {
            return;
        }
        let inner = property.value.to_json();
        path.push(property.key.into_owned());
        let name = inner
            .member("x-mcp-header")
            .and_then(|name| HeaderName::try_from(format!("mcp-param-{}", name.string()?)).ok());
        if let Some(header) = name {
            found.push(Mirror { header, path: path.clone() });
        }
        search(&inner, path, found);
        path.pop();
    }
}
