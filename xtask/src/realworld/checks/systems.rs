//! The published servers of the five systems, without credentials: their tools, and their own answers.

use std::fs;

use serde_json::{Value, json};

use super::super::client::Client;
use super::super::install::Place;
use super::super::rows::Rows;
use super::ensure;
use crate::Failure;

/// Server, how many tools it lists (firebase: as many as it likes), a tool that needs little, and its arguments.
const SYSTEMS: [(&str, Option<usize>, &str, &str); 5] = [
    ("github", Some(26), "search_repositories", r#"{ "query": "weir" }"#),
    ("slack", Some(8), "slack_list_channels", "{}"),
    ("notion", Some(24), "API-get-self", "{}"),
    ("firebase", None, "firebase_get_environment", "{}"),
    ("playwright", Some(25), "browser_tabs", r#"{ "action": "list" }"#),
];

pub(super) fn run(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let config = place.file("xtask/realworld/five.json");
    let entries: Value = serde_json::from_str(&fs::read_to_string(&config)?)?;
    let names = SYSTEMS.map(|(name, ..)| name);
    let gateway = place.gateway("systems", &config, &names, &[])?;
    let mut client = Client::http(gateway.address)?;
    let tools = client.tools()?;
    for (server, expected, tool, arguments) in SYSTEMS {
        let name = match expected {
            Some(expected) => format!("{server} lists its {expected} tools"),
            None => format!("{server} lists what it offers without a login"),
        };
        rows.check(format!("systems.{server}.tools"), name, || {
            let count =
                tools.iter().filter(|tool| tool.starts_with(&format!("{server}__"))).count();
            ensure(expected.map_or(count > 0, |it| count == it), || format!("{count} tools"))?;
            Ok(format!("{count} tools"))
        });
        let name = format!("{server}'s own answer to {tool} is passed on");
        rows.check(format!("systems.{server}.answer"), name, || {
            let arguments: Value = serde_json::from_str(arguments)?;
            let direct = Client::stdio(&mut command(place, &entries["mcpServers"][server])?)?;
            let own = ask(direct, tool, &arguments)?;
            let ours =
                ask(Client::http(gateway.address)?, &format!("{server}__{tool}"), &arguments)?;
            ensure(own == ours, || format!("it says {own:?}, and through the gateway {ours:?}"))?;
            Ok(ours.unwrap_or_else(|error| error).to_string())
        });
    }
    gateway.end()
}

fn ask(mut client: Client, tool: &str, arguments: &Value) -> Result<Result<Value, Value>, Failure> {
    let params = json!({ "name": tool, "arguments": arguments });
    Ok(client.ask("tools/call", params)?.result)
}

/// The command of a server's entry, without the gateway.
fn command(place: &Place, entry: &Value) -> Result<std::process::Command, Failure> {
    let expand = |text: &str| {
        let text = text.replace("${TOOLWEIR_REALWORLD}", &place.files.display().to_string());
        text.replace("${CHROMIUM}", &place.chromium.display().to_string())
    };
    let mut command = place.command(entry["command"].as_str().ok_or("no command")?);
    let args = entry["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    command.args(args.map(expand));
    for (name, value) in entry["env"].as_object().into_iter().flatten() {
        command.env(name, expand(value.as_str().unwrap_or_default()));
    }
    command.stderr(std::process::Stdio::null());
    Ok(command)
}
