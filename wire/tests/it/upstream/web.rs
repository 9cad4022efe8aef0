//! An HTTP server that answers whatever bytes a test wants.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The JSON-RPC method, or the HTTP method where there is none.
    pub(super) fn what(&self) -> String {
        self.json()["method"].as_str().unwrap_or(&self.method).to_owned()
    }
}

/// What is written, and what becomes of the connection.
pub(super) enum Answer {
    Keep(Vec<u8>),
    Close(Vec<u8>),
    /// Stays open until the client closes it.
    Open(Vec<u8>),
}

pub(super) fn http(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Keep(
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )
}

pub(super) fn json_ok(body: &str) -> Answer {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

pub(super) fn result(seen: &Seen, result: &Value) -> Answer {
    json_ok(&json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": result }).to_string())
}

pub(super) const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// The part of a legacy server that every test needs; the rest is for `then`.
pub(super) fn legacy(seen: &Seen, then: impl FnOnce(&Seen) -> Answer) -> Answer {
    match &*seen.what() {
        "server/discover" => http("400 Bad Request", "", "no session"),
        "initialize" => {
            let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": {
                "protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {} } });
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
pub(super) fn modern(seen: &Seen, then: impl FnOnce(&Seen) -> Answer) -> Answer {
    match &*seen.what() {
        "server/discover" => result(
            seen,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                     "cacheScope": "private", "capabilities": { "tools": { "listChanged": true } } }),
        ),
        _ => then(seen),
    }
}

type Handler = dyn Fn(&Seen) -> Answer + Send + Sync;

pub(super) struct Web {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    /// How many open answers the client has closed.
    closed: std::sync::atomic::AtomicUsize,
    connections: std::sync::atomic::AtomicUsize,
    changed: Notify,
}

impl Web {
    pub(super) async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), handler).await
    }

    pub(super) async fn at(
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
                accepting.connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                connections.spawn(serve(stream, accepting.clone()));
            }
        });
        Self { address, shared, task }
    }

    pub(super) fn server(&self) -> HttpServer {
        self.server_with(|endpoint| endpoint, Options::default())
    }

    pub(super) fn server_with(
        &self,
        change: impl FnOnce(Endpoint) -> Endpoint,
        options: Options,
    ) -> HttpServer {
        let endpoint = Endpoint::new(&format!("http://{}/mcp?key=canary", self.address)).unwrap();
        HttpServer::new("web", change(endpoint), options).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(super) fn of(&self, what: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.what() == what).collect()
    }

    /// Waits until `what` came `count` times.
    pub(super) async fn sees(&self, what: &str, count: usize) {
        self.until(|| self.of(what).len() >= count).await;
    }

    /// Waits until the client has closed an open answer.
    pub(super) async fn is_left(&self) {
        self.until(|| self.shared.closed.load(std::sync::atomic::Ordering::SeqCst) > 0).await;
    }

    async fn until(&self, done: impl Fn() -> bool) {
        within(async {
            loop {
                let changed = self.shared.changed.notified();
                if done() {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    /// Ends the server with all its connections.
    pub(super) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(seen) = read(&mut stream).await {
        let answer = (shared.handler)(&seen);
        shared.seen.lock().unwrap().push(seen);
        shared.changed.notify_waiters();
        let (Answer::Keep(bytes) | Answer::Close(bytes) | Answer::Open(bytes)) = &answer;
        if stream.write_all(bytes).await.is_err() {
            return;
        }
        match answer {
            Answer::Keep(_) => {}
            Answer::Close(_) => return,
            Answer::Open(_) => {
                let _ = stream.read(&mut [0; 1]).await;
                shared.closed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                shared.changed.notify_waiters();
                return;
            }
        }
    }
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
