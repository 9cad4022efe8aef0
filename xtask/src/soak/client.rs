//! Clients of both eras, over HTTP and stdio, that count their ids from 0 each time they come.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::command::timed;
use crate::http::Connection;
use crate::processes::Running;

/// How long an answer may take: several times a call's deadline in the gateway.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// How many lines may wait to be read.
const LINES: usize = 4_096;
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// From coming to leaving.
pub(super) struct Visit {
    is_modern: bool,
    way: Way,
    next_id: u64,
}

enum Way {
    Http { connection: Connection, session: Option<String> },
    Stdio { process: Running, input: Option<ChildStdin>, lines: Receiver<String> },
}

/// What came of a request.
pub(super) struct Ended {
    /// The id in the answer, as it was written.
    pub(super) id: String,
    /// The result as text; `None` for an error.
    pub(super) result: Option<String>,
}

impl Visit {
    /// A client of the endpoint at `address`.
    ///
    /// # Errors
    /// Fails where the gateway does not take it.
    pub(super) fn http(address: SocketAddr, is_modern: bool) -> Result<Self, Failure> {
        let connection = Connection::open(address, LIMIT)?;
        Self { is_modern, way: Way::Http { connection, session: None }, next_id: 0 }.begin()
    }

    /// A client with a gateway of its own, over stdio.
    ///
    /// # Errors
    /// Fails where it cannot be started.
    pub(super) fn stdio(command: &mut Command, is_modern: bool) -> Result<Self, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Running::start(command)?;
        let input = process.child.stdin.take();
        let output = process.child.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = mpsc::sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { is_modern, way: Way::Stdio { process, input, lines }, next_id: 0 }.begin()
    }

    fn begin(mut self) -> Result<Self, Failure> {
        if self.is_modern {
            return Ok(self);
        }
        let about = json!({ "name": "soak", "version": "1" });
        let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": about });
        let initialize =
            json!({ "jsonrpc": "2.0", "id": "init", "method": "initialize", "params": params });
        self.exchange("initialize", "", &initialize.to_string())?;
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.tell("notifications/initialized", &initialized.to_string())?;
        Ok(self)
    }

    /// Whether it has a gateway of its own, over stdio.
    pub(super) fn is_stdio(&self) -> bool {
        matches!(self.way, Way::Stdio { .. })
    }

    /// The next id, counted from 0.
    pub(super) fn next_id(&mut self) -> String {
        self.next_id += 1;
        (self.next_id - 1).to_string()
    }

    /// Calls a tool whose answer is to carry `nonce`.
    ///
    /// # Errors
    /// Fails where there is no answer at all.
    pub(super) fn call(&mut self, id: &str, tool: &str, nonce: &str) -> Result<Ended, Failure> {
        let text = self.request(id, tool, nonce);
        self.exchange("tools/call", tool, &text)
    }

    /// Calls a tool, and leaves before the answer.
    ///
    /// # Errors
    /// Fails where the gateway takes nothing.
    pub(super) fn call_and_leave(
        mut self,
        id: &str,
        tool: &str,
        nonce: &str,
    ) -> Result<(), Failure> {
        let text = self.request(id, tool, nonce);
        match &mut self.way {
            Way::Http { connection, session } => {
                let headers = headers(self.is_modern, session.as_deref(), "tools/call", tool);
                connection.send("POST /mcp", &headers, &text)
            }
            Way::Stdio { input, .. } => {
                writeln!(input.as_mut().ok_or("no standard input")?, "{text}")?;
                self.end()
            }
        }
    }

    /// Leaves in good order; a gateway over stdio must end well by itself.
    ///
    /// # Errors
    /// Fails where it does not.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.way {
            Way::Http { mut connection, session } => {
                if let Some(session) = session {
                    connection.request("DELETE /mcp", &[("mcp-session-id", &session)], "")?;
                }
                Ok(())
            }
            Way::Stdio { mut process, input, lines } => {
                drop(input);
                let status = process.wait(LIMIT);
                drop(lines);
                match status {
                    Some(status) if status.success() => Ok(()),
                    status => Err(format!("a gateway over stdio ended with {status:?}").into()),
                }
            }
        }
    }

    fn request(&self, id: &str, tool: &str, nonce: &str) -> String {
        // What reads only is asked alike by all; `_meta` keeps nothing apart.
        let arguments = match tool.ends_with("__read") {
            true => json!({ "key": nonce.len() % 3 }),
            false => json!({ "it": nonce }),
        };
        let mut meta = json!({ "mine": nonce });
        if tool.ends_with("__flood") {
            meta["progressToken"] = id.into();
        }
        if self.is_modern {
            meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
    }

    fn tell(&mut self, method: &str, text: &str) -> Result<(), Failure> {
        match &mut self.way {
            Way::Http { connection, session } => {
                let headers = headers(self.is_modern, session.as_deref(), method, "");
                connection.request("POST /mcp", &headers, text)?;
            }
            Way::Stdio { input, .. } => {
                writeln!(input.as_mut().ok_or("no standard input")?, "{text}")?;
            }
        }
        Ok(())
    }

    fn exchange(&mut self, method: &str, tool: &str, text: &str) -> Result<Ended, Failure> {
        match &mut self.way {
            Way::Http { connection, session } => {
                let headers = headers(self.is_modern, session.as_deref(), method, tool);
                let response = connection.request("POST /mcp", &headers, text)?;
                let given = response.header("mcp-session-id").map(str::to_owned);
                *session = given.or(session.take());
                let ended = response.messages().into_iter().find_map(ended);
                let status = response.status;
                ended.ok_or_else(|| format!("HTTP status {status} and no answer").into())
            }
            Way::Stdio { input, lines, .. } => {
                writeln!(input.as_mut().ok_or("no standard input")?, "{text}")?;
                let mut left = LIMIT;
                loop {
                    let (line, took) = timed(|| lines.recv_timeout(left));
                    left = left.saturating_sub(took);
                    if let Some(ended) = ended(&line?) {
                        return Ok(ended);
                    }
                }
            }
        }
    }
}

fn headers<'a>(
    is_modern: bool,
    session: Option<&'a str>,
    method: &'a str,
    tool: &'a str,
) -> Vec<(&'static str, &'a str)> {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    if is_modern {
        headers.extend([
            ("mcp-protocol-version", MODERN),
            ("mcp-method", method),
            ("mcp-name", tool),
        ]);
    }
    headers.extend(session.map(|session| ("mcp-session-id", session)));
    headers
}

/// The answer that a message is, if it is one.
fn ended(text: &str) -> Option<Ended> {
    let message: Value = serde_json::from_str(text).ok()?;
    if message.get("method").is_some() {
        return None;
    }
    let result = message.get("result").map(Value::to_string);
    Some(Ended { id: message.get("id")?.to_string(), result })
}
