//! A small MCP client of the checks' own, over HTTP and over stdio.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::command::timed;
use crate::http;
use crate::processes::Running;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How many lines of a server may wait to be read.
const LINES: usize = 1024;

/// A client that has been initialised.
#[derive(Debug)]
pub(super) struct Client {
    way: Way,
    next_id: u64,
    /// The version that was agreed on.
    pub(super) version: String,
    /// How often it was told that the tools have changed.
    pub(super) changes: usize,
}

#[derive(Debug)]
enum Way {
    Http { address: SocketAddr, session: Option<String>, version: Option<String> },
    Stdio { _process: Running, stdin: ChildStdin, lines: Receiver<String> },
}

/// What a request led to.
#[derive(Debug)]
pub(super) struct Answer {
    /// The result, or the error object.
    pub(super) result: Result<Value, Value>,
    /// The notifications before it, in order.
    pub(super) before: Vec<Value>,
}

impl Client {
    /// A client of the endpoint `/mcp` at `address`.
    ///
    /// # Errors
    /// Fails where the endpoint cannot be initialised.
    pub(super) fn http(address: SocketAddr) -> Result<Self, Failure> {
        Self::initialize(Way::Http { address, session: None, version: None })
    }

    /// A client of a program that speaks over its standard input and output.
    ///
    /// # Errors
    /// Fails where it cannot be started or initialised.
    pub(super) fn stdio(command: &mut Command) -> Result<Self, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(command)?;
        let stdin = process.child.stdin.take().ok_or("no standard input")?;
        let stdout = process.child.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = mpsc::sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self::initialize(Way::Stdio { _process: process, stdin, lines })
    }

    fn initialize(way: Way) -> Result<Self, Failure> {
        let mut client = Self { way, next_id: 0, version: String::new(), changes: 0 };
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "toolweir-realworld", "version": "0" },
        });
        let result = client.request("initialize", params)?;
        let agreed = result["protocolVersion"].as_str().ok_or("no version was agreed on")?;
        client.version = agreed.to_owned();
        if let Way::Http { version, .. } = &mut client.way {
            *version = Some(agreed.to_owned());
        }
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(client)
    }

    /// One request; its result.
    ///
    /// # Errors
    /// Fails where there is no answer, or it is an error.
    pub(super) fn request(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let answer = self.ask(method, params)?;
        answer.result.map_err(|error| format!("{method}: {error}").into())
    }

    /// One call of a tool; its result, `isError` or not.
    ///
    /// # Errors
    /// Fails where there is no answer, or it is an error.
    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, Failure> {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// The names of all tools, over all pages.
    ///
    /// # Errors
    /// Fails where there is no answer, or it is an error.
    pub(super) fn tools(&mut self) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        let mut params = json!({});
        loop {
            let page = self.request("tools/list", params)?;
            let tools = page["tools"].as_array().ok_or("no list of tools")?;
            names.extend(tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned));
            match page["nextCursor"].as_str() {
                Some(cursor) if names.len() < 10_000 => params = json!({ "cursor": cursor }),
                _ => return Ok(names),
            }
        }
    }

    /// One request, with what came before its answer.
    ///
    /// # Errors
    /// Fails where there is no answer.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Result<Answer, Failure> {
        let answer = self.exchange(method, params)?;
        let changed = |message: &&Value| message["method"] == "notifications/tools/list_changed";
        self.changes += answer.before.iter().filter(changed).count();
        Ok(answer)
    }

    fn exchange(&mut self, method: &str, params: Value) -> Result<Answer, Failure> {
        self.next_id += 1;
        let id = Value::from(self.next_id);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut before = Vec::new();
        match &mut self.way {
            Way::Http { .. } => {
                for message in self.send(&request)? {
                    match settle(message, &id) {
                        Ok(result) => return Ok(Answer { result, before }),
                        Err(other) => before.push(other),
                    }
                }
                Err(format!("{method}: the answer has no result").into())
            }
            Way::Stdio { stdin, lines, .. } => {
                writeln!(stdin, "{request}")?;
                let mut left = LIMIT;
                loop {
                    let (line, took) = timed(|| lines.recv_timeout(left));
                    let line = line.map_err(|error| format!("{method}: {error}"))?;
                    left = left.saturating_sub(took);
                    match settle(serde_json::from_str(&line)?, &id) {
                        Ok(result) => return Ok(Answer { result, before }),
                        Err(other) => before.push(other),
                    }
                }
            }
        }
    }

    /// Sends one message; over HTTP, what was answered.
    fn send(&mut self, message: &Value) -> Result<Vec<Value>, Failure> {
        let (address, session, version) = match &mut self.way {
            Way::Http { address, session, version } => (*address, session, version),
            Way::Stdio { stdin, .. } => {
                writeln!(stdin, "{message}")?;
                return Ok(Vec::new());
            }
        };
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        headers.extend(session.as_deref().map(|session| ("mcp-session-id", session)));
        headers.extend(version.as_deref().map(|version| ("mcp-protocol-version", version)));
        let response = http::request(address, "POST /mcp", &headers, &message.to_string(), LIMIT)?;
        if !(200..300).contains(&response.status) {
            return Err(format!("HTTP status {}: {}", response.status, response.body).into());
        }
        let given = response.header("mcp-session-id").map(str::to_owned);
        *session = given.or(session.take());
        let texts = response.messages();
        texts.into_iter().map(|text| Ok(serde_json::from_str(text)?)).collect()
    }
}

/// The result or the error for `id`; any other message comes back.
fn settle(mut message: Value, id: &Value) -> Result<Result<Value, Value>, Value> {
    if message.get("id") != Some(id) || message.get("method").is_some() {
        return Err(message);
    }
    match message.get_mut("error") {
        Some(error) => Ok(Err(error.take())),
        None => Ok(Ok(message["result"].take())),
    }
}

/// All text of a tool's result, or of a prompt or resource.
pub(super) fn text(result: &Value) -> String {
    fn collect(value: &Value, into: &mut String) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match (key.as_str(), member) {
                        ("text", Value::String(text)) => {
                            into.push_str(text);
                            into.push('\n');
                        }
                        _ => collect(member, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let mut all = String::new();
    collect(result, &mut all);
    all
}
