//! A gate in any order of events, against a model that predicts who is in, who waits, who is sent away, and the limit.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use toolweir_core::{Clock, Instant, Kind, Outcome, TokioClock};
use toolweir_ratelimit::{Gate, GateConfig, Place, Refusal};

use crate::ms;

const MAX_WAITING: usize = 4;
const MAX: u32 = 5;

/// Callers by number; those inside, those given a place that they have not seen, and the lines.
#[derive(Debug)]
struct Model {
    limit: f64,
    inside: Vec<usize>,
    given: Vec<usize>,
    lines: BTreeMap<u8, VecDeque<usize>>,
    turns: VecDeque<u8>,
    shrunk_at: Option<Instant>,
}

#[derive(Debug, PartialEq)]
enum Entered {
    In,
    Waits { pushed_out: Option<usize> },
    Refused,
}

impl Model {
    fn in_flight(&self) -> usize {
        self.inside.len() + self.given.len()
    }

    fn waiting(&self) -> usize {
        self.lines.values().map(VecDeque::len).sum()
    }

    fn line(&self, key: u8) -> usize {
        self.lines.get(&key).map_or(0, VecDeque::len)
    }

    fn enter(&mut self, caller: usize, key: u8) -> Entered {
        if self.in_flight() < self.limit as usize && self.waiting() == 0 {
            self.inside.push(caller);
            return Entered::In;
        }
        let mut pushed_out = None;
        if self.waiting() == MAX_WAITING {
            let longest = self.turns.iter().map(|key| self.line(*key)).max().unwrap_or(0);
            if longest <= self.line(key) + 1 {
                return Entered::Refused;
            }
            let victim = self.turns.iter().rev().find(|key| self.line(**key) == longest);
            let victim = *victim.expect("somebody has the longest line");
            pushed_out = self.lines.get_mut(&victim).and_then(VecDeque::pop_back);
        }
        if self.line(key) == 0 {
            self.turns.push_back(key);
        }
        self.lines.entry(key).or_default().push_back(caller);
        Entered::Waits { pushed_out }
    }

    /// One place is free, and the free places go round the lines.
    fn serve(&mut self) {
        while self.in_flight() < self.limit as usize {
            let Some(key) = self.turns.pop_front() else { return };
            let line = self.lines.get_mut(&key).expect("a key with a turn has a line");
            self.given.extend(line.pop_front());
            if line.is_empty() {
                self.lines.remove(&key);
            } else {
                self.turns.push_back(key);
            }
        }
    }

    fn leave(&mut self, caller: usize) {
        self.inside.retain(|other| *other != caller);
        self.given.retain(|other| *other != caller);
        self.serve();
    }

    fn settle(&mut self, caller: usize, well: bool, entered: Instant, now: Instant) {
        if !well {
            if self.shrunk_at.is_none_or(|shrunk_at| entered >= shrunk_at) {
                self.limit = (self.limit * 0.9).max(1.0);
                self.shrunk_at = Some(now);
            }
        } else if self.in_flight() >= self.limit as usize {
            self.limit = (self.limit + 1.0 / self.limit).min(f64::from(MAX));
        }
        self.leave(caller);
    }

    fn cancel(&mut self, caller: usize) {
        if self.given.contains(&caller) {
            return self.leave(caller);
        }
        for line in self.lines.values_mut() {
            line.retain(|other| *other != caller);
        }
        self.lines.retain(|_, line| !line.is_empty());
        let lines = &self.lines;
        self.turns.retain(|key| lines.contains_key(key));
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<Place<u8>, Refusal>>>>;

/// The real callers: those inside, and those who wait.
#[derive(Default)]
struct Callers {
    inside: BTreeMap<usize, Place<u8>>,
    waiting: BTreeMap<usize, Waiting>,
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u8),
    Try,
    Leave(usize),
    Settle(usize, bool),
    Cancel(usize),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..3).prop_map(Step::Enter),
        1 => Just(Step::Try),
        1 => (0_usize..8).prop_map(Step::Leave),
        3 => (0_usize..8, any::<bool>()).prop_map(|(caller, well)| Step::Settle(caller, well)),
        2 => (0_usize..8).prop_map(Step::Cancel),
        4 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..120)
}

fn busy(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Busy { .. })
}

fn poll(waiting: &mut Waiting) -> Poll<Result<Place<u8>, Refusal>> {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The `n`th of them, if there are any.
fn nth<T>(callers: &BTreeMap<usize, T>, n: usize) -> Option<usize> {
    let n = n.checked_rem(callers.len())?;
    callers.keys().nth(n).copied()
}

async fn check(adaptive: bool, script: Vec<Step>) -> Result<(), TestCaseError> {
    let config = GateConfig::default()
        .max_in_flight(MAX)
        .max_waiting(MAX_WAITING)
        .max_wait(ms(86_400_000))
        .adaptive(adaptive);
    let gate = Gate::<u8>::with_clock(&config, std::sync::Arc::new(TokioClock)).expect("valid");
    let mut model = Model {
        limit: f64::from(MAX),
        inside: Vec::new(),
        given: Vec::new(),
        lines: BTreeMap::new(),
        turns: VecDeque::new(),
        shrunk_at: None,
    };
    let mut callers = Callers::default();
    for (caller, step) in script.into_iter().enumerate() {
        tokio::time::advance(ms(1)).await;
        let now = TokioClock.now();
        match step {
            Step::Enter(key) => {
                let gate = gate.clone();
                let mut entering: Waiting = Box::pin(async move { gate.enter(&key).await });
                let expected = model.enter(caller, key);
                match poll(&mut entering) {
                    Poll::Ready(Ok(place)) => {
                        prop_assert_eq!(expected, Entered::In);
                        prop_assert_eq!(place.entered(), now);
                        callers.inside.insert(caller, place);
                    }
                    Poll::Ready(Err(refusal)) => {
                        prop_assert_eq!(expected, Entered::Refused);
                        prop_assert!(busy(refusal));
                    }
                    Poll::Pending => {
                        let Entered::Waits { pushed_out } = expected else {
                            return Err(TestCaseError::fail(format!("waits, but {expected:?}")));
                        };
                        callers.waiting.insert(caller, entering);
                        if let Some(pushed_out) = pushed_out {
                            let mut other = callers.waiting.remove(&pushed_out).expect("waits");
                            let told = poll(&mut other).map(|it| it.map(drop));
                            prop_assert!(
                                matches!(told, Poll::Ready(Err(refusal)) if busy(refusal))
                            );
                        }
                    }
                }
            }
            Step::Try => {
                let free = model.in_flight() < model.limit as usize && model.waiting() == 0;
                match gate.try_enter() {
                    Ok(place) => {
                        prop_assert!(free);
                        model.inside.push(caller);
                        callers.inside.insert(caller, place);
                    }
                    Err(refusal) => prop_assert!(!free && busy(refusal)),
                }
            }
            Step::Leave(n) => {
                if let Some(caller) = nth(&callers.inside, n) {
                    drop(callers.inside.remove(&caller));
                    model.leave(caller);
                }
            }
            Step::Settle(n, well) => {
                if let Some(caller) = nth(&callers.inside, n) {
                    let place = callers.inside.remove(&caller).expect("it is there");
                    let entered = place.entered();
                    let outcome =
                        if well { Outcome::OK } else { Outcome::Ambiguous(Kind::Timeout) };
                    place.settle(&outcome, now);
                    if adaptive {
                        model.settle(caller, well, entered, now);
                    } else {
                        model.leave(caller);
                    }
                }
            }
            Step::Cancel(n) => {
                if let Some(caller) = nth(&callers.waiting, n) {
                    drop(callers.waiting.remove(&caller));
                    model.cancel(caller);
                }
            }
            Step::Look => {
                let given = std::mem::take(&mut model.given);
                let looking: Vec<usize> = callers.waiting.keys().copied().collect();
                for caller in looking {
                    let mut waiting = callers.waiting.remove(&caller).expect("it waits");
                    match poll(&mut waiting) {
                        Poll::Ready(Ok(place)) => {
                            prop_assert!(given.contains(&caller), "{} has not been served", caller);
                            prop_assert_eq!(place.entered(), now);
                            callers.inside.insert(caller, place);
                        }
                        Poll::Ready(Err(refusal)) => {
                            return Err(TestCaseError::fail(format!("{caller}: {refusal}")));
                        }
                        Poll::Pending => {
                            prop_assert!(!given.contains(&caller), "{} has a place", caller);
                            callers.waiting.insert(caller, waiting);
                        }
                    }
                }
                model.inside.extend(given);
            }
        }
        prop_assert_eq!(gate.limit(), model.limit as usize);
        prop_assert_eq!(gate.in_flight(), model.in_flight());
        prop_assert_eq!(gate.waiting(), model.waiting());
    }
    drop(callers);
    prop_assert_eq!((gate.in_flight(), gate.waiting()), (0, 0), "at rest");
    Ok(())
}

proptest! {
    #[test]
    fn every_entry_and_every_wait_is_the_models(adaptive: bool, script in steps()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build()?;
        runtime.block_on(check(adaptive, script))?;
    }
}
