//! The checks, in groups that can be run alone.

mod browser;
mod clients;
mod configs;
mod failures;
mod servers;
mod sse;
mod systems;
mod upstream;

use std::time::Duration;

use serde_json::Value;

use super::install::Place;
use super::rows::Rows;
use crate::Failure;
use crate::processes;

/// A group of checks: fails where it cannot even begin.
type Check = fn(&Place, &mut Rows) -> Result<(), Failure>;

/// All groups: name, what it is about, the checks.
pub(super) const GROUPS: [(&str, &str, Check); 10] = [
    ("clients", "other people's clients, through the gateway", clients::run),
    ("http", "examples/real.jsonc behind `toolweir serve`", servers::over_http),
    ("stdio", "examples/real.jsonc behind `toolweir serve --stdio`", servers::over_stdio),
    ("killed", "a server's process is killed", failures::run),
    ("upstream", "a server over HTTP goes away and comes back", upstream::run),
    ("sse", "a server that has nothing but HTTP+SSE", sse::run),
    ("browser", "`toolweir route` drives a browser", browser::run),
    ("systems", "the five systems' published servers", systems::run),
    ("commands", "the other commands", configs::commands),
    ("configs", "`toolweir check` on broken configurations", configs::broken),
];

/// `Ok` where it holds.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// The text, where it has `part`.
fn containing(text: &str, part: &str) -> Result<String, Failure> {
    ensure(text.contains(part), || format!("`{part}` does not stand in: {text}"))?;
    Ok(format!("{part:?} in the answer"))
}

/// Whether a tool's result says that it failed.
fn is_error(result: &Value) -> bool {
    result["isError"] == true
}

/// Every server has ended with its gateway.
pub(super) fn nothing_left(place: &Place) -> Result<String, Failure> {
    let mut left = Vec::new();
    processes::until(Duration::from_secs(10), || {
        left = processes::of(&place.folder);
        left.is_empty()
    });
    let names: Vec<&str> = left.iter().map(|process| process.command.as_str()).collect();
    ensure(left.is_empty(), || format!("{} are left: {}", left.len(), names.join("; ")))?;
    Ok("0 processes".into())
}
