//! The side that faces clients.

mod faults;
mod gate;
mod legacy;
mod life;
mod modern;
mod pages;
mod parked;
mod resume;
pub(crate) mod server;
mod stdio;
mod streams;
mod tasks;
mod whose;

use std::sync::Arc;

use toolweir_wire::{HttpListener, Limits, Service};

use self::server::Scripted;
use crate::peer::client::{self, Client};
use crate::peer::within;

/// A header's name and value.
type Pair<'a> = (&'a str, &'a str);

/// A listener on any port, with its server.
async fn start(limits: Limits) -> (HttpListener, Arc<Scripted>) {
    let server = Scripted::new();
    let service = Service::new(server.clone()).limits(limits);
    (HttpListener::bind("127.0.0.1:0", service).await.unwrap(), server)
}

const VERSION: &str = "2026-07-28";

/// A modern request's body.
fn modern(id: &str, method: &str, params: &str) -> String {
    modern_with(id, method, params, "")
}

fn modern_with(id: &str, method: &str, params: &str, meta: &str) -> String {
    let comma = if params.is_empty() { "" } else { "," };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}"_meta":{{"io.modelcontextprotocol/protocolVersion":"{VERSION}","io.modelcontextprotocol/clientCapabilities":{{}}{meta}}}}}}}"#
    )
}

/// The headers that go with it.
fn modern_headers<'a>(method: &'a str, name: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![("mcp-protocol-version", VERSION), ("mcp-method", method)];
    headers.extend(name.map(|name| ("mcp-name", name)));
    headers
}

/// A modern `tools/call`.
async fn call(client: &mut Client, tool: &str, arguments: &str, meta: &str) -> client::Answer {
    let params = format!(r#""name":"{tool}","arguments":{arguments}"#);
    let body = modern_with("1", "tools/call", &params, meta);
    client.post(&modern_headers("tools/call", Some(tool)), &body).await
}

fn tool(id: &str, name: &str, arguments: &str, meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{arguments},"_meta":{{{meta}}}}}}}"#
    )
}

fn initialize(version: &str, capabilities: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
    )
}

/// Opens a legacy session and gives its id.
async fn open(client: &mut Client, version: &str, capabilities: &str) -> String {
    let answer = client.post(&[], &initialize(version, capabilities)).await;
    assert_eq!(answer.status, 200);
    let session = answer.header("mcp-session-id").unwrap();
    let body = answer.json().await;
    assert_eq!(body["result"]["protocolVersion"], version);
    session
}
