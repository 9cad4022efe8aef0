//! A server over HTTP that is there and lists a tool, `x`, but answers every call of it with status 502.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(super) struct Broken {
    url: String,
    calls: Arc<AtomicUsize>,
    /// Ends with this.
    _task: JoinSet<()>,
}

impl Broken {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let calls = Arc::<AtomicUsize>::default();
        let mut task = JoinSet::new();
        let counted = calls.clone();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, counted.clone()));
            }
        });
        Self { url, calls, _task: task }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// How many calls of its tool it got.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, calls: Arc<AtomicUsize>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let id = &request["id"];
        let (status, body) = match request["method"].as_str() {
            Some("initialize") => (
                "200 OK",
                json!({ "jsonrpc": "2.0", "id": id, "result": {
                    "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                    "serverInfo": { "name": "broken", "version": "1" } } }),
            ),
            Some("tools/list") => (
                "200 OK",
                json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": [
                    { "name": "x", "inputSchema": { "type": "object" } }] } }),
            ),
            Some("tools/call") => {
                calls.fetch_add(1, Ordering::SeqCst);
                ("502 Bad Gateway", Value::Null)
            }
            Some(_) if id.is_null() => ("202 Accepted", Value::Null),
            Some(_) => (
                "200 OK",
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "unknown" } }),
            ),
            None => ("405 Method Not Allowed", Value::Null),
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request's body, null where it has none; `None` at the end.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).ok()? })
}
