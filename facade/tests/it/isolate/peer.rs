//! A legacy server in a process of its own: this test binary, started again.
//!
//! What the test harness prints around it is noise on stdout, as real servers make it too.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

/// Names the script; unset in an ordinary run of the tests.
pub(super) const SCRIPT: &str = "TOOLWEIR_ISOLATED_PEER";

/// Not a test: the peer's own `main`.
#[test]
fn peer() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    println!(); // ends the line that the harness may have begun
    let mut state = State { asks_roots: script == "roots", ..State::default() };
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if let Ok(message) = serde_json::from_str(&line) {
            state.take(&message);
        }
    }
    std::process::exit(0);
}

fn send(mut message: Value) {
    message["jsonrpc"] = "2.0".into();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{message}").and_then(|()| out.flush());
}

fn result(id: &Value, result: Value) {
    send(json!({ "id": id, "result": result }));
}

/// A tool's result: where it ran, what it has to say, and the nonce of its call.
fn said(id: &Value, nonce: &Value, what: &Value) {
    let process = std::process::id();
    let text = json!({ "process": process, "said": what, "nonce": nonce }).to_string();
    result(id, json!({ "content": [{ "type": "text", "text": text }] }));
}

#[derive(Default)]
struct State {
    asks_roots: bool,
    client: Value,
    roots: Value,
    level: Value,
    watched: Vec<Value>,
    /// Calls that ask something as soon as there are enough of them: their ids, questions and nonces.
    asking: Vec<(Value, Value, Value)>,
}

impl State {
    fn take(&mut self, message: &Value) {
        let (id, params) = (&message["id"], &message["params"]);
        match message["method"].as_str() {
            Some("initialize") => {
                self.client = params.clone();
                let capabilities =
                    json!({ "tools": {}, "logging": {}, "resources": { "subscribe": true } });
                result(
                    id,
                    json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": { "name": "peer", "version": "1" } }),
                );
            }
            Some("notifications/initialized") if self.asks_roots => {
                send(json!({ "id": "roots", "method": "roots/list" }));
            }
            Some("tools/list") => {
                let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } });
                let names = ["ask", "state", "touch", "log"];
                result(id, json!({ "tools": names.map(tool) }));
            }
            Some("resources/list") => {
                result(id, json!({ "resources": [{ "uri": "peer://a", "name": "a" }] }));
            }
            Some("resources/templates/list") => result(id, json!({ "resourceTemplates": [] })),
            Some("resources/subscribe") => {
                self.watched.push(params["uri"].clone());
                result(id, json!({}));
            }
            Some("resources/unsubscribe") => {
                self.watched.retain(|uri| *uri != params["uri"]);
                result(id, json!({}));
            }
            Some("logging/setLevel") => {
                self.level = params["level"].clone();
                result(id, json!({}));
            }
            Some("ping") => result(id, json!({})),
            Some("tools/call") => self.call(id, params),
            Some(_) if !id.is_null() => {
                send(
                    json!({ "id": id, "error": { "code": -32601, "message": "Method not found" } }),
                );
            }
            Some(_) => {}
            None => self.answer(message),
        }
    }

    fn call(&mut self, id: &Value, params: &Value) {
        let arguments = &params["arguments"];
        let nonce = &arguments["nonce"];
        match params["name"].as_str() {
            Some("ask") => {
                self.asking.push((id.clone(), arguments["question"].clone(), nonce.clone()));
                if self.asking.len() as u64 >= arguments["together"].as_u64().unwrap_or(1) {
                    for (id, question, _) in &self.asking {
                        let params = json!({ "message": question, "requestedSchema": { "type": "object", "properties": {} } });
                        send(
                            json!({ "id": id.to_string(), "method": "elicitation/create", "params": params }),
                        );
                    }
                }
            }
            Some("touch") => {
                for uri in &self.watched {
                    send(
                        json!({ "method": "notifications/resources/updated", "params": { "uri": uri } }),
                    );
                }
                said(id, nonce, &Value::Null);
            }
            Some("log") => {
                send(
                    json!({ "method": "notifications/message", "params": { "level": "info", "data": arguments["text"] } }),
                );
                said(id, nonce, &Value::Null);
            }
            _ => {
                let (client, level, roots) = (&self.client, &self.level, &self.roots);
                said(
                    id,
                    nonce,
                    &json!({ "client": client, "level": level, "roots": roots, "watched": self.watched }),
                );
            }
        }
    }

    fn answer(&mut self, message: &Value) {
        if message["id"] == "roots" {
            self.roots = message["result"].clone();
            return;
        }
        let asked = message["id"].as_str().and_then(|id| serde_json::from_str(id).ok());
        let call = self.asking.iter().position(|(id, ..)| Some(id) == asked.as_ref());
        if let Some(call) = call {
            let (id, _, nonce) = self.asking.remove(call);
            let answer =
                if message["error"].is_null() { &message["result"] } else { &message["error"] };
            said(&id, &nonce, answer);
        }
    }
}
