//! The headers that repeat a call's arguments (`Mcp-Param-*`, 2026-07-28), and the lists that say which.

use hyper::header::{HeaderName, HeaderValue};
use toolweir_core::{Call, Method, RawJson};

use crate::header;
use crate::mirrors::Mirrors;

/// The headers that a call needs, as far as its tool is known.
pub(crate) fn headers(mirrors: &Mirrors, call: &Call) -> Vec<(HeaderName, HeaderValue)> {
    if call.method != Method::TOOLS_CALL {
        return Vec::new();
    }
    let mirrors = call.target.as_deref().and_then(|tool| mirrors.of(tool));
    let arguments = call.params.as_ref().and_then(|params| params.member("arguments"));
    let (Some(mirrors), Some(arguments)) = (mirrors, arguments) else { return Vec::new() };
    let arguments = arguments.to_json();
    let pairs = mirrors.iter().filter_map(|mirror| {
        let text = text(&mirror.value(&arguments)?)?;
        let value = HeaderValue::from_str(&header::encode(&text)).ok()?;
        Some((mirror.header.clone(), value))
    });
    pairs.collect()
}

/// An argument as text: a string as it is, a whole number in decimal, `true` or `false`.
fn text(value: &RawJson) -> Option<String> {
    match value.get::<serde_json::Value>().ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Bool(value) => Some(value.to_string()),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                Some(format!("{float:.0}"))
            }
            _ => Some(value.as_str().to_owned()),
        },
        _ => None, // against its schema, as the server will say
    }
}

/// Learns from a page of tools, and leaves those out whose annotations are not valid.
pub(super) fn pass(mirrors: &Mirrors, server: &str, page: RawJson) -> RawJson {
    let invalid = mirrors.learn(&page);
    if invalid.is_empty() {
        return page;
    }
    tracing::warn!(server, tools = ?invalid, "left out tools with an invalid x-mcp-header");
    let Some(tools) = page.member("tools").map(|tools| tools.to_json()) else { return page };
    let mut kept = b"[".to_vec();
    for tool in tools.items().map(|tool| tool.to_json()) {
        let name = tool.member("name").and_then(|name| name.string());
        if name.is_some_and(|name| invalid.iter().any(|invalid| *invalid == name)) {
            continue;
        }
        if kept.len() > 1 {
            kept.push(b',');
        }
        kept.extend_from_slice(tool.as_bytes());
    }
    kept.push(b']');
    let edited = RawJson::new(kept).and_then(|kept| page.edit().set("tools", &kept).finish());
    edited.unwrap_or(page) // only a list with two members `tools` cannot be edited
}
