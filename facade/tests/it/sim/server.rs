//! A server that does everything wrong now and then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use toolweir::core::RawJson;

use super::World;
use crate::peer::dice::Dice;
use crate::peer::script::response;

/// How many calls it keeps unanswered; the oldest is answered beyond that.
const PENDING_MAX: usize = 400;

type Streams = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);

/// Streams to it, as often as it is started.
pub(super) fn streams(
    world: Arc<World>,
    dice: Dice,
    is_modern: bool,
) -> impl Fn() -> std::io::Result<Streams> {
    let lives = Mutex::new(0);
    move || {
        let mut lives = lives.lock().unwrap();
        *lives += 1;
        let (near, far) = tokio::io::duplex(64 << 10);
        let (input, output) = tokio::io::split(far);
        let server = SimServer {
            world: world.clone(),
            dice: dice.other(*lives),
            is_modern,
            output,
            pending: VecDeque::new(),
            done: VecDeque::new(),
        };
        tokio::spawn(server.live(BufReader::new(input).lines()));
        Ok(tokio::io::split(near))
    }
}

/// A call that waits for its answer: its id, and what is to come back.
type Pending = (String, String);

struct SimServer {
    world: Arc<World>,
    dice: Dice,
    is_modern: bool,
    output: WriteHalf<DuplexStream>,
    pending: VecDeque<Pending>,
    /// Calls that have had their answer.
    done: VecDeque<Pending>,
}

/// Nobody listens any more, or it has gone by itself.
struct Gone;

impl SimServer {
    async fn live(mut self, mut lines: Lines<BufReader<ReadHalf<DuplexStream>>>) {
        let mut acts = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            let gone = tokio::select! {
                biased;
                () = &mut acts => {
                    let pause = Duration::from_millis(self.dice.below(200) as u64);
                    acts.set(tokio::time::sleep(pause));
                    self.act().await
                }
                line = lines.next_line() => match line {
                    Ok(Some(line)) => self.hear(&line).await,
                    _ => return,
                },
            };
            if gone.is_err() {
                return;
            }
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Gone> {
        self.world.step();
        let line = format!("{text}\n");
        self.output.write_all(line.as_bytes()).await.map_err(|_| Gone)
    }

    async fn hear(&mut self, line: &str) -> Result<(), Gone> {
        self.world.step();
        let message = RawJson::new(line.to_owned()).unwrap();
        let member = |name| message.member(name).map(|it| it.to_json().as_str().to_owned());
        let (id, method) = (member("id"), member("method").unwrap_or_default());
        let Some(id) = id else { return Ok(()) };
        match &*method {
            r#""server/discover""# if self.is_modern => {
                let about = json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private" });
                self.say(&response(&id, &about.to_string())).await
            }
            r#""initialize""# => {
                let about = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                    "serverInfo": { "name": "sim", "version": "1" } });
                self.say(&response(&id, &about.to_string())).await
            }
            r#""tools/list""# => {
                let tool = |name: &str, reads: bool| {
                    json!({ "name": name, "inputSchema": { "type": "object" },
                            "annotations": { "readOnlyHint": reads } })
                };
                let tools = json!({ "tools": [tool("give", false), tool("read", true)],
                    "resultType": "complete", "ttlMs": 0, "cacheScope": "private" });
                self.say(&response(&id, &tools.to_string())).await
            }
            r#""tools/call""# => {
                let nonce = line.find("nonce:").map(|at| &line[at..]);
                let nonce = nonce.and_then(|it| it.split_inclusive(';').next()).unwrap_or_default();
                let result = json!({ "content": [{ "type": "text", "text": nonce }] }).to_string();
                self.pending.push_back((id, result));
                if self.pending.len() > PENDING_MAX { self.answer(0).await } else { Ok(()) }
            }
            r#""ping""# => self.say(&response(&id, "{}")).await,
            _ => {
                let error = r#"{"code":-32601,"message":"method not found"}"#;
                self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)).await
            }
        }
    }

    /// Answers the call that waits at this place.
    async fn answer(&mut self, at: usize) -> Result<(), Gone> {
        let Some((id, result)) = self.pending.remove(at) else { return Ok(()) };
        self.say(&response(&id, &result)).await?;
        self.done.push_back((id, result));
        if self.done.len() > 8 {
            self.done.pop_front();
        }
        Ok(())
    }

    /// Answers some of what waits, in any order, and does a few things besides.
    async fn act(&mut self) -> Result<(), Gone> {
        for _ in 0..self.dice.below(200) {
            if self.pending.is_empty() {
                break;
            }
            let at = self.dice.below(self.pending.len());
            self.answer(at).await?;
            if !self.world.is_healed() && self.dice.one_in(10) {
                self.misbehave().await?;
            }
        }
        Ok(())
    }

    async fn misbehave(&mut self) -> Result<(), Gone> {
        let again = self.done.get(self.dice.below(8)).cloned();
        let (id, result) = again.unwrap_or_else(|| ("77".to_owned(), "{}".to_owned()));
        let waiting = self.pending.get(self.dice.below(8)).map_or("78", |it| &*it.0).to_owned();
        match self.dice.below(120) {
            // An answer again, or what was another's under an id that nobody has.
            0..40 => self.say(&response(&id, &result)).await,
            40..50 => self.say(&response(&format!("9{id}99"), &result)).await,
            // Ids of calls that wait, in another's spelling.
            50..60 => self.say(&response(&format!("\"{waiting}\""), &result)).await,
            60..65 => self.say(&response(&format!("{waiting}.5"), &result)).await,
            65..70 => self.say(&response("null", &result)).await,
            70..80 => self.say("npm WARN deprecated").await,
            80..90 => {
                let params = format!(r#"{{"progressToken":{waiting},"progress":1}}"#);
                let method = r#""method":"notifications/progress""#;
                self.say(&format!(r#"{{"jsonrpc":"2.0",{method},"params":{params}}}"#)).await
            }
            90..100 => {
                // Both at once: to an answer belongs one of them.
                let error = r#"{"code":1,"message":"and yet"}"#;
                let text = response(&id, &result);
                self.say(&text.replace("\"result\"", &format!("\"error\":{error},\"result\"")))
                    .await
            }
            100..110 => {
                // One is never answered.
                self.pending.pop_front();
                Ok(())
            }
            110..119 => {
                let Some((id, _)) = self.pending.pop_front() else { return Ok(()) };
                let error = r#"{"code":-32000,"message":"not now"}"#;
                self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)).await
            }
            // Goes away in the middle of an answer.
            _ => {
                let text = response(&waiting, &result);
                let half = &text[..text.len() / 2];
                let _ = self.output.write_all(half.as_bytes()).await; // it goes in any case
                Err(Gone)
            }
        }
    }
}
