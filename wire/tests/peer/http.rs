//! An HTTP server that answers whatever bytes a test wants.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use toolweir_wire::{Endpoint, HttpServer, Options};

use super::script::{self, Framing, Names, Next, Step, response};
use super::tools::Raw;
use super::within;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The JSON-RPC method, or the HTTP method where there is none.
    pub(crate) fn what(&self) -> String {
        self.head().and_then(|head| head.method).unwrap_or_else(|| self.method.clone())
    }

    fn head(&self) -> Option<Head> {
        serde_json::from_str(&self.body).ok()
    }
}

/// What can be read whatever else is in a message.
#[derive(serde::Deserialize)]
struct Head {
    method: Option<String>,
    params: Option<Target>,
}

#[derive(serde::Deserialize)]
struct Target {
    name: Option<String>,
}

/// What is written, and what becomes of the connection.
pub(crate) enum Answer {
    Keep(Vec<u8>),
    Close(Vec<u8>),
    /// Stays open until the client closes it.
    Open(Vec<u8>),
    /// Stays open, and goes on with what comes here until that ends.
    Fed(Vec<u8>, UnboundedReceiver<Vec<u8>>),
    /// A stream of events on which a script is played, unless its first step begins another answer.
    Play(Vec<Step>),
}

pub(crate) fn http(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Keep(
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )
}

pub(crate) fn json_ok(body: &str) -> Answer {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

pub(crate) fn result(seen: &Seen, result: &Value) -> Answer {
    json_ok(&json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": result }).to_string())
}

pub(crate) const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// What a modern server says first on a subscription's stream.
pub(crate) fn acknowledgement(seen: &Seen) -> Value {
    let message = seen.json();
    script::acknowledgement(&message["id"], &message["params"]["notifications"])
}

/// A subscription's stream, acknowledged, with what else is told on it.
pub(crate) fn listening(seen: &Seen, told: &[Value]) -> Answer {
    let mut text = String::from(EVENTS);
    for message in std::iter::once(&acknowledgement(seen)).chain(told) {
        text.push_str(&format!("event: message\ndata: {message}\n\n"));
    }
    Answer::Open(text.into_bytes())
}

/// The part of a legacy server that every test needs; the rest is for `then`.
pub(crate) fn legacy(seen: &Seen, then: impl FnOnce(&Seen) -> Answer) -> Answer {
    legacy_with(seen, &json!({}), then)
}

fn legacy_with(seen: &Seen, offers: &Value, then: impl FnOnce(&Seen) -> Answer) -> Answer {
    match &*seen.what() {
        "server/discover" => http("400 Bad Request", "", "no session"),
        "initialize" => {
            let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": {
                "protocolVersion": "2025-06-18", "capabilities": offers, "serverInfo": {} } });
            let headers = "Content-Type: application/json\r\nMcp-Session-Id: s-1\r\n";
            http("200 OK", headers, &body.to_string())
        }
        "notifications/initialized" | "notifications/cancelled" => http("202 Accepted", "", ""),
        "GET" => http("405 Method Not Allowed", "", ""),
        "DELETE" => http("200 OK", "", ""),
        _ => then(seen),
    }
}

/// The same of a modern one.
pub(crate) fn modern(seen: &Seen, then: impl FnOnce(&Seen) -> Answer) -> Answer {
    match &*seen.what() {
        "server/discover" => result(
            seen,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                     "cacheScope": "private", "capabilities": { "tools": { "listChanged": true } } }),
        ),
        _ => then(seen),
    }
}

/// The part of a server of either era that has tools.
pub(crate) fn honest(is_modern: bool, seen: &Seen, then: impl FnOnce(&Seen) -> Answer) -> Answer {
    if is_modern { modern(seen, then) } else { legacy_with(seen, &json!({ "tools": {} }), then) }
}

/// The same tools as a server that reads lines has.
fn tools(seen: &Seen) -> Answer {
    let message = seen.json();
    let name = seen.head().and_then(|head| head.params?.name);
    match (&*seen.what(), name.as_deref().unwrap_or_default()) {
        ("tools/list", _) => json_ok(&response(&message["id"].to_string(), &super::tools::list())),
        ("subscriptions/listen", _) => listening(seen, &[]),
        ("tools/call", "hold") => Answer::Open(EVENTS.as_bytes().to_vec()),
        ("tools/call", "say") => {
            Answer::Play(script::steps(&message["params"]["arguments"]["say"]))
        }
        ("tools/call", "burst") => {
            let count = message["params"]["arguments"]["count"].as_u64().unwrap_or(0);
            Answer::Play(vec![Step::Burst(
                super::tools::PROGRESS.to_owned(),
                count,
                response("$ID", "{}"),
            )])
        }
        ("tools/call", name) => json_ok(&raw(seen, name)),
        _ => json_ok(&response(&message["id"].to_string(), "{}")),
    }
}

/// The answer of `echo`, `give` or `fail`: bytes of the request, which need not be readable as a `Value`.
fn raw(seen: &Seen, name: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        #[serde(borrow)]
        params: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        arguments: Raw<'a>,
    }
    let message: Message<'_> = serde_json::from_str(&seen.body).unwrap();
    let it = || serde_json::from_str::<Params<'_>>(message.params.get()).unwrap().arguments.it;
    match name {
        "echo" => response(message.id.get(), message.params.get()),
        "give" => response(message.id.get(), it().get()),
        "fail" => format!(r#"{{"jsonrpc":"2.0","id":{},"error":{}}}"#, message.id, it()),
        _ => {
            let error = r#"{"code":-32602,"message":"unknown tool"}"#;
            format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, message.id)
        }
    }
}

type Handler = dyn Fn(&Seen) -> Answer + Send + Sync;

pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    /// How many open answers the client has closed.
    closed: AtomicUsize,
    connections: AtomicUsize,
    changed: Notify,
}

impl Shared {
    async fn until(&self, done: impl Fn() -> bool) {
        within(async {
            loop {
                let changed = self.changed.notified();
                if done() {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    /// The ids of the calls of `hold` that came.
    fn held(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let held = seen.iter().map(Seen::json).filter(|json| json["params"]["name"] == "hold");
        held.map(|json| json["id"].to_string()).collect()
    }
}

impl Web {
    /// A server of either era with the tools `echo`, `give`, `fail`, `say`, `hold` and `burst`.
    pub(crate) async fn scripted(is_modern: bool) -> Self {
        Self::start(move |seen| honest(is_modern, seen, tools)).await
    }

    pub(crate) async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), handler).await
    }

    pub(crate) async fn at(
        address: SocketAddr,
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            seen: Mutex::default(),
            closed: Default::default(),
            connections: Default::default(),
            changed: Notify::new(),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, accepting.clone()));
            }
        });
        Self { address, shared, task }
    }

    pub(crate) fn server(&self) -> HttpServer {
        self.server_with(|endpoint| endpoint, Options::default())
    }

    pub(crate) fn server_with(
        &self,
        change: impl FnOnce(Endpoint) -> Endpoint,
        options: Options,
    ) -> HttpServer {
        let endpoint = Endpoint::new(&format!("http://{}/mcp?key=canary", self.address)).unwrap();
        HttpServer::new("web", change(endpoint), options).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn of(&self, what: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.what() == what).collect()
    }

    /// Waits until `what` came `count` times.
    pub(crate) async fn sees(&self, what: &str, count: usize) {
        self.until(|| self.of(what).len() >= count).await;
    }

    /// Waits until the client has closed an open answer.
    pub(crate) async fn is_left(&self) {
        self.until(|| self.shared.closed.load(Ordering::SeqCst) > 0).await;
    }

    async fn until(&self, done: impl Fn() -> bool) {
        self.shared.until(done).await;
    }

    /// Ends the server with all its connections.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(seen) = read(&mut stream).await {
        let answer = (shared.handler)(&seen);
        shared.seen.lock().unwrap().push(seen.clone());
        shared.changed.notify_waiters();
        if let Answer::Play(steps) = &answer {
            match play(&mut stream, &shared, &seen, steps).await {
                true => continue,
                false => return,
            }
        }
        let answer = match answer {
            Answer::Fed(bytes, mut more) => {
                let _ = stream.write_all(&bytes).await; // a client that has gone closes it below
                loop {
                    let mut end = [0; 1];
                    tokio::select! {
                        biased;
                        bytes = more.recv() => match bytes {
                            Some(bytes) if stream.write_all(&bytes).await.is_ok() => {}
                            _ => return,
                        },
                        _ = stream.read(&mut end) => break,
                    }
                }
                shared.closed.fetch_add(1, Ordering::SeqCst);
                shared.changed.notify_waiters();
                return;
            }
            other => other,
        };
        let (Answer::Keep(bytes) | Answer::Close(bytes) | Answer::Open(bytes)) = &answer else {
            continue;
        };
        if stream.write_all(bytes).await.is_err() {
            return;
        }
        match answer {
            Answer::Keep(_) => {}
            Answer::Close(_) | Answer::Play(_) | Answer::Fed(..) => return,
            Answer::Open(_) => {
                let _ = stream.read(&mut [0; 1]).await;
                shared.closed.fetch_add(1, Ordering::SeqCst);
                shared.changed.notify_waiters();
                return;
            }
        }
    }
}

/// Plays a script as the answer to a request; says whether the connection goes on.
async fn play(stream: &mut TcpStream, shared: &Shared, seen: &Seen, steps: &[Step]) -> bool {
    let message = seen.json();
    let mut names = Names {
        id: message["id"].to_string(),
        token: message["params"]["_meta"]["progressToken"].to_string(),
        held: Vec::new(),
    };
    let begins_otherwise = |step: &Step| {
        matches!(
            step,
            Step::Bytes(_)
                | Step::Json(_)
                | Step::Pause(_)
                | Step::Held(_)
                | Step::Deaf
                | Step::Close
                | Step::Reset
        )
    };
    let mut is_begun = false;
    for step in steps {
        if !is_begun
            && !begins_otherwise(step)
            && stream.write_all(EVENTS.as_bytes()).await.is_err()
        {
            return false;
        }
        is_begun |= !matches!(step, Step::Pause(_) | Step::Held(_));
        match step.play(stream, Framing::Event, &names).await.unwrap_or(Next::Close) {
            Next::Step => {}
            Next::Held(count) => {
                shared.until(|| shared.held().len() >= count).await;
                names.held = shared.held();
            }
            Next::Deaf => return std::future::pending().await,
            Next::Close => return false,
            Next::Reset => {
                let _ = stream.set_zero_linger();
                return false;
            }
        }
    }
    matches!(steps, [.., Step::Json(_)])
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut chunk).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap_or(0));
    while bytes.len() < end + length {
        match stream.read(&mut chunk).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
    let body = String::from_utf8(bytes[end..end + length].to_vec()).ok()?;
    Some(Seen { method: first.next()?, path: first.next()?, headers, body })
}
