//! A client that counts its ids from 0, cancels, leaves, and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::task::JoinHandle;
use toolweir::core::RawJson;
use toolweir::wire::{Service, serve_stdio};

use super::{HEALED, SERVERS, TIMEOUT, World};
use crate::fidelity::{INITIALIZE, INITIALIZED, RESERVED};
use crate::ledger::{Asker, End, Scope};
use crate::peer::dice::Dice;

/// How many calls it has open at once.
const WINDOW: usize = 4;

pub(super) struct Client {
    world: Arc<World>,
    service: Service,
    asker: Asker,
    dice: Dice,
    is_modern: bool,
}

/// From coming to leaving.
struct Visit {
    reader: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
    serving: JoinHandle<()>,
    next_id: u64,
    /// Ids, and when they were asked.
    open: Vec<(String, Duration)>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Client {
    pub(super) fn new(world: Arc<World>, service: Service, asker: Asker, dice: Dice) -> Self {
        let is_modern = asker.client % 2 == 1;
        Self { world, service, asker, dice, is_modern }
    }

    pub(super) async fn live(mut self) {
        let mut visit = self.come().await;
        let mut until = Duration::MAX;
        while self.world.now() < until {
            if self.world.is_healed() && until == Duration::MAX {
                until = self.world.now() + HEALED;
            }
            let pause = Duration::from_millis(100 + self.dice.below(1_800) as u64);
            match tokio::time::timeout(pause, visit.reader.next_line()).await {
                Ok(line) => self.hear(&mut visit, line.unwrap().as_deref()),
                Err(_) if self.dice.one_in(500) => {
                    drop(visit);
                    self.world.ledger.leaves(self.asker);
                    visit = self.come().await;
                }
                Err(_) => self.act(&mut visit).await,
            }
        }
        // What it has open ends in time.
        while !visit.open.is_empty() {
            let next = tokio::time::timeout(2 * TIMEOUT, visit.reader.next_line()).await;
            let Ok(line) = next else { return }; // the ledger tells what never ended
            self.hear(&mut visit, line.unwrap().as_deref());
        }
    }

    async fn come(&mut self) -> Visit {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (input, output) = tokio::io::split(far);
        let service = self.service.clone();
        let serving = tokio::spawn(async move { drop(serve_stdio(service, input, output).await) });
        let (reader, writer) = tokio::io::split(near);
        let reader = BufReader::new(reader).lines();
        let mut visit = Visit { reader, writer, serving, next_id: 0, open: Vec::new() };
        if !self.is_modern {
            visit.send(INITIALIZE).await;
            visit.reader.next_line().await.unwrap().unwrap();
            visit.send(INITIALIZED).await;
        }
        visit
    }

    async fn act(&mut self, visit: &mut Visit) {
        if !visit.open.is_empty() && self.dice.one_in(40) {
            let (id, _) = visit.open.swap_remove(self.dice.below(visit.open.len()));
            self.world.step();
            self.world.ledger.cancels(self.asker, &id);
            let params = format!(r#"{{"requestId":{id}}}"#);
            let method = r#""method":"notifications/cancelled""#;
            visit.send(&format!(r#"{{"jsonrpc":"2.0",{method},"params":{params}}}"#)).await;
        }
        while visit.open.len() < WINDOW && !self.dice.one_in(3) {
            // Now and then under an id that it has open already.
            let id = match visit.open.last() {
                Some((open, _)) if self.dice.one_in(200) => open.clone(),
                _ => {
                    visit.next_id += 1;
                    (visit.next_id - 1).to_string()
                }
            };
            self.ask(visit, id).await;
        }
    }

    async fn ask(&mut self, visit: &mut Visit, id: String) {
        let server = SERVERS[self.dice.below(SERVERS.len())];
        let is_read = self.dice.one_in(4);
        let scope = if is_read { Scope::Private } else { Scope::Own };
        let nonce = self.world.ledger.asks(self.asker, &id, scope);
        let meta = if self.is_modern { format!(",{RESERVED}") } else { String::new() };
        let params = match is_read {
            // What is asked is alike; only `_meta` differs, by which nothing is kept apart.
            true => format!(
                r#"{{"name":"{server}__read","arguments":{{"key":{}}},"_meta":{{"mine":"{nonce}"{meta}}}}}"#,
                self.dice.below(20)
            ),
            false => format!(
                r#"{{"name":"{server}__give","arguments":{{"it":"{nonce}"}},"_meta":{{"x":1{meta}}}}}"#
            ),
        };
        self.world.step();
        visit.open.push((id.clone(), self.world.now()));
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
        visit.send(&call).await;
    }

    fn hear(&self, visit: &mut Visit, line: Option<&str>) {
        let text = line.expect("the gateway does not leave first");
        self.world.step();
        let message = RawJson::new(text.to_owned()).unwrap();
        if message.member("method").is_some() {
            return;
        }
        let id = message.member("id").unwrap().to_json().as_str().to_owned();
        let result = message.member("result").map(|result| result.to_json());
        let end = result.as_ref().map_or(End::Error, |result| End::Answer(result.as_str()));
        self.world.ledger.ends(self.asker, &id, end);
        if let Some(at) = visit.open.iter().position(|(open, _)| *open == id) {
            let (_, asked) = visit.open.remove(at);
            self.world.ended(asked, result.is_some());
        }
    }
}

impl Visit {
    async fn send(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
}
