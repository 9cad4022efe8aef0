//! A server that has nothing but HTTP+SSE of 2024-11-05.

use serde_json::json;

use super::super::client::{Client, text};
use super::super::install::Place;
use super::super::rows::Rows;
use super::upstream::{LIMIT, start};
use super::{containing, ensure};
use crate::Failure;
use crate::processes::{free_port, until};

pub(super) fn run(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let port = free_port()?;
    let mut server = start(place, "sse", port)?;
    let config = place.file("xtask/realworld/sse.jsonc");
    let envs = [("TOOLWEIR_REALWORLD_PORT", port.to_string())];
    let gateway = place.gateway("sse", &config, &["said", "found"], &envs)?;
    let mut client = Client::http(gateway.address)?;
    rows.check("sse.tools", "`type: sse` and the fallback of `http` list 16 tools each", || {
        let count = client.tools()?.len();
        ensure(count == 32, || format!("{count} tools"))?;
        Ok(format!("{count} tools"))
    });
    rows.check("sse.said", "called by `type: sse`", || echo(&mut client, "said"));
    rows.check("sse.found", "called by `type: http`", || echo(&mut client, "found"));
    server.end();
    rows.check("sse.gone", "once it has gone, a call is told so", || {
        match echo(&mut client, "said") {
            Ok(_) => Err("a call was answered".into()),
            Err(failure) => Ok(failure.to_string()),
        }
    });
    let _server = start(place, "sse", port)?;
    rows.check("sse.back", "once it is back, both are used again", || {
        let mut refused = 0;
        let answered = until(LIMIT, || {
            let answered = ["said", "found"].map(|server| echo(&mut client, server).is_ok());
            let all = answered.iter().all(|answered| *answered);
            refused += u32::from(!all);
            all
        });
        ensure(answered, || format!("not answered in 60 s, {refused} errors"))?;
        Ok(format!("answered after {refused} errors"))
    });
    gateway.end()
}

fn echo(client: &mut Client, server: &str) -> Result<String, Failure> {
    let result = client.call(&format!("{server}__echo"), &json!({ "message": server }))?;
    containing(&text(&result), server)
}
