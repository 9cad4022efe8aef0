//! The servers behind the gateway: tools that answer, and tools that misbehave.
//!
//! Over stdio it is this program started again; over HTTP it is a thread for each connection, in a [`Mood`].

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::loops::{Crash, Mind};
use crate::Failure;
use crate::processes::pause;

/// How many connections are served at once over HTTP.
const CONNECTIONS_MAX: usize = 256;
/// The largest request.
const BODY_MAX: usize = 1 << 20;

fn list() -> Value {
    let tool = |name: &str| {
        json!({ "name": name, "inputSchema": { "type": "object" },
                "annotations": { "readOnlyHint": name == "read" } })
    };
    let tools: Vec<Value> = ["give", "read", "large", "slow", "hang", "crash", "flood", "storm"]
        .iter()
        .map(|name| tool(name))
        .collect();
    json!({ "tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private" })
}

/// What a call carries, given back: its nonce, wherever it stands.
fn given(message: &Value) -> Value {
    let params = &message["params"];
    let nonce = params["arguments"]["it"].as_str().or(params["_meta"]["mine"].as_str());
    let filling = if params["name"] == "large" { "x".repeat(64 << 10) } else { String::new() };
    let text = format!("{}{filling}", nonce.unwrap_or_default());
    json!({ "content": [{ "type": "text", "text": text }], "resultType": "complete" })
}

/// What is known without a connection: the answer to all that is not a call of a tool that misbehaves.
fn answer(message: &Value, is_modern: bool) -> Option<Value> {
    let id = message.get("id").filter(|id| !id.is_null())?;
    let capabilities = json!({ "tools": { "listChanged": true } });
    let result = match message["method"].as_str()? {
        "server/discover" if is_modern => {
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private" })
        }
        "initialize" if !is_modern => {
            json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "serverInfo": { "name": "soak", "version": "1" } })
        }
        "ping" => json!({}),
        "tools/list" => list(),
        "tools/call" => given(message),
        _ => {
            let error = json!({ "code": -32601, "message": "method not found" });
            return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// A message a line, until the input ends; one that `loops` crashes where that file says so.
///
/// # Errors
/// Fails where nobody reads what it writes.
pub(crate) fn serve_stdio(era: &str, loops: Option<&Path>) -> Result<(), Failure> {
    let is_modern = era == "modern";
    let mind = loops.map(Mind::new);
    if let Some(mind) = &mind {
        mind.started()?;
        if mind.crashes(Crash::AtStart) {
            std::process::exit(3);
        }
    }
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        let reply = answer(&message, is_modern);
        let tool = match message["method"].as_str() {
            Some("tools/call") => message["params"]["name"].as_str().unwrap_or_default(),
            _ => "",
        };
        if !tool.is_empty() && mind.as_ref().is_some_and(|mind| mind.crashes(Crash::InCall)) {
            std::process::exit(3);
        }
        match tool {
            "hang" => continue,
            "crash" => std::process::exit(3),
            "slow" => {
                // The gateway bounds how many there are.
                std::thread::spawn(move || {
                    pause(Duration::from_millis(100));
                    reply.map(|reply| write(&reply))
                });
                continue;
            }
            "flood" => {
                let noise = vec![b'!'; 256 << 10];
                let _ = std::io::stderr().write_all(&noise); // it is drained, or nobody is there
                let token = &message["params"]["_meta"]["progressToken"];
                for number in 0..500 {
                    write(&json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                        "params": { "progressToken": token, "progress": number } }))?;
                }
            }
            "storm" => {
                let changed =
                    json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
                (0..1_000).try_for_each(|_| write(&changed))?;
            }
            _ => {}
        }
        if let Some(reply) = reply {
            write(&reply)?;
        }
    }
    Ok(())
}

fn write(message: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}

/// What a server over HTTP does with the calls that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Slow,
    Silent,
    Status500,
    Status429,
    /// Closes the connection instead of answering.
    Away,
}

/// A modern server over HTTP in this process.
pub(super) struct Web {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mutex<Mood>,
    /// Connections that are open, by their numbers.
    open: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    served: AtomicUsize,
}

impl Web {
    /// One that listens on a port of loopback.
    ///
    /// # Errors
    /// Fails where it cannot listen.
    pub(super) fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Well),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            served: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        // It ends with this program: nothing else stops a thread that accepts.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.served.load(Ordering::SeqCst) < CONNECTIONS_MAX {
                    accepting.served.fetch_add(1, Ordering::SeqCst);
                    let shared = accepting.clone();
                    std::thread::spawn(move || {
                        let number = shared.next.fetch_add(1, Ordering::SeqCst);
                        if let Ok(clone) = stream.try_clone() {
                            lock(&shared.open).insert(number, clone);
                        }
                        let _ = shared.serve(&stream); // the gateway has left, or is to see that this server did
                        let _ = stream.shutdown(Shutdown::Both);
                        lock(&shared.open).remove(&number);
                        shared.served.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Ok(Self { address, shared })
    }

    pub(super) fn set(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }

    /// Closes all connections.
    pub(super) fn hang_up(&self) {
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> Result<(), Failure> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            let Some(body) = request(&mut reader)? else { return Ok(()) };
            let message: Value = serde_json::from_slice(&body).unwrap_or_default();
            let mut reply = answer(&message, true).map_or(String::new(), |reply| reply.to_string());
            let mut head = "200 OK\r\nContent-Type: application/json";
            let mood = *lock(&self.mood);
            match mood {
                _ if message["method"] == "subscriptions/listen" => head = "404 Not Found",
                Mood::Well => {}
                Mood::Slow => pause(Duration::from_millis(150)),
                Mood::Silent => {
                    // Until its mood changes, or the gateway leaves.
                    while *lock(&self.mood) == Mood::Silent {
                        pause(Duration::from_millis(50));
                    }
                    return Ok(());
                }
                Mood::Status500 => (head, reply) = ("500 Internal Server Error", String::new()),
                Mood::Status429 => {
                    (head, reply) = ("429 Too Many Requests\r\nRetry-After: 1", String::new());
                }
                Mood::Away => return Ok(()),
            }
            if message.get("id").is_none() {
                (head, reply) = ("202 Accepted", String::new());
            }
            let length = reply.len();
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{reply}");
            let mut stream = stream;
            stream.write_all(answer.as_bytes())?;
        }
    }
}

/// The body of the next request; `None` at the end.
fn request(from: &mut impl BufRead) -> Result<Option<Vec<u8>>, Failure> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.take(BODY_MAX as u64).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    if length > BODY_MAX {
        return Err("a request over the cap".into());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
