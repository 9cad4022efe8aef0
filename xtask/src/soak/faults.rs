//! What goes wrong, one thing after the other, as the dice say.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Visit;
use super::load::Load;
use super::loops;
use super::server::{Mood, Web};
use crate::Failure;
use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::http;
use crate::ledger::{Asker, End, Scope};
use crate::processes::{self, pause};

/// How long the gateway's admin listener may take.
const ADMIN: Duration = Duration::from_secs(5);
/// A child that is lost sooner than this after another loss is in a crash loop for the gateway, which leaves it alone for
/// longer each time: that is as it should be, and not what is tried here.
const LOSSES_APART: Duration = Duration::from_secs(12);
/// How many of the kinds lose the child.
const LOSSES: usize = 2;
/// How many connections a flood has.
const FLOOD: usize = 60;

const LEAVING: &str = "clients leave in a call";

/// What is done for a kind; the first of them lose the child.
type Deed = fn(&mut Faults<'_>) -> Result<(), Failure>;

const DEEDS: [(&str, Deed); 12] = [
    ("kill a child", |it| it.kill_a_child()),
    ("crash in a call", |it| it.misbehave("child__crash")),
    ("hang", |it| it.misbehave("child__hang")),
    ("flood of progress and noise", |it| it.misbehave("child__flood")),
    ("storm of list changes", |it| it.misbehave("child__storm")),
    ("HTTP server silent", |it| it.mood(Mood::Silent)),
    ("HTTP server slow", |it| it.mood(Mood::Slow)),
    ("HTTP status 500", |it| it.mood(Mood::Status500)),
    ("HTTP status 429", |it| it.mood(Mood::Status429)),
    ("HTTP server away", |it| it.mood(Mood::Away)),
    (LEAVING, |it| it.drop_clients()),
    ("flood of connections", |it| it.connections()),
];

/// The one who does it.
pub(super) struct Faults<'a> {
    pub(super) load: &'a Load,
    pub(super) gateway: &'a Gateway,
    pub(super) admin: SocketAddr,
    pub(super) web: &'a Web,
    pub(super) config: &'a Config,
    pub(super) dice: Dice,
    /// How often each kind was done.
    pub(super) done: [u64; DEEDS.len()],
    pub(super) reloads: u64,
    /// When the child was lost.
    pub(super) lost: Option<Duration>,
}

impl Faults<'_> {
    /// The kinds by their names, with how often each was done.
    pub(super) fn told(&self) -> Vec<(&'static str, u64)> {
        DEEDS.iter().zip(self.done).map(|((name, _), count)| (*name, count)).collect()
    }

    /// Does one, and now and then gives the gateway another configuration; all is well afterwards.
    ///
    /// # Errors
    /// Fails where it could not be done.
    pub(super) fn strike(&mut self) -> Result<(), Failure> {
        let now = self.load.watch.elapsed();
        let is_soon = self.lost.is_some_and(|lost| now < lost + LOSSES_APART);
        let first = if is_soon { LOSSES } else { 0 };
        let kind = first + self.dice.below(DEEDS.len() - first);
        if kind < LOSSES {
            self.lost = Some(now);
        }
        self.perform(kind)?;
        self.web.set(Mood::Well);
        if self.dice.one_in(3) {
            self.reload()?;
        }
        pause(Duration::from_millis(300 + self.dice.below(1_500) as u64));
        Ok(())
    }

    /// Has clients leave in the middle of their calls.
    ///
    /// # Errors
    /// As [`strike`](Self::strike).
    pub(super) fn leave(&mut self) -> Result<(), Failure> {
        let kind = DEEDS.iter().position(|(name, _)| *name == LEAVING);
        self.perform(kind.expect("it is one of the kinds"))
    }

    fn perform(&mut self, kind: usize) -> Result<(), Failure> {
        self.done[kind] += 1;
        (DEEDS[kind].1)(self)
    }

    fn kill_a_child(&mut self) -> Result<(), Failure> {
        let health = health(self.admin)?;
        let child = health["upstreams"].as_array().into_iter().flatten();
        let child = child.filter(|server| server["name"] == "child");
        let id = child.filter_map(|server| server["process_id"].as_u64()).next();
        if let Some(id) = id.and_then(|id| u32::try_from(id).ok()) {
            processes::kill(id);
        }
        Ok(())
    }

    /// A call of a tool that does harm, by a client of its own.
    fn misbehave(&mut self, tool: &str) -> Result<(), Failure> {
        let asker = Asker { client: 1_000, principal: 0 };
        let mut visit = Visit::http(self.gateway.address, self.dice.one_in(2))?;
        let id = visit.next_id();
        let nonce = self.load.ledger.asks(asker, &id, Scope::Own);
        let ended = visit.call(&id, tool, &nonce)?;
        let end = ended.result.as_deref().map_or(End::Error, End::Answer);
        self.load.ledger.ends(asker, &ended.id, end);
        visit.end()
    }

    fn mood(&mut self, mood: Mood) -> Result<(), Failure> {
        self.web.set(mood);
        pause(Duration::from_millis(300 + self.dice.below(1_500) as u64));
        Ok(())
    }

    fn drop_clients(&mut self) -> Result<(), Failure> {
        [false, false, true].into_iter().for_each(|is_stdio| self.load.drop_one(is_stdio));
        Ok(())
    }

    /// Many who connect and say half of a request.
    fn connections(&mut self) -> Result<(), Failure> {
        let connections: Result<Vec<TcpStream>, _> =
            (0..FLOOD).map(|_| TcpStream::connect(self.gateway.address)).collect();
        for mut connection in connections? {
            let _ = connection.write_all(b"POST /mcp HTTP/1.1\r\nHost: loc"); // refused is as well
        }
        Ok(())
    }

    /// Another configuration, or one that is broken.
    fn reload(&mut self) -> Result<(), Failure> {
        self.reloads += 1;
        match self.dice.below(4) {
            0 => self.config.break_it()?,
            which => self.config.write(which == 1, super::TIMEOUT + self.dice.below(5) as u64)?,
        }
        pause(Duration::from_millis(300));
        Ok(())
    }
}

/// What the gateway tells of itself.
///
/// # Errors
/// Fails where it tells nothing.
pub(super) fn health(admin: SocketAddr) -> Result<Value, Failure> {
    Ok(serde_json::from_str(&http::request(admin, "GET /health", &[], "", ADMIN)?.body)?)
}

/// How many calls its metrics hold to have begun and not ended.
///
/// # Errors
/// Fails where it tells nothing.
pub(super) fn in_flight(admin: SocketAddr) -> Result<u64, Failure> {
    let text = http::request(admin, "GET /metrics", &[], "", ADMIN)?.body;
    let gauges = text.lines().filter(|line| line.starts_with("toolweir_upstream_inflight{"));
    let values = gauges.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(values.sum())
}

/// The gateway's configuration, as a file that is written again and again.
pub(super) struct Config {
    pub(super) file: PathBuf,
    /// The same, but never broken: for gateways that are started in between.
    pub(super) whole: PathBuf,
    /// What the child that crashes again and again is told by.
    pub(super) loops: PathBuf,
    web: SocketAddr,
    program: PathBuf,
}

impl Config {
    /// One in `folder`.
    ///
    /// # Errors
    /// Fails where this program is not known.
    pub(super) fn new(folder: &Path, web: SocketAddr) -> Result<Self, Failure> {
        let (file, whole) = (folder.join("toolweir.json"), folder.join("whole.json"));
        let loops = folder.join("loops");
        Ok(Self { file, whole, loops, web, program: std::env::current_exe()? })
    }

    /// Writes it, whole at once: with another server or without, and with this deadline for all calls.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub(super) fn write(&self, with_extra: bool, timeout: u64) -> Result<(), Failure> {
        let child = |era: &str| json!({ "command": self.program, "args": ["soak-server", era], "trusted": true });
        let mut servers = json!({
            "steady": child("modern"),
            "child": child("legacy"),
            "web": { "url": format!("http://{}/mcp", self.web), "trusted": true },
        });
        if with_extra {
            servers["extra"] = child("legacy");
        }
        // A breaker soon tries again, so that there is something to see.
        let settings = json!({
            "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "stateDir": false, "timeoutMs": timeout,
            "breaker": { "cooldownMs": 1_000 }, "cache": { "ttlMs": 500 },
        });
        let text = json!({ "mcpServers": servers, "toolweir": settings }).to_string();
        replace(&self.whole, &text)?;
        // What crashes is counted: it has one gateway alone.
        servers[loops::NAME] =
            json!({ "command": self.program, "args": ["soak-server", "legacy", self.loops] });
        let text = json!({ "mcpServers": servers, "toolweir": settings }).to_string();
        replace(&self.file, &text)
    }

    /// Writes half of something.
    fn break_it(&self) -> Result<(), Failure> {
        replace(&self.file, r#"{ "mcpServers": { "steady": { "command": "#)
    }
}

fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(&new, file)?)
}
