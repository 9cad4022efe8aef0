//! The program itself, as people and other programs meet it.

mod calls;
mod check;
mod drain;
mod explain;
mod gateway;
mod help;
mod lists;
mod pools;
mod pressure;
mod reload;
mod secrets;
mod stdio;
mod watchdog;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use toolweir::core::{Call, Clock, Error, RawJson, Server, TokioClock};
use toolweir::wire::{Endpoint, HttpServer, Options};

use crate::effects::PROGRAM;

/// Longer than anything here takes; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An empty folder of the test's own.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("toolweir-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// One with `toolweir.jsonc` in it; `${PROGRAM}` there is the program itself.
    pub(crate) fn with(config: &str) -> Self {
        let folder = Self::new();
        std::fs::write(folder.0.join("toolweir.jsonc"), config).unwrap();
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error on the last line of stderr.
    pub(crate) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let mut error: Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(error.as_object().unwrap().len(), 1, "{self:?}");
        error["error"].take()
    }
}

/// The program with these arguments, in `folder`, with no more of the environment than it needs.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PROGRAM", PROGRAM)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) async fn finish(mut command: Command) -> Run {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("the program ends").unwrap();
    let run = Run {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    assert!(!format!("{}{}", run.stdout, run.stderr).contains('\u{1b}'), "colours: {run:?}");
    run
}

/// Runs the program in `folder`.
pub(crate) async fn run(folder: &Folder, arguments: &[&str]) -> Run {
    finish(command(folder.path(), arguments)).await
}

/// A gateway that runs.
pub(crate) struct Gateway {
    child: Child,
    /// All that it has written on stderr.
    stderr: watch::Receiver<String>,
    pub(crate) endpoint: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    folder: Folder,
}

impl Gateway {
    /// Starts `toolweir serve` with this configuration, and waits until it tells where it listens.
    pub(crate) async fn start(config: &str, arguments: &[&str]) -> Self {
        Self::start_in(Folder::with(config), arguments).await
    }

    /// The same with the configuration that stands in `folder`.
    pub(crate) async fn start_in(folder: Folder, arguments: &[&str]) -> Self {
        let mut command = command(folder.path(), &[&["serve"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut text = String::new();
        let mut admin = None;
        let told = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                text.push_str(&line);
                text.push('\n');
                if let Some(address) = between(&line, "health: http://", "/health") {
                    admin = Some(address);
                }
                if let Some(address) = between(&line, "MCP endpoint: http://", "/mcp") {
                    return Some(address);
                }
            }
            None
        };
        let endpoint = tokio::time::timeout(PATIENCE, told).await.expect("it tells");
        let endpoint = endpoint.unwrap_or_else(|| panic!("it ended: {text}"));
        let (said, stderr) = watch::channel(text);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                said.send_modify(|text| {
                    text.push_str(&line);
                    text.push('\n');
                });
            }
        });
        Self { child, stderr, endpoint, admin, folder }
    }

    /// A call of a tool, by a client of its own.
    pub(crate) fn calling(
        &self,
        tool: &'static str,
    ) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let url = self.url();
        async move {
            let endpoint = Endpoint::new(&url).unwrap();
            let client = HttpServer::new("gateway", endpoint, Options::default()).unwrap();
            let call = Call::tool(tool, &RawJson::EMPTY_OBJECT).unwrap();
            let call = call.deadline(TokioClock.now() + PATIENCE);
            client.call(&call).await.map(|reply| reply.result.as_str().to_owned())
        }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn signal(&self, signal: i32) {
        kill(i32::try_from(self.child.id().unwrap()).unwrap(), signal);
    }

    /// A page of its admin listener.
    pub(crate) async fn page(&self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost");
        request(self.admin.unwrap(), &head, "").await.1
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.endpoint)
    }

    /// What `toolweir health` tells, as JSON.
    pub(crate) async fn health(&self, arguments: &[&str]) -> Run {
        let url = format!("http://{}", self.admin.unwrap());
        run(&self.folder, &[&["health", "--json", "--url", &url], arguments].concat()).await
    }

    /// The processes of the servers, once there are `count` of them for which `wanted` holds.
    pub(crate) async fn children(&self, count: usize, wanted: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        let asked = async {
            loop {
                let health = self.health(&[]).await.json();
                let servers = health["upstreams"].as_array().unwrap();
                let process =
                    |server: &Value| Some(server["process_id"].as_u64()?.try_into().unwrap());
                let children: Vec<u32> = servers.iter().filter_map(process).collect();
                if children.len() == count && wanted(&children) {
                    return children;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("the children")
    }

    /// Waits until it has said `what` on stderr; gives all that it has said.
    pub(crate) async fn told(&self, what: &str) -> String {
        let mut stderr = self.stderr.clone();
        let told = stderr.wait_for(|text| text.contains(what));
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(text)) => text.clone(),
            _ => panic!("it never said {what:?}: {}", *self.stderr.borrow()),
        }
    }

    /// Sends a signal; gives the exit code and all that was written on stdout and on stderr.
    pub(crate) async fn end(self, signal: i32) -> Run {
        self.signal(signal);
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Run {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().unwrap();
        let ended = async {
            pipe.read_to_string(&mut stdout).await.unwrap();
            let status = self.child.wait().await.unwrap();
            while self.stderr.changed().await.is_ok() {} // until its end
            status
        };
        let status = tokio::time::timeout(PATIENCE, ended).await.expect("the gateway ends");
        let stderr = self.stderr.borrow().clone();
        Run { exit: status.code().unwrap_or(-1), stdout, stderr }
    }
}

fn between(line: &str, before: &str, after: &str) -> Option<SocketAddr> {
    line.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

pub(crate) const TERM: i32 = 15;
pub(crate) const KILL: i32 = 9;

/// Sends a signal to one process that the test started.
pub(crate) fn kill(process: i32, signal: i32) {
    let status = std::process::Command::new("kill")
        .args([format!("-{signal}"), process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// Whether a process is there; one that has ended and was not waited for is not.
pub(crate) fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// One HTTP request by hand: the status of its answer, and the answer.
pub(crate) async fn request(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no HTTP: {answer}")), answer)
}

/// Two of the demonstration's servers, and the inside of `toolweir`.
pub(crate) fn two_servers(settings: &str) -> String {
    format!(
        r#"{{
          "mcpServers": {{
            "hub": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "github"], "capabilities": ["github"] }},
            "chat": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "slack"], "capabilities": ["slack"] }},
          }},
          "toolweir": {{ "listen": "127.0.0.1:0", "admin": "127.0.0.1:0"{settings} }},
        }}"#
    )
}
