//! A server over HTTP that goes away and comes back.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::super::client::{Client, text};
use super::super::install::Place;
use super::super::rows::Rows;
use super::{containing, ensure};
use crate::Failure;
use crate::processes::{Running, free_port, listening, until};

/// How long a server gets to be there, or to be there again.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

const TRANSPORT: &str = "streamableHttp";

pub(super) fn run(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let port = free_port()?;
    let mut server = start(place, TRANSPORT, port)?;
    let config = place.file("xtask/realworld/upstream.jsonc");
    let envs = [("TOOLWEIR_REALWORLD_PORT", port.to_string())];
    let gateway = place.gateway("upstream", &config, &["remote"], &envs)?;
    let mut client = Client::http(gateway.address)?;
    rows.check("upstream.tools", "a server over HTTP lists its 16 tools", || {
        let count = client.tools()?.len();
        ensure(count == 16, || format!("{count} tools"))?;
        Ok(format!("{count} tools"))
    });
    rows.check("upstream.call", "it answers", || echo(&mut client, "before"));
    server.end();
    rows.check("upstream.gone", "once it has gone, a call is told so", || {
        match echo(&mut client, "gone") {
            Ok(_) => Err("a call was answered".into()),
            Err(failure) => Ok(failure.to_string()),
        }
    });
    rows.check("upstream.listed", "its tools are still listed", || {
        let count = client.tools()?.len();
        ensure(count == 16, || format!("{count} tools"))?;
        Ok(format!("{count} tools"))
    });
    let _server = start(place, TRANSPORT, port)?;
    rows.check("upstream.back", "once it is back, it is used again by the same gateway", || {
        let mut refused = 0;
        let answered = until(LIMIT, || {
            let answered = echo(&mut client, "back").is_ok();
            refused += u32::from(!answered);
            answered
        });
        ensure(answered, || format!("not answered in 60 s, {refused} errors"))?;
        Ok(format!("answered after {refused} errors"))
    });
    gateway.end()
}

fn echo(client: &mut Client, message: &str) -> Result<String, Failure> {
    let result = client.call("remote__echo", &json!({ "message": message }))?;
    containing(&text(&result), message)
}

/// Starts server-everything with a transport on a port and waits until it listens.
pub(super) fn start(place: &Place, transport: &str, port: u16) -> Result<Running, Failure> {
    let log = File::create(place.folder.join("upstream-server.log"))?;
    let mut command = place.command("mcp-server-everything");
    let loopback = place.file("xtask/realworld/loopback.mjs");
    command.arg(transport).env("PORT", port.to_string());
    command.env("NODE_OPTIONS", format!("--import={}", loopback.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    listening(&mut command, port, LIMIT)
}
