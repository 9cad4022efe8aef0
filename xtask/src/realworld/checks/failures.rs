//! A server's process is killed under the gateway.

use std::time::Duration;

use serde_json::json;

use super::super::client::{Client, text};
use super::super::install::Place;
use super::super::rows::Rows;
use super::servers::{CONFIG, SERVERS};
use super::{containing, ensure};
use crate::Failure;
use crate::processes::{below, kill, until};

/// A part of the command of the process that is killed.
const VICTIM: &str = "mcp-server-everything";

pub(super) fn run(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let names = SERVERS.map(|(name, _)| name);
    let gateway = place.gateway("killed", &place.file(CONFIG), &names, &[])?;
    let mut client = Client::http(gateway.address)?;
    let mut echo = |message: &str| {
        let result = client.call("everything__echo", &json!({ "message": message }))?;
        containing(&text(&result), message)
    };
    let victims = || -> Vec<u32> {
        let processes = below(gateway.id()).into_iter();
        processes.filter(|it| it.command.contains(VICTIM)).map(|it| it.id).collect()
    };
    rows.check("killed.before", "the server answers", || echo("before"));
    let first = victims();
    rows.check("killed.replaced", "a killed child is replaced and answers again", || {
        ensure(!first.is_empty(), || format!("no process of {VICTIM} is running"))?;
        first.iter().copied().for_each(kill);
        let mut refused = 0;
        let answered = until(Duration::from_secs(60), || {
            let answered = echo("after").is_ok();
            refused += u32::from(!answered);
            answered
        });
        ensure(answered, || format!("not answered in 60 s, {refused} errors"))?;
        let second = victims();
        let fresh = !second.is_empty() && second.iter().all(|id| !first.contains(id));
        ensure(fresh, || format!("the processes were {first:?} and are {second:?}"))?;
        Ok(format!("answered by a new process after {refused} errors"))
    });
    rows.check("killed.others", "the other servers never noticed", || {
        let arguments = json!({ "timezone": "UTC" });
        let result = client.call("time__get_current_time", &arguments)?;
        containing(&text(&result), "UTC")
    });
    gateway.end()
}
