//! The tools of a server that reads lines.

use std::io::{BufRead, Write};
use std::process::{Command, Stdio};

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::script::{self, Framing, Names, Next, response};
use super::server::{End, Served, Server};

/// What `tools/list` tells of.
pub(super) fn list() -> String {
    let tool = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
    let names = ["echo", "give", "fail", "say", "hold", "seen", "burst"];
    json!({ "tools": names.iter().map(tool).collect::<Vec<_>>() }).to_string()
}

#[derive(Default, serde::Deserialize)]
struct Params<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// What goes back as it is.
#[derive(serde::Deserialize)]
pub(super) struct Raw<'a> {
    #[serde(borrow)]
    pub(super) it: &'a RawValue,
}

#[derive(Default)]
pub(super) struct Tools {
    /// What came since the handshake, without the calls that were answered.
    pub(super) seen: Vec<String>,
    /// Calls of `hold`, by their ids: answered in a script of another, or never.
    held: Vec<String>,
    /// Calls of `reverse` that wait for others.
    reversed: Vec<String>,
    /// The call that asked its client something.
    pub(super) asking: Vec<String>,
    /// Pings stay unanswered.
    pub(super) mute: bool,
}

fn value(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Server<R, W> {
    pub(super) async fn call(
        &mut self,
        text: &str,
        id: &str,
        params: Option<&RawValue>,
    ) -> Served<()> {
        let params = params.map_or("{}", RawValue::get);
        let parsed: Params<'_> = serde_json::from_str(params).unwrap_or_default();
        let raw = parsed.arguments.and_then(|raw| serde_json::from_str::<Raw<'_>>(raw.get()).ok());
        match (&*parsed.name, raw) {
            // The raw ones first: not all JSON can be read as a `Value`.
            ("echo", _) => {
                self.result(id, params).await;
                return Ok(());
            }
            ("give", Some(raw)) => {
                self.result(id, raw.it.get()).await;
                return Ok(());
            }
            ("fail", Some(raw)) => {
                self.error(id, raw.it.get()).await;
                return Ok(());
            }
            _ => {}
        }
        let arguments = &value(parsed.arguments);
        let token = value(parsed.meta)["progressToken"].to_string();
        match &*parsed.name {
            "seen" => self.result(id, &json!(self.tools.seen).to_string()).await,
            "hold" => {
                self.tools.seen.push(text.to_owned());
                self.tools.held.push(id.to_owned());
            }
            "say" => self.say(id, token, &script::steps(&arguments["say"])).await?,
            // Answers the last of `of` calls first.
            "reverse" => {
                self.tools.reversed.push(id.to_owned());
                if self.tools.reversed.len() as u64 == arguments["of"].as_u64().unwrap_or(1) {
                    while let Some(id) = self.tools.reversed.pop() {
                        self.result(&id, &id).await;
                    }
                }
            }
            "burst" => {
                let count = arguments["count"].as_u64().unwrap_or(0);
                let burst = script::Step::Burst(PROGRESS.to_owned(), count, response("$ID", "{}"));
                self.say(id, token, &[burst]).await?;
            }
            "ask" => {
                self.tools.asking.push(id.to_owned());
                let method = arguments["method"].as_str().unwrap_or("ping");
                let mut ask = json!({ "jsonrpc": "2.0", "id": "q1", "method": method });
                if let Some(params) = arguments.get("params") {
                    ask["params"] = params.clone();
                }
                self.line(&ask.to_string()).await;
            }
            "flood" => {
                let chunk = vec![b'x'; 64 << 10];
                for _ in 0..arguments["chunks"].as_u64().unwrap_or(0) {
                    let _ = std::io::stderr().write_all(&chunk);
                }
                self.result(id, "{}").await;
            }
            "large" => {
                let size = usize::try_from(arguments["size"].as_u64().unwrap_or(0)).unwrap_or(0);
                let filling = "y".repeat(size);
                match arguments["order"].as_str() {
                    Some("result first") => {
                        let text = format!(r#"{{"result":"{filling}","jsonrpc":"2.0","id":{id}}}"#);
                        self.line(&text).await;
                    }
                    _ => self.result(id, &format!("\"{filling}\"")).await,
                }
                if arguments["leave"] == true {
                    return Err(End::Exit(0));
                }
            }
            "environment" => {
                let all: serde_json::Map<String, Value> =
                    std::env::vars().map(|(name, value)| (name, value.into())).collect();
                self.result(id, &Value::from(all).to_string()).await;
            }
            "grandchild" => self.result(id, &grandchild()).await,
            "mute" => {
                self.tools.mute = true;
                self.result(id, "{}").await;
            }
            "stop" => {
                self.result(id, "{}").await;
                return std::future::pending().await;
            }
            "crash" => {
                eprintln!("{}", arguments["words"].as_str().unwrap_or("boom"));
                return Err(End::Exit(3));
            }
            _ => {
                let error = r#"{"code":-32602,"message":"unknown tool","data":{"kept":1e22}}"#;
                self.error(id, error).await;
            }
        }
        Ok(())
    }

    /// Plays a script for the call of this id.
    async fn say(&mut self, id: &str, token: String, steps: &[script::Step]) -> Served<()> {
        let mut names = Names { id: id.to_owned(), token, held: self.tools.held.clone() };
        for step in steps {
            let next = step.play(&mut self.output, Framing::Line, &names).await;
            match next.unwrap_or(Next::Close) {
                Next::Step => {}
                Next::Held(count) => {
                    self.hold(count).await?;
                    names.held = std::mem::take(&mut self.tools.held);
                }
                Next::Deaf => return std::future::pending().await,
                Next::Close => return Err(End::Exit(0)),
                Next::Reset => return Err(End::Broken),
            }
        }
        Ok(())
    }

    /// Reads until so many calls are held; what else comes waits.
    async fn hold(&mut self, count: usize) -> Served<()> {
        let mut others = std::collections::VecDeque::new();
        while self.tools.held.len() < count {
            let next = match self.waiting.pop_front() {
                Some(text) => Some(text),
                None => self.read().await,
            };
            let Some(text) = next else { return Err(End::Exit(0)) };
            match id_of_held(&text) {
                Some(id) => self.tools.held.push(id),
                None => others.push_back(text),
            }
        }
        others.append(&mut self.waiting);
        self.waiting = others;
        Ok(())
    }
}

/// A notification of progress, as a step has it.
pub(crate) const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":$N}}"#;

fn id_of_held(text: &str) -> Option<String> {
    if !text.contains(r#""hold""#) {
        return None;
    }
    let call: Value = serde_json::from_str(text).ok()?;
    (call["params"]["name"] == "hold").then(|| call["id"].to_string())
}

/// Starts a process that starts another, and gives the id of the latter.
fn grandchild() -> String {
    let child = Command::new("sh")
        .args(["-c", "sleep 1000 & echo $!; wait"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut pid = String::new();
    if let Some(out) = child.ok().and_then(|child| child.stdout) {
        let _ = std::io::BufReader::new(out).read_line(&mut pid);
    }
    pid.trim().to_owned()
}
