//! How a server is reached: by lines, or over HTTP, where it refuses what lacks a session, or whose headers and body disagree.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::server::Peer;
use crate::peer::http::{Answer, EVENTS, Seen, Web, http, json_ok};

/// Where it writes: a line, or an event of a stream.
#[derive(Clone)]
pub(super) struct Sink {
    sender: UnboundedSender<Vec<u8>>,
    is_line: bool,
}

impl Sink {
    pub(super) fn send(&self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        let text = if self.is_line {
            format!("{message}\n")
        } else {
            format!("event: message\ndata: {message}\n\n")
        };
        let _ = self.sender.send(text.into_bytes()); // a client that has gone hears nothing
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Peer {
    /// Streams to it, as often as it is asked for.
    pub(super) fn streams(
        self: Arc<Self>,
    ) -> impl Fn() -> std::io::Result<(ReadHalf<DuplexStream>, WriteHalf<DuplexStream>)> {
        move || {
            let (near, far) = tokio::io::duplex(64 << 10);
            let peer = self.clone();
            let life = tokio::spawn(async move {
                let (input, mut output) = tokio::io::split(far);
                let (sender, mut lines) = unbounded_channel::<Vec<u8>>();
                let sink = Sink { sender, is_line: true };
                if !peer.is_modern {
                    peer.state().listening.push((Value::Null, Value::Null, sink.clone()));
                }
                let write = async {
                    while let Some(line) = lines.recv().await {
                        if output.write_all(&line).await.is_err() {
                            return;
                        }
                    }
                };
                let read = async {
                    let mut input = BufReader::new(input).lines();
                    while let Ok(Some(line)) = input.next_line().await {
                        peer.hear(&serde_json::from_str(&line).unwrap(), &sink);
                    }
                };
                tokio::join!(write, read)
            });
            self.state().lines.push(life.abort_handle());
            Ok(tokio::io::split(near))
        }
    }

    pub(super) async fn web(self: Arc<Self>) -> Web {
        Web::start(move |seen| self.answer(seen)).await
    }

    fn answer(&self, seen: &Seen) -> Answer {
        let message = seen.json();
        let session = format!("s-{}", self.state().life);
        let (sender, events) = unbounded_channel();
        let sink = Sink { sender, is_line: false };
        let fed = |events| Answer::Fed(EVENTS.into(), events);
        if self.is_modern {
            if let Some(problem) = disagreement(seen, &message) {
                let error = json!({ "code": -32020, "message": problem });
                let body = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
                let json = "Content-Type: application/json\r\n";
                return http("400 Bad Request", json, &body.to_string());
            }
        } else if message["method"] == "server/discover" {
            return http("400 Bad Request", "", "no session");
        } else if message["method"] == "initialize" {
            let result = self.introduction();
            self.note(&message);
            let body = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
            let headers =
                format!("Content-Type: application/json\r\nMcp-Session-Id: {session}\r\n");
            return http("200 OK", &headers, &body.to_string());
        } else if seen.header("mcp-session-id") != Some(&session) {
            return http("404 Not Found", "", "");
        }
        match &*seen.method {
            "GET" if self.is_modern => return http("405 Method Not Allowed", "", ""),
            "GET" => {
                self.state().listening.push((Value::Null, Value::Null, sink));
                return fed(events);
            }
            "DELETE" => return http("200 OK", "", ""),
            _ => {}
        }
        if message["id"].is_null() || message["method"].is_null() {
            self.hear(&message, &sink);
            return http("202 Accepted", "", "");
        }
        if message["method"] == "ping" {
            self.note(&message);
            let body = json!({ "jsonrpc": "2.0", "id": message["id"], "result": {} });
            return json_ok(&body.to_string());
        }
        self.hear(&message, &sink);
        match message["params"]["name"] == "hold" {
            true => Answer::Open(EVENTS.into()), // so that it is seen when the client closes it
            false => fed(events),
        }
    }
}

/// How the headers of a modern request differ from its body.
fn disagreement(seen: &Seen, message: &Value) -> Option<String> {
    if seen.method != "POST" {
        return None;
    }
    let params = &message["params"];
    let target = match message["method"].as_str()? {
        "tools/call" | "prompts/get" => params["name"].as_str(),
        "resources/read" => params["uri"].as_str(),
        _ => None,
    };
    for (header, wanted) in [
        ("mcp-protocol-version", Some("2026-07-28")),
        ("mcp-method", message["method"].as_str()),
        ("mcp-name", target),
        ("mcp-session-id", None),
    ] {
        if seen.header(header) != wanted {
            return Some(format!("{header}: {:?} and {wanted:?}", seen.header(header)));
        }
    }
    None
}
