//! A server that reads a message a line and misbehaves on request.

use std::collections::VecDeque;

use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, DuplexStream, ReadHalf, WriteHalf,
};
use toolweir_wire::Program;

use super::script::{response, write};
use super::tools::{self, Tools};

/// Names the script; unset in an ordinary run of the tests.
pub(crate) const SCRIPT: &str = "TOOLWEIR_PEER";

/// Not a test: the `main` of the process that [`program`] starts.
#[test]
fn process() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let end = runtime.block_on(async {
        let mut output = tokio::io::stdout();
        let _ = write(&mut output, b"\n").await; // ends the line that the harness may have begun
        serve(&script, tokio::io::stdin(), output).await
    });
    match end {
        End::Exit(code) => std::process::exit(code),
        End::Broken => std::process::abort(),
    }
}

/// This test binary as a server that plays `script`. What the test harness prints around it is noise on stdout, as real
/// servers make it too.
pub(crate) fn program(script: &str) -> Program {
    let path = module_path!().split_once("::").unwrap().1;
    Program::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{path}::process"), "--nocapture"])
        .env(SCRIPT, script)
}

/// Streams to a server in this program that plays `script`, as often as it is asked for.
pub(crate) fn streams(
    script: &'static str,
) -> impl Fn() -> std::io::Result<(ReadHalf<DuplexStream>, WriteHalf<DuplexStream>)> {
    move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            let (input, output) = tokio::io::split(far);
            serve(script, input, output).await
        });
        Ok(tokio::io::split(near))
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Broken,
}

/// Ends the server from wherever it is.
pub(super) type Served<T> = Result<T, End>;

/// Plays `script` until the client has gone, or the script says so.
pub(crate) async fn serve(
    script: &str,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> End {
    let mut server = Server {
        script: script.to_owned(),
        input: BufReader::new(input),
        output,
        probes: 0,
        waiting: VecDeque::new(),
        tools: Tools::default(),
    };
    match server.run().await {
        Err(end) => end,
        Ok(()) if script == "stubborn" => std::future::pending().await,
        Ok(()) => End::Exit(0),
    }
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

/// The same of a legacy one.
fn identity(version: &str) -> String {
    json!({ "protocolVersion": version, "capabilities": { "tools": {} },
            "serverInfo": { "name": "peer", "version": "1" }, "instructions": "be gentle" })
    .to_string()
}

/// What a modern server says of itself.
fn discovered() -> String {
    json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            "ttlMs": 0, "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "modern", "version": "2" } } })
    .to_string()
}

pub(super) struct Server<R, W> {
    script: String,
    input: BufReader<R>,
    pub(super) output: W,
    probes: u32,
    /// What came while a script waited for held calls.
    pub(super) waiting: VecDeque<String>,
    pub(super) tools: Tools,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Server<R, W> {
    pub(super) async fn line(&mut self, text: &str) {
        // A client that has gone is seen where it is read from.
        let _ = write(&mut self.output, format!("{text}\n").as_bytes()).await;
    }

    pub(super) async fn result(&mut self, id: &str, result: &str) {
        self.line(&response(id, result)).await;
    }

    pub(super) async fn error(&mut self, id: &str, error: &str) {
        self.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)).await;
    }

    /// The next line without its end; `None` at the end.
    pub(super) async fn read(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.input.read_line(&mut line).await {
            Ok(1..) => Some(line.trim_end_matches('\n').to_owned()),
            _ => None,
        }
    }

    async fn run(&mut self) -> Served<()> {
        loop {
            let next = match self.waiting.pop_front() {
                Some(text) => Some(text),
                None => self.read().await,
            };
            match next {
                Some(text) => self.hear(text).await?,
                None => return Ok(()),
            }
        }
    }

    async fn hear(&mut self, text: String) -> Served<()> {
        let Ok(message) = serde_json::from_str::<Message<'_>>(&text) else { return Ok(()) };
        let id = message.id.map_or("null", RawValue::get);
        let script = self.script.clone();
        match (message.method.as_str(), &*script) {
            ("server/discover", "tells") => {
                let tells = r#""tools":{"listChanged":true}"#;
                self.result(id, &discovered().replace(r#""tools":{}"#, tells)).await;
            }
            ("server/discover", "modern" | "newer") => self.result(id, &discovered()).await,
            ("server/discover", "silent" | "hangs") | ("initialize", "hangs") => {}
            ("server/discover", "exits") => return Err(End::Exit(1)),
            ("server/discover" | "initialize", "dies") => {
                eprintln!("no such database");
                return Err(End::Exit(4));
            }
            ("server/discover", "future") => self.unsupported(id, "2030-01-01").await,
            ("server/discover", "dual") => self.unsupported(id, "2025-11-25").await,
            ("server/discover", "again") if self.probes == 0 => {
                self.probes = 1;
                self.unsupported(id, "2026-07-28").await;
            }
            ("server/discover", "again") => self.result(id, &discovered()).await,
            ("server/discover", "nonsense") => self.result(id, "[1]").await,
            ("server/discover", "malformed") => {
                self.line(&format!(r#"{{"jsonrpc":"2.0","id":{id}}}"#)).await;
            }
            ("server/discover", _) => {
                self.error(id, r#"{"code":-32601,"message":"method not found"}"#).await;
            }
            ("initialize", "modern" | "again" | "future") => {
                self.error(id, r#"{"code":-32022,"message":"modern only"}"#).await;
            }
            ("initialize", "newer") => {
                self.result(id, &identity("2025-11-25").replace(r#""1""#, r#""2""#)).await;
            }
            ("initialize", "lies") => self.result(id, &identity("2026-07-28")).await,
            ("initialize", "leaves") => {
                self.result(id, &identity("2025-11-25")).await;
                return Err(End::Exit(0));
            }
            ("initialize", _) => self.result(id, &identity("2025-11-25")).await,
            ("notifications/initialized", _) => self.tools.seen.clear(),
            ("ping", _) if self.tools.mute => {}
            ("ping", _) => self.result(id, "{}").await,
            ("tools/list", _) => {
                self.tools.seen.push(text.clone());
                self.result(id, &tools::list()).await;
            }
            ("tools/call", _) => self.call(&text, id, message.params).await?,
            _ => self.tools.seen.push(text.clone()),
        }
        // The client answered what it was asked: that is the result of the call which asked.
        if message.method.is_empty()
            && let Some(id) = self.tools.asking.pop()
        {
            self.result(&id, &text).await;
        }
        Ok(())
    }

    async fn unsupported(&mut self, id: &str, supported: &str) {
        let data = json!({ "supported": [supported], "requested": "2026-07-28" });
        let error = json!({ "code": -32022, "message": "no", "data": data });
        self.error(id, &error.to_string()).await;
    }
}
