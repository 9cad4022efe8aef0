//! Clients that nobody here wrote: each lists the tools and calls one, through the gateway over HTTP.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::super::client::text;
use super::super::install::Place;
use super::super::rows::Rows;
use super::servers::{CONFIG, SERVERS};
use super::{containing, ensure};
use crate::Failure;
use crate::processes;

const LIMIT: Duration = Duration::from_secs(60);
const ECHO: &str = "everything__echo";

/// Id, program and script, how it is told what to speak, what must be agreed on.
const PEERS: [(&str, [&str; 2], &str, &str); 7] = [
    ("typescript-v1", ["node", "typescript_v1.mjs"], "legacy", "2025-11-25"),
    ("typescript-v2-legacy", ["node", "typescript_v2.mjs"], "legacy", "2025-11-25"),
    ("typescript-v2-modern", ["node", "typescript_v2.mjs"], "2026-07-28", "2026-07-28"),
    ("python-legacy", ["python", "python.py"], "legacy", "2025-11-25"),
    ("python-auto", ["python", "python.py"], "auto", "2026-07-28"),
    ("rmcp-legacy", ["rmcp", ""], "legacy", "2025-11-25"),
    ("rmcp-modern", ["rmcp", ""], "modern", "2026-07-28"),
];

pub(super) fn run(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let names = SERVERS.map(|(name, _)| name);
    let gateway = place.gateway("clients", &place.file(CONFIG), &names, &[])?;
    let url = gateway.url();
    let count: usize = SERVERS.iter().map(|(_, count)| count).sum();
    rows.check("clients.inspector.list", "the MCP Inspector's CLI lists the tools", || {
        let said = json(&mut inspector(place, &url, &["--method", "tools/list"]))?;
        let tools = said["result"]["tools"].as_array().ok_or_else(|| said.to_string())?;
        ensure(tools.len() == count, || format!("{} tools", tools.len()))?;
        Ok(format!("{count} tools"))
    });
    rows.check("clients.inspector.call", "the MCP Inspector's CLI calls a tool", || {
        let call = ["--method", "tools/call", "--tool-name", ECHO, "--tool-arg", "message=hello"];
        let said = json(&mut inspector(place, &url, &call))?;
        containing(&text(&said["result"]), "Echo: hello")
    });
    for (id, [program, script], era, version) in PEERS {
        let name = format!("{id} lists the tools and calls one");
        rows.check(format!("clients.{id}"), name, || {
            let mut command = match program {
                "rmcp" => place.command(&place.rmcp),
                other => {
                    let mut command = place.command(other);
                    command.arg(script);
                    command
                }
            };
            command.args([era, "everything__", "initialise,list,call", "http", &url]);
            let said = json(&mut command)?;
            let tools = said["tools"].as_array().map_or(0, Vec::len);
            let language = id.split('-').next().unwrap_or_default().replace("rmcp", "rust");
            let echoed = said["text"].as_str().unwrap_or_default();
            ensure(said["server"] == "toolweir", || format!("the server is {}", said["server"]))?;
            ensure(said["version"] == version, || format!("agreed on {}", said["version"]))?;
            ensure(tools == count, || format!("{tools} tools"))?;
            containing(echoed, &format!("Echo: from {language}"))?;
            let era = if version < "2026" { "legacy" } else { "modern" };
            Ok(format!("{era} era, version {version}, {tools} tools, {echoed:?}"))
        });
    }
    gateway.end()
}

fn inspector(place: &Place, url: &str, arguments: &[&str]) -> Command {
    let mut command = place.command("mcp-inspector");
    command.args(["--cli", "--transport", "http", "--server-url", url, "--format", "json"]);
    // What it knows of its user stays out of it.
    command.args(arguments).env("HOME", &place.folder);
    command
}

/// The last line that a command writes, as JSON.
fn json(command: &mut Command) -> Result<Value, Failure> {
    let output = processes::run(command, LIMIT)?;
    let (said, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure(output.status.success(), || format!("{}: {said} {told}", output.status))?;
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.ok_or("it said nothing")?;
    Ok(serde_json::from_str(last).or_else(|_| serde_json::from_str(&said))?)
}
