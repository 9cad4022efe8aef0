//! A server that misbehaves, as the bytes say, against the side that calls it: on paused time, with the ledger.
//!
//! Whatever it writes, every call ends by its deadline, none gets what belongs to another, and in the end, with the server
//! well again, every place is free and no task is left.
#![no_main]

#[path = "../../wire/tests/ledger/mod.rs"]
mod ledger;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use toolweir_core::{Call, Clock, RawJson, Server, TokioClock};
use toolweir_wire::{Limits, Options, StdioServer};

use self::ledger::{Asker, End, Ledger, Scope};

/// How many calls may be in flight.
const PLACES: usize = 4;
/// The longest line, in bytes.
const LINE_MAX: usize = 4_096;
const DEADLINE: Duration = Duration::from_secs(5);
/// How late a call may end, and how long a server that is well may take to be called again.
const LATE: Duration = Duration::from_millis(10);
const BACK: Duration = Duration::from_secs(1_200);
const ASKER: Asker = Asker { client: 0, principal: 0 };

fuzz_target!(|input: &[u8]| {
    let builder =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    builder.expect("a runtime without sockets can be made").block_on(run(input));
});

async fn run(input: &[u8]) {
    let Some((era, script)) = input.split_first() else { return };
    let script = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<u8>>()));
    let (is_modern, left) = (era % 2 == 1, script.clone());
    let open = move || {
        let (near, far) = tokio::io::duplex(8 << 10);
        let (reader, output) = tokio::io::split(far);
        let lines = BufReader::new(reader).lines();
        let peer = Peer {
            script: script.clone(),
            is_modern,
            output,
            lines,
            is_mid_line: false,
            waiting: Vec::new(),
            done: None,
        };
        tokio::spawn(peer.live());
        Ok(tokio::io::split(near))
    };
    let mut limits = Limits::default();
    (limits.in_flight, limits.message, limits.queue) = (PLACES, LINE_MAX, 16 << 10);
    let server = StdioServer::over("peer", open, Options::default().limits(limits));
    let ledger = Ledger::default();
    // As long as there is something to do wrong; each wave takes at least one byte of it, or time.
    for _ in 0..64 {
        if lock(&left).is_empty() {
            break;
        }
        wave(&server, &ledger).await;
    }
    lock(&left).clear();
    let well = TokioClock.now();
    while wave(&server, &ledger).await < PLACES {
        assert!(TokioClock.now() - well < BACK, "it is well, and is not called any more");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let closing = TokioClock.now() + DEADLINE;
    server.close(closing).await;
    assert!(TokioClock.now() <= closing + LATE);
    drop(server);
    // A peer that was left may be in the middle of its longest silence.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    ledger.at_rest("tasks", 0, tasks as u64);
    ledger.balances();
}

/// Calls as often as there are places, all at once; how many were answered well.
async fn wave(server: &StdioServer, ledger: &Ledger) -> usize {
    let call = async |number: usize| {
        let id = number.to_string();
        let nonce = ledger.asks(ASKER, &id, Scope::Own);
        let arguments = RawJson::new(format!(r#"{{"it":"{nonce}"}}"#)).expect("this is JSON");
        let deadline = TokioClock.now() + DEADLINE;
        let call = Call::tool("give", &arguments).expect("the arguments are an object");
        let result = server.call(&call.deadline(deadline)).await;
        assert!(TokioClock.now() <= deadline + LATE, "late: {result:?}");
        // A server may answer its own calls as it likes; what it may not have is another's answer taken for this one's.
        let text = result.as_ref().ok().map(|reply| reply.result.as_str());
        let text = text.filter(|text| text.contains("nonce:") && text.contains(';'));
        ledger.ends(ASKER, &id, text.map_or(End::Error, End::Answer));
        usize::from(text.is_some())
    };
    let (a, b, c, d) = tokio::join!(call(0), call(1), call(2), call(3));
    a + b + c + d
}

/// A call that waits: its id, and what it is to be answered with.
type Waiting = (String, String);

struct Peer {
    script: Arc<Mutex<VecDeque<u8>>>,
    is_modern: bool,
    output: WriteHalf<DuplexStream>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    /// What was written last did not end its line.
    is_mid_line: bool,
    waiting: Vec<Waiting>,
    /// The id that was answered last, in whole and on a line of its own.
    done: Option<String>,
}

/// It has gone, or nobody is there any more.
struct Gone;

impl Peer {
    async fn live(mut self) {
        while self.step().await.is_ok() {}
    }

    fn byte(&self) -> Option<u8> {
        lock(&self.script).pop_front()
    }

    async fn step(&mut self) -> Result<(), Gone> {
        if self.waiting.is_empty() {
            let line = self.lines.next_line().await.ok().flatten().ok_or(Gone)?;
            return self.hear(&line).await;
        }
        match self.byte() {
            Some(byte) => self.misbehave(byte).await,
            None => {
                // Well again; what it has half written ends here.
                self.write(b"\n").await?;
                while let Some((id, result)) = self.waiting.pop() {
                    self.say(&response(&id, &result)).await?;
                }
                Ok(())
            }
        }
    }

    async fn hear(&mut self, line: &str) -> Result<(), Gone> {
        let Ok(message) = RawJson::new(line.to_owned()) else { return Ok(()) };
        let member = |name| message.member(name).map(|it| it.to_json().as_str().to_owned());
        let (Some(id), Some(method)) = (member("id"), member("method")) else { return Ok(()) };
        let result = match &*method {
            r#""server/discover""# if self.is_modern => {
                r#"{"supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"private"}"#
            }
            r#""initialize""# => {
                r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"p","version":"1"}}"#
            }
            r#""tools/call""# => {
                let nonce = line.split("nonce:").nth(1).and_then(|rest| rest.split(';').next());
                let result = format!(r#"{{"text":"nonce:{};"}}"#, nonce.unwrap_or_default());
                self.waiting.push((id, result));
                return Ok(());
            }
            _ => {
                let error = r#"{"code":-32601,"message":"method not found"}"#;
                return self
                    .say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))
                    .await;
            }
        };
        self.say(&response(&id, result)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if let Some(last) = bytes.last() {
            self.is_mid_line = *last != b'\n';
        }
        self.output.write_all(bytes).await.map_err(|_| Gone)
    }

    async fn say(&mut self, text: &str) -> Result<(), Gone> {
        self.write(format!("{text}\n").as_bytes()).await
    }

    /// Takes one of those that wait.
    fn take(&mut self) -> Waiting {
        let at = usize::from(self.byte().unwrap_or_default()) % self.waiting.len();
        self.waiting.swap_remove(at)
    }

    /// Answers one that was taken; what stands behind half a line may never be read as an answer.
    async fn answer(&mut self, id: String, text: &str) -> Result<(), Gone> {
        let is_whole = !self.is_mid_line;
        self.say(text).await?;
        if is_whole {
            self.done = Some(id);
        }
        Ok(())
    }

    /// One that waits stands here, as `step` sees to.
    async fn misbehave(&mut self, byte: u8) -> Result<(), Gone> {
        let (first, result) = self.waiting[0].clone();
        match byte % 16 {
            0 => {
                // More of them, if they come.
                let more = tokio::time::timeout(Duration::from_millis(1), self.lines.next_line());
                match more.await {
                    Ok(Ok(Some(line))) => self.hear(&line).await,
                    Ok(_) => Err(Gone),
                    Err(_) => Ok(()),
                }
            }
            1 | 2 => {
                let (id, result) = self.take();
                let text = response(&id, &result);
                self.answer(id, &text).await
            }
            // Once more, and with what belongs to another.
            3 => match self.done.clone() {
                Some(id) => self.say(&response(&id, &result)).await,
                None => Ok(()),
            },
            4 => {
                let id = (1_u64 << 40) + u64::from(self.byte().unwrap_or_default());
                self.say(&response(&id.to_string(), &result)).await
            }
            5 => {
                // An id in another spelling is another id.
                let id = match self.byte().unwrap_or_default() % 4 {
                    0 => format!("\"{first}\""),
                    1 => format!("{first}.5"),
                    2 => format!("-{first}"),
                    _ => "null".to_owned(),
                };
                self.say(&response(&id, &result)).await
            }
            6 => {
                let (id, _) = self.take();
                let error = r#"{"code":-32000,"message":"not now"}"#;
                let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
                self.answer(id, &text).await
            }
            7 | 8 => {
                let count = usize::from(self.byte().unwrap_or_default());
                // A nonce ends with a semicolon: none is made up.
                let bytes = (0..count).map_while(|_| self.byte());
                let bytes: Vec<u8> = bytes.map(|it| if it == b';' { b',' } else { it }).collect();
                self.write(&bytes).await
            }
            9 => self.write(b"\n").await,
            10 => {
                let (id, result) = self.take();
                let text = response(&id, &result);
                let at = usize::from(self.byte().unwrap_or_default()) % text.len();
                // On a line of its own: inside of another's it would be that one's answer.
                self.write(b"\n").await?;
                self.write(&text.as_bytes()[..at]).await
            }
            11 => {
                let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
                let flood =
                    format!("{note}\n").repeat(usize::from(self.byte().unwrap_or_default()));
                self.write(flood.as_bytes()).await
            }
            12 => {
                let time = u64::from(self.byte().unwrap_or_default()) * 50;
                tokio::time::sleep(Duration::from_millis(time)).await;
                Ok(())
            }
            13 => Err(Gone),
            14 => {
                let (id, _) = self.take();
                self.say(&response(&id, &format!("\"{}\"", "x".repeat(LINE_MAX)))).await
            }
            _ => {
                let ask = format!(r#"{{"jsonrpc":"2.0","id":{first},"method":"ping"}}"#);
                self.say(&ask).await
            }
        }
    }
}

fn response(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
