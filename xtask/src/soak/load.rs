//! What clients do all the time, and what they see of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::Visit;
use crate::Failure;
use crate::command::{Watch, timed};
use crate::dice::Dice;
use crate::ledger::{Asker, End, Goodput, Ledger, Scope};
use crate::processes::pause;

/// How many latencies of the server that is always well are kept; what comes later replaces one of them.
const LATENCIES_MAX: usize = 100_000;

/// What all clients share.
pub(super) struct Load {
    pub(super) ledger: Ledger,
    pub(super) watch: Watch,
    pub(super) goodput: Mutex<Goodput>,
    latencies: Mutex<Latencies>,
    stop: AtomicBool,
    /// Those who are to leave in the middle of a call, over HTTP and over stdio.
    leavers: [Leavers; 2],
    /// Counts the calls of the server that is always well, and those of them that failed.
    steady: [AtomicU64; 2],
    troubles: Mutex<Vec<String>>,
}

/// How many are to leave in the middle of a call; one at a time takes it.
#[derive(Default)]
struct Leavers {
    wanted: AtomicU64,
    /// How many did.
    left: AtomicU64,
}

/// Of calls of the server that is always well: when each was made, and how long it took.
#[derive(Default)]
struct Latencies {
    all: Vec<(Duration, Duration)>,
    seen: usize,
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            ledger: Ledger::default(),
            watch: Watch::start(),
            goodput: Mutex::new(Goodput::new(Duration::from_secs(1))),
            latencies: Mutex::default(),
            stop: AtomicBool::new(false),
            leavers: Default::default(),
            steady: Default::default(),
            troubles: Mutex::default(),
        }
    }

    /// Ends all clients once they have ended their calls.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Makes one client leave in the middle of a call: one over stdio, or over HTTP.
    pub(super) fn drop_one(&self, is_stdio: bool) {
        self.leavers[usize::from(is_stdio)].wanted.fetch_add(1, Ordering::SeqCst);
    }

    /// How many left in the middle of a call, over HTTP and over stdio.
    pub(super) fn left(&self) -> [u64; 2] {
        [0, 1].map(|way: usize| self.leavers[way].left.load(Ordering::SeqCst))
    }

    /// How many calls of the server that is always well have ended, and how many of them failed.
    pub(super) fn steady(&self) -> (u64, u64) {
        let [ended, failed] = [0, 1].map(|at: usize| self.steady[at].load(Ordering::SeqCst));
        (ended, failed)
    }

    fn must_leave(&self, is_stdio: bool) -> bool {
        let take = |count: u64| count.checked_sub(1);
        let wanted = &self.leavers[usize::from(is_stdio)].wanted;
        wanted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    /// What clients could not do at all, in words; the first of it.
    pub(super) fn troubles(&self) -> Vec<String> {
        lock(&self.troubles).clone()
    }

    fn trouble(&self, text: String) {
        let mut troubles = lock(&self.troubles);
        if troubles.len() < 20 {
            troubles.push(text);
        }
    }

    /// The latencies of calls that were made in this time, the shortest first.
    pub(super) fn latencies(&self, from: Duration, to: Duration) -> Vec<Duration> {
        let latencies = lock(&self.latencies);
        let within = |(at, _): &&(Duration, Duration)| (from..to).contains(at);
        let mut found: Vec<_> = latencies.all.iter().filter(within).map(|it| it.1).collect();
        found.sort_unstable();
        found
    }

    fn record(
        &self,
        dice: &mut Dice,
        at: Duration,
        took: Duration,
        is_steady: bool,
        is_good: bool,
    ) {
        lock(&self.goodput).record(at, is_good);
        if !is_steady || !is_good {
            return;
        }
        let mut latencies = lock(&self.latencies);
        latencies.seen += 1;
        if latencies.all.len() < LATENCIES_MAX {
            latencies.all.push((at, took));
        } else {
            let place = dice.below(latencies.seen);
            if let Some(kept) = latencies.all.get_mut(place) {
                *kept = (at, took);
            }
        }
    }

    /// A client's life: visits, each of many calls.
    pub(super) fn live(
        &self,
        asker: Asker,
        mut dice: Dice,
        mut come: impl FnMut() -> Result<Visit, Failure>,
    ) {
        let mut visit = None;
        while !self.is_stopped() {
            let mut here: Visit = match visit.take().map_or_else(&mut come, Ok) {
                Ok(visit) => visit,
                Err(failure) => {
                    self.trouble(format!("a client cannot come: {failure}"));
                    self.ledger.wrong(format!("a client cannot come: {failure}"));
                    pause(Duration::from_millis(500));
                    continue;
                }
            };
            let is_stdio = here.is_stdio();
            if self.must_leave(is_stdio) {
                let id = here.next_id();
                let nonce = self.ledger.asks(asker, &id, Scope::Own);
                match here.call_and_leave(&id, "steady__slow", &nonce) {
                    Ok(()) => {
                        self.leavers[usize::from(is_stdio)].left.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(failure) => self.trouble(format!("a client that leaves: {failure}")),
                }
                self.ledger.leaves(asker);
                continue;
            }
            match self.call(&mut here, asker, &mut dice) {
                Ok(()) => visit = Some(here),
                // What it asked has no end: the ledger tells.
                Err(failure) => self.trouble(format!("{asker:?}: {failure}")),
            }
            pause(Duration::from_micros(dice.below(20_000) as u64));
        }
        if let Some(visit) = visit
            && let Err(failure) = visit.end()
        {
            self.ledger.wrong(format!("a client that ends: {failure}"));
        }
    }

    fn call(&self, visit: &mut Visit, asker: Asker, dice: &mut Dice) -> Result<(), Failure> {
        const TOOLS: [(&str, Scope); 8] = [
            ("steady__give", Scope::Own),
            ("steady__give", Scope::Own),
            ("steady__read", Scope::Private),
            ("steady__large", Scope::Own),
            ("child__give", Scope::Own),
            ("child__read", Scope::Private),
            ("web__give", Scope::Own),
            ("web__read", Scope::Private),
        ];
        let (tool, scope) = TOOLS[dice.below(TOOLS.len())];
        let id = visit.next_id();
        let nonce = self.ledger.asks(asker, &id, scope);
        let at = self.watch.elapsed();
        let (ended, took) = timed(|| visit.call(&id, tool, &nonce));
        let ended = ended?;
        let end = ended.result.as_deref().map_or(End::Error, End::Answer);
        self.ledger.ends(asker, &ended.id, end);
        let is_good = ended.result.is_some();
        if tool.starts_with("steady__") {
            self.steady[0].fetch_add(1, Ordering::SeqCst);
            self.steady[1].fetch_add(u64::from(!is_good), Ordering::SeqCst);
        }
        self.record(dice, at, took, tool == "steady__give", is_good);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
