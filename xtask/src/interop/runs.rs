//! One client against one server, each way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::install::Place;
use super::peers::{Client, INSPECTOR, STEPS, Server};
use crate::Failure;
use crate::gateway::Gateway;
use crate::processes::{self, free_port, listening};

/// How long one client may take for all steps: each has 10 s of its own.
const LIMIT: Duration = Duration::from_secs(100);
/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(60);

/// One side's transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Http,
    Stdio,
}

impl Transport {
    pub(super) const ALL: [Self; 2] = [Self::Http, Self::Stdio];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Stdio => "stdio",
        }
    }
}

/// How the client came to the server: its own transport, and the server's where the gateway stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Direct(Transport),
    Through(Transport, Transport),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "is", content = "detail", rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    /// One side lacks it.
    Absent(String),
    Failed(String),
}

/// What a client said of one way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) client: &'static Client,
    pub(super) server: &'static Server,
    pub(super) way: Way,
    pub(super) steps: BTreeMap<String, Outcome>,
}

/// All runs against one server. It is one process over HTTP for all of them, one after the other.
///
/// # Errors
/// Fails where the server or the gateway cannot be started, or a client says nothing.
pub(super) fn of(
    place: &Place,
    server: &'static Server,
    clients: &[&'static Client],
) -> Result<Vec<Run>, Failure> {
    let port = free_port()?;
    let mut command = place.command(&server.http(port));
    command.env("PORT", port.to_string());
    // server-everything would listen on every interface.
    let loopback = fs::canonicalize(place.file("xtask/realworld/loopback.mjs"))?;
    command.env("NODE_OPTIONS", format!("--import={}", loopback.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(place.folder.join(format!("{}.log", server.name)))?);
    let _server = listening(&mut command, port, START)?;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let stdio = place.words(&server.stdio());
    let mut runs = Vec::new();
    let mut add = |client: &'static Client, way, target: &[String]| -> Result<(), Failure> {
        let steps = tried(place, client, target).map_err(|failure| {
            format!("{} with {}, {way:?}: {failure}", client.name, server.name)
        })?;
        let good = steps.values().filter(|outcome| **outcome == Outcome::Ok).count();
        println!(
            "{} ({}) with {}, {way:?}: {good} of {}",
            client.name,
            client.era.name(),
            server.name,
            STEPS.len()
        );
        runs.push(Run { client, server, way, steps });
        Ok(())
    };
    for client in clients {
        add(client, Way::Direct(Transport::Http), &["http".to_owned(), url.clone()])?;
        add(
            client,
            Way::Direct(Transport::Stdio),
            &[vec!["stdio".to_owned()], stdio.clone()].concat(),
        )?;
    }
    for behind in Transport::ALL {
        let entry = match behind {
            Transport::Http => json!({ "type": "http", "url": url, "prefix": "" }),
            Transport::Stdio => json!({ "command": stdio[0], "args": stdio[1..], "prefix": "" }),
        };
        let name = format!("{}-{}", server.name, behind.name());
        let config = place.folder.join(format!("{name}.json"));
        // Ports come again: what is kept of the last server there is not this one's.
        let settings = json!({ "stateDir": false });
        let text = json!({ "mcpServers": { "server": entry }, "toolweir": settings }).to_string();
        fs::write(&config, text)?;
        let log = place.folder.join(format!("{name}.log"));
        let gateway = Gateway::serve(place.toolweir(), log, &config, &["server"], &[])?;
        let own = vec![
            "stdio".to_owned(),
            place.toolweir_path(),
            "serve".to_owned(),
            "--stdio".to_owned(),
            "--config".to_owned(),
            config.display().to_string(),
        ];
        for client in clients {
            add(
                client,
                Way::Through(Transport::Http, behind),
                &["http".to_owned(), gateway.url()],
            )?;
            add(client, Way::Through(Transport::Stdio, behind), &own)?;
        }
        gateway.end()?;
    }
    Ok(runs)
}

/// What a client makes of `target`: `http URL`, or `stdio COMMAND…`.
fn tried(
    place: &Place,
    client: &Client,
    target: &[String],
) -> Result<BTreeMap<String, Outcome>, Failure> {
    if client.program == [INSPECTOR] {
        return inspected(place, target);
    }
    let mut words: Vec<String> = client.program.iter().map(|word| (*word).to_owned()).collect();
    words.extend([client.mode.to_owned(), String::new(), STEPS.join(",")]);
    words.extend_from_slice(target);
    let said = said(&mut place.command(&words))?;
    #[derive(Deserialize)]
    struct Said {
        steps: BTreeMap<String, Outcome>,
    }
    Ok(serde_json::from_value::<Said>(said)?.steps)
}

/// The Inspector's command line has a method a run, and none of what needs an open connection.
fn inspected(place: &Place, target: &[String]) -> Result<BTreeMap<String, Outcome>, Failure> {
    let words = |method: &[&str]| -> Vec<String> {
        let mut words = vec![INSPECTOR, "--cli", "--format", "json"];
        words.extend(method);
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        match target {
            [way, url] if way == "http" => {
                words.extend(["--transport", "http", "--server-url", url].map(str::to_owned));
            }
            // Behind the dashes, because it takes options like `--config` for its own elsewhere.
            [_, command @ ..] => words.extend([&["--".to_owned()], command].concat()),
            [] => {}
        }
        words
    };
    let mut steps = BTreeMap::new();
    let mut ask = |step: &str, method: &[&str], expected: &str| {
        let outcome = match said(&mut place.command(&words(method))) {
            Ok(said) if said.to_string().contains(expected) => Outcome::Ok,
            Ok(said) => Outcome::Failed(format!("`{expected}` does not stand in {said}")),
            Err(failure) => Outcome::Failed(failure.to_string()),
        };
        steps.insert(step.to_owned(), outcome);
    };
    ask("list", &["--method", "tools/list"], "\"echo\"");
    let call = ["--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello"];
    ask("call", &call, "Echo: hello");
    steps.insert("initialise".to_owned(), steps["list"].clone());
    for step in ["progress", "cancel", "sampling", "elicitation", "subscribe"] {
        let reason = "the Inspector's command line cannot try it";
        steps.insert(step.to_owned(), Outcome::Absent(reason.to_owned()));
    }
    Ok(steps)
}

/// The last line that a command writes, or all of it, as JSON.
fn said(command: &mut Command) -> Result<Value, Failure> {
    let output = processes::run(command, LIMIT)?;
    let (said, told) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.ok_or_else(|| format!("it said nothing ({}): {told}", output.status))?;
    let parsed = serde_json::from_str(last).or_else(|_| serde_json::from_str(&said));
    parsed.map_err(|_| format!("{}: {said} {told}", output.status).into())
}
