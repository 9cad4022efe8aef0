//! A server in a process of its own, which misbehaves on request: this test binary, started again.
//!
//! What the test harness prints around it is noise on stdout, as real servers make it too.

use std::io::{BufRead, Write};
use std::process::{Command, Stdio};

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Names the script; unset in an ordinary run of the tests.
pub(super) const SCRIPT: &str = "TOOLWEIR_PEER";

/// Not a test: the peer's own `main`.
#[test]
fn peer() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    play(&script);
    std::process::exit(0);
}

#[derive(serde::Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
struct Params<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// The next line of stdin, without its end; `None` at the end.
fn read() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Some(line.trim_end_matches('\n').to_owned()),
        _ => None,
    }
}

fn send(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

fn line(text: &str) {
    send(format!("{text}\n").as_bytes());
}

fn result(id: &str, result: &str) {
    line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
}

fn error(id: &str, error: &Value) {
    line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
}

fn identity(version: &str) -> String {
    json!({ "protocolVersion": version, "capabilities": { "tools": {} },
            "serverInfo": { "name": "peer", "version": "1" }, "instructions": "be gentle" })
    .to_string()
}

fn discovered(versions: &[&str]) -> String {
    json!({ "resultType": "complete", "supportedVersions": versions, "capabilities": { "tools": {} },
            "ttlMs": 0, "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "modern", "version": "2" } } })
    .to_string()
}

fn play(script: &str) {
    line(""); // ends the line that the harness may have begun
    let mut tools = Tools::default();
    let mut probes = 0;
    while let Some(text) = read() {
        let Ok(message) = serde_json::from_str::<Message<'_>>(&text) else { continue };
        let id = message.id.map_or("null", RawValue::get);
        match (message.method.as_str(), script) {
            ("server/discover", "tells") => result(
                id,
                &discovered(&["2026-07-28"])
                    .replace(r#""tools":{}"#, r#""tools":{"listChanged":true}"#),
            ),
            ("server/discover", "modern") => result(id, &discovered(&["2026-07-28"])),
            ("server/discover", "silent") => {}
            ("server/discover", "exits") => std::process::exit(1),
            ("server/discover" | "initialize", "dies") => {
                eprintln!("no such database");
                std::process::exit(4);
            }
            ("server/discover", "hangs") => {}
            ("server/discover", "future") => {
                let data = json!({ "supported": ["2030-01-01"], "requested": "2026-07-28" });
                error(id, &json!({ "code": -32022, "message": "no", "data": data }));
            }
            ("server/discover", "dual") => {
                let data = json!({ "supported": ["2025-11-25"], "requested": "2026-07-28" });
                error(id, &json!({ "code": -32022, "message": "no", "data": data }));
            }
            ("server/discover", "again") => {
                probes += 1;
                let data = json!({ "supported": ["2026-07-28"] });
                match probes {
                    1 => error(id, &json!({ "code": -32022, "message": "no", "data": data })),
                    _ => result(id, &discovered(&["2026-07-28"])),
                }
            }
            ("server/discover", "nonsense") => result(id, "[1]"),
            ("server/discover", "malformed") => line(&format!(r#"{{"jsonrpc":"2.0","id":{id}}}"#)),
            ("server/discover", _) => {
                error(id, &json!({ "code": -32601, "message": "method not found" }));
            }
            ("initialize", "modern" | "again" | "future") => {
                error(id, &json!({ "code": -32022, "message": "modern only" }));
            }
            ("initialize", "hangs") => {}
            ("initialize", "lies") => result(id, &identity("2026-07-28")),
            ("initialize", "leaves") => {
                result(id, &identity("2025-11-25"));
                std::process::exit(0);
            }
            ("initialize", _) => result(id, &identity("2025-11-25")),
            ("notifications/initialized", _) => tools.seen.clear(),
            ("ping", _) if tools.mute => {}
            ("ping", _) => result(id, "{}"),
            ("tools/call", _) => tools.call(&text, id, message.params),
            _ => tools.seen.push(text.clone()),
        }
        if message.method.is_empty() {
            tools.answered(&text);
        }
    }
    if script == "stubborn" {
        park();
    }
}

/// Lives on and reads nothing.
fn park() -> ! {
    loop {
        std::thread::park();
    }
}

#[derive(Default)]
struct Tools {
    /// What came since the handshake and is no call.
    seen: Vec<String>,
    /// Calls that wait for others.
    held: Vec<String>,
    /// The call that asked its client something.
    asking: Vec<String>,
    /// Pings stay unanswered.
    mute: bool,
}

impl Tools {
    fn call(&mut self, text: &str, id: &str, params: Option<&RawValue>) {
        let params = params.map_or("{}", RawValue::get);
        let parsed: Params<'_> = serde_json::from_str(params).unwrap_or_default();
        let value = |raw: Option<&RawValue>| -> Value {
            raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
        };
        let arguments = &value(parsed.arguments);
        let token = &value(parsed.meta)["progressToken"];
        match &*parsed.name {
            "echo" => result(id, params),
            "seen" => result(id, &json!(self.seen).to_string()),
            "hold" => self.seen.push(text.to_owned()),
            // Writes what it is given, a byte a character.
            "say" => {
                for part in arguments["say"].as_array().into_iter().flatten() {
                    let part = part.as_str().unwrap_or_default().replace("$ID", id);
                    let part = part.replace("$TOKEN", &token.to_string());
                    send(
                        &part.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect::<Vec<_>>(),
                    );
                }
            }
            // Answers the last of `of` calls first.
            "reverse" => {
                self.held.push(id.to_owned());
                if self.held.len() as u64 == arguments["of"].as_u64().unwrap_or(1) {
                    while let Some(id) = self.held.pop() {
                        result(&id, &id);
                    }
                }
            }
            "burst" => {
                let mut all = String::new();
                for number in 1..=arguments["count"].as_u64().unwrap_or(0) {
                    let params = json!({ "progressToken": token, "progress": number });
                    let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
                    all.push_str(&format!("{note}\n"));
                }
                all.push_str(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n"));
                send(all.as_bytes());
            }
            "ask" => {
                self.asking.push(id.to_owned());
                let method = arguments["method"].as_str().unwrap_or("ping");
                let mut ask = json!({ "jsonrpc": "2.0", "id": "q1", "method": method });
                if let Some(params) = arguments.get("params") {
                    ask["params"] = params.clone();
                }
                line(&ask.to_string());
            }
            "flood" => {
                let chunk = vec![b'x'; 64 << 10];
                for _ in 0..arguments["chunks"].as_u64().unwrap_or(0) {
                    let _ = std::io::stderr().write_all(&chunk);
                }
                result(id, "{}");
            }
            "large" => {
                let size = usize::try_from(arguments["size"].as_u64().unwrap_or(0)).unwrap_or(0);
                match arguments["order"].as_str() {
                    Some("result first") => line(&format!(
                        r#"{{"result":"{}","jsonrpc":"2.0","id":{id}}}"#,
                        "y".repeat(size)
                    )),
                    _ => result(id, &format!("\"{}\"", "y".repeat(size))),
                }
                if arguments["leave"] == true {
                    std::process::exit(0);
                }
            }
            "environment" => {
                let all: serde_json::Map<String, Value> =
                    std::env::vars().map(|(name, value)| (name, value.into())).collect();
                result(id, &Value::from(all).to_string());
            }
            "grandchild" => {
                let child = Command::new("sh")
                    .args(["-c", "sleep 1000 & echo $!; wait"])
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn();
                let mut pid = String::new();
                if let Some(out) = child.ok().and_then(|child| child.stdout) {
                    let _ = std::io::BufReader::new(out).read_line(&mut pid);
                }
                result(id, pid.trim());
            }
            "mute" => {
                self.mute = true;
                result(id, "{}");
            }
            "stop" => {
                result(id, "{}");
                park();
            }
            "crash" => {
                let words = arguments["words"].as_str().unwrap_or("boom").to_owned();
                eprintln!("{words}");
                std::process::exit(3);
            }
            _ => error(
                id,
                &json!({ "code": -32602, "message": "unknown tool", "data": { "kept": 1e22 } }),
            ),
        }
    }

    /// The client answered what it was asked: that is the result of the call which asked.
    fn answered(&mut self, text: &str) {
        if let Some(id) = self.asking.pop() {
            result(&id, text);
        }
    }
}
