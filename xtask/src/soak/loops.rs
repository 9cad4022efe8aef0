//! A child that crashes again and again, until the gateway leaves it alone; then it is well again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Visit;
use super::faults::health;
use super::load::Load;
use crate::Failure;
use crate::command::timed;
use crate::gateway::Gateway;
use crate::ledger::{Asker, End, Scope};
use crate::processes::{self, below, pause, until};

/// Its name in the gateway's configuration, and a tool of it.
pub(super) const NAME: &str = "loops";
const TOOL: &str = "loops__give";
/// How many starts a loop may take until it is left alone. Six attempts in a row fail, after one that was sound and perhaps one
/// that nobody called in time; each may start two: one that ends at the probe may be one that knows no probe.
const STARTS_MAX: usize = 16;
/// How soon it must be left alone, and how long after that it may take to be back: a minute of rest and the pauses around it.
const QUARANTINED_WITHIN: Duration = Duration::from_secs(60);
const BACK_WITHIN: Duration = Duration::from_secs(90);
/// The longest that a first quarantine may be.
const LEFT_ALONE_MAX: u64 = 60_000;
/// A child that lives so long was sound: what comes later is another loop, and not more of the same.
const SOUND_AFTER: Duration = Duration::from_secs(12);
/// How long a call of one that is left alone may take: it need not wait for anything.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// A loop takes about so long; none is begun that would not be over by the end of the faults.
const A_LOOP: Duration = Duration::from_secs(60);

/// Where it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    AtStart,
    InCall,
}

/// What a child that may loop knows of itself: a file that says where it crashes, and one with a byte for each start.
pub(super) struct Mind(PathBuf);

impl Mind {
    pub(super) fn new(file: &Path) -> Self {
        Self(file.to_owned())
    }

    fn counter(&self) -> PathBuf {
        self.0.with_extension("starts")
    }

    /// Makes it crash, or be well.
    fn set(&self, crash: Option<Crash>) -> Result<(), Failure> {
        let text = match crash {
            Some(Crash::AtStart) => "start",
            Some(Crash::InCall) => "call",
            None => "",
        };
        Ok(fs::write(&self.0, text)?)
    }

    pub(super) fn crashes(&self, at: Crash) -> bool {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text == if at == Crash::AtStart { "start" } else { "call" }
    }

    /// Counts a start.
    ///
    /// # Errors
    /// Fails where it cannot be written down.
    pub(super) fn started(&self) -> Result<(), Failure> {
        let mut counter = OpenOptions::new().append(true).create(true).open(self.counter())?;
        Ok(counter.write_all(b".")?)
    }

    fn starts(&self) -> usize {
        fs::metadata(self.counter()).map_or(0, |file| usize::try_from(file.len()).unwrap_or(0))
    }

    /// Begins anew: well, and never started.
    ///
    /// # Errors
    /// Fails where the files cannot be written.
    pub(super) fn clear(&self) -> Result<(), Failure> {
        fs::write(self.counter(), "")?;
        self.set(None)
    }
}

/// The one who has it crash, and looks at what the gateway makes of it.
pub(super) struct Loops<'a> {
    load: &'a Load,
    gateway: &'a Gateway,
    admin: std::net::SocketAddr,
    mind: Mind,
    told: Told,
}

/// What it came to.
#[derive(Debug, Default)]
struct Told {
    at_start: u64,
    in_call: u64,
    starts_most: usize,
    quarantined_after: Duration,
    refused_after: Duration,
    back_after: Duration,
}

impl<'a> Loops<'a> {
    pub(super) fn new(
        load: &'a Load,
        gateway: &'a Gateway,
        admin: std::net::SocketAddr,
        file: &Path,
    ) -> Self {
        Self { load, gateway, admin, mind: Mind::new(file), told: Told::default() }
    }

    /// Loop after loop until `end`, one at least; gives the figures.
    ///
    /// # Errors
    /// Fails where the gateway cannot be asked.
    pub(super) fn run(mut self, end: Duration) -> Result<Value, Failure> {
        for crash in [Crash::AtStart, Crash::InCall].into_iter().cycle() {
            self.one(crash)?;
            if self.load.is_stopped() || self.load.watch.elapsed() + A_LOOP > end {
                break;
            }
        }
        let Told { at_start, in_call, starts_most, .. } = self.told;
        let millis = |time: Duration| time.as_millis() as u64;
        Ok(json!({
            "atStart": at_start, "inCall": in_call, "startsMost": starts_most,
            "quarantinedAfterMs": millis(self.told.quarantined_after),
            "refusedAfterMs": millis(self.told.refused_after),
            "backAfterMs": millis(self.told.back_after),
        }))
    }

    fn one(&mut self, crash: Crash) -> Result<(), Failure> {
        let is_in_call = crash == Crash::InCall;
        *(if is_in_call { &mut self.told.in_call } else { &mut self.told.at_start }) += 1;
        let (steady, starts) = (self.load.steady(), self.mind.starts());
        self.mind.set(Some(crash))?;
        if let Some(process) = self.state()?["process_id"].as_u64() {
            // It crashes at its next start; or it does so in its next call by itself.
            if let (false, Ok(process)) = (is_in_call, u32::try_from(process)) {
                processes::kill(process);
            }
        }
        let (is_alone, took) = timed(|| {
            until(QUARANTINED_WITHIN, || {
                if is_in_call {
                    self.call();
                }
                self.state().is_ok_and(|state| state["health_status"] == "quarantined")
            })
        });
        let taken = self.mind.starts() - starts;
        if !is_alone {
            let state = self.state()?;
            self.wrong(&format!("{taken} starts, and it is not left alone: {state}"));
        } else if taken > STARTS_MAX {
            self.wrong(&format!("{taken} starts before it was left alone"));
        } else {
            self.told.starts_most = self.told.starts_most.max(taken);
            self.told.quarantined_after = self.told.quarantined_after.max(took);
            self.left_alone()?;
        }
        self.mind.set(None)?;
        let (is_back, took) = timed(|| {
            until(BACK_WITHIN, || {
                let is_healthy = |state: Value| state["health_status"] == "healthy";
                self.state().is_ok_and(is_healthy) && self.call()
            })
        });
        match is_back {
            true => self.told.back_after = self.told.back_after.max(took),
            false => self.wrong(&format!("it is well, and not back: {}", self.state()?)),
        }
        self.alone_in_it(steady);
        pause(SOUND_AFTER);
        Ok(())
    }

    /// What must be true while it is left alone: it says why and until when, it is refused at once, nothing of it is left, and
    /// none is started.
    fn left_alone(&mut self) -> Result<(), Failure> {
        let state = self.state()?;
        let is_told = state["reason"].as_str().is_some_and(|reason| !reason.is_empty())
            && state["retry_in_ms"].as_u64().is_some_and(|left| left <= LEFT_ALONE_MAX)
            && state["process_id"].is_null();
        if !is_told {
            self.wrong(&format!("it is left alone, and /health says {state}"));
        }
        let starts = self.mind.starts();
        for _ in 0..10 {
            let (answered, took) = timed(|| self.call());
            self.told.refused_after = self.told.refused_after.max(took);
            if answered || took > REFUSED_WITHIN {
                self.wrong(&format!("it is left alone: answered {answered} after {took:?}"));
            }
            pause(Duration::from_millis(500));
        }
        let file = self.mind.0.display().to_string();
        let left = below(self.gateway.id()).into_iter().find(|it| it.command.contains(&file));
        if let Some(process) = left {
            self.wrong(&format!("{} is there while it is left alone", process.id));
        }
        if self.mind.starts() != starts {
            self.wrong("it was started while it was left alone");
        }
        Ok(())
    }

    /// Nothing of it reached the server that is always well.
    fn alone_in_it(&self, before: (u64, u64)) {
        let (asked, failed) = self.load.steady();
        let (asked, failed) = (asked - before.0, failed - before.1);
        if failed > 0 || asked == 0 {
            self.wrong(&format!("meanwhile {failed} of {asked} calls failed of another server"));
        }
    }

    fn wrong(&self, what: &str) {
        self.load.ledger.wrong(format!("I7: {NAME}: {what}"));
    }

    /// What /health says of it.
    fn state(&self) -> Result<Value, Failure> {
        let health = health(self.admin)?;
        let mut servers = health["upstreams"].as_array().into_iter().flatten();
        let found = servers.find(|server| server["name"] == NAME).cloned();
        found.ok_or_else(|| format!("/health does not know {NAME}").into())
    }

    /// Calls it, as a client of its own; whether it answered.
    fn call(&self) -> bool {
        let asker = Asker { client: 1_001, principal: 0 };
        let called = || -> Result<bool, Failure> {
            let mut visit = Visit::http(self.gateway.address, true)?;
            let id = visit.next_id();
            let nonce = self.load.ledger.asks(asker, &id, Scope::Own);
            let ended = visit.call(&id, TOOL, &nonce)?;
            let end = ended.result.as_deref().map_or(End::Error, End::Answer);
            self.load.ledger.ends(asker, &ended.id, end);
            visit.end()?;
            Ok(ended.result.is_some())
        };
        called().unwrap_or_else(|failure| {
            self.wrong(&format!("a call of it has no end: {failure}"));
            false
        })
    }
}
