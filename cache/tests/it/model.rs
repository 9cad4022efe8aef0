//! Random scripts against a model that predicts every answer.
//!
//! Calls are polled by hand and fetches end when the script says so, so every interleaving of one thread can occur.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use toolweir_cache::{Cache, Config, Failure, Found};
use toolweir_core::{Error, Freshness, Kind, ManualClock};

use crate::support::MS;

type Key = usize;
const GROUPS: [&str; 2] = ["g0", "g1"];
const MAX_WAITERS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Value,
    Outage,
    Lasting,
    Forbidden,
    Panic,
}

#[derive(Clone, Debug)]
enum Op {
    Call {
        key: Key,
        group: usize,
        ttl: u32,
    },
    /// Polls the call of this number among those that wait.
    Poll(usize),
    Cancel(usize),
    /// Ends the fetch of this number among those that run.
    End(usize, End),
    Advance(u32),
    Insert {
        key: Key,
        group: usize,
        ttl: u32,
    },
    Get(Key),
    Stale(Key),
    Remove(Key),
    Invalidate(usize),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let (key, group) = (0..2usize, 0..2usize);
    let ttl = prop_oneof![1 => Just(0u32), 4 => Just(10), 4 => Just(25)];
    let end = prop_oneof![
        5 => Just(End::Value),
        2 => Just(End::Outage),
        1 => Just(End::Lasting),
        1 => Just(End::Forbidden),
        1 => Just(End::Panic),
    ];
    prop_oneof![
        8 => (key.clone(), group.clone(), ttl.clone()).prop_map(|(key, group, ttl)| Op::Call { key, group, ttl }),
        8 => (0..8usize).prop_map(Op::Poll),
        2 => (0..8usize).prop_map(Op::Cancel),
        6 => (0..4usize, end).prop_map(|(fetch, end)| Op::End(fetch, end)),
        4 => (1..15u32).prop_map(Op::Advance),
        2 => (key.clone(), group.clone(), ttl).prop_map(|(key, group, ttl)| Op::Insert { key, group, ttl }),
        3 => key.clone().prop_map(Op::Get),
        2 => key.clone().prop_map(Op::Stale),
        1 => key.prop_map(Op::Remove),
        1 => group.prop_map(Op::Invalidate),
        1 => Just(Op::Clear),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Found(u64, Freshness),
    Failed(End),
    Refused,
}

// ---- the model -------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
struct Stored {
    result: Result<u64, End>,
    expires: u32,
    group: usize,
}

#[derive(Debug)]
struct Fetch {
    key: Key,
    group: usize,
    ttl: u32,
    /// Nothing was invalidated since it began: it may be joined, and stored.
    current: bool,
    end: Option<End>,
    landed: bool,
    dropped: bool,
    waiters: usize,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    fetch: usize,
    leads: bool,
    old: Option<u64>,
    key: Key,
}

struct Model {
    config: Config,
    now: u32,
    stored: HashMap<Key, Stored>,
    fetches: Vec<Fetch>,
}

impl Model {
    fn window(&self, window: std::time::Duration) -> u32 {
        window.as_millis() as u32
    }

    fn old(&self, key: Key, window: std::time::Duration) -> Option<u64> {
        let stored = self.stored.get(&key)?;
        let past = self.now.checked_sub(stored.expires)?;
        stored.result.ok().filter(|_| past < self.window(window))
    }

    fn fresh(&self, key: Key) -> Option<Result<u64, End>> {
        self.stored.get(&key).filter(|stored| self.now < stored.expires).map(|s| s.result)
    }

    fn stand_in(&self, key: Key, failed: Answer, end: End) -> Answer {
        let outage = matches!(end, End::Outage | End::Panic);
        match self.old(key, self.config.stale_if_error).filter(|_| outage) {
            Some(old) => Answer::Found(old, Freshness::Stale),
            None => failed,
        }
    }

    fn call(&mut self, key: Key, group: usize, ttl: u32) -> Result<Answer, Wait> {
        match self.fresh(key) {
            Some(Ok(value)) => return Ok(Answer::Found(value, Freshness::Cached)),
            Some(Err(end)) => return Ok(Answer::Failed(end)),
            None => {}
        }
        let old = self.old(key, self.config.stale_while_revalidate);
        let running = self
            .fetches
            .iter()
            .position(|fetch| fetch.key == key && fetch.current && !fetch.landed && !fetch.dropped);
        match (running, old) {
            (Some(_), Some(old)) => Ok(Answer::Found(old, Freshness::Stale)),
            (Some(fetch), None) if self.fetches[fetch].waiters == MAX_WAITERS => {
                Ok(self.stand_in(key, Answer::Refused, End::Outage))
            }
            (Some(fetch), None) => {
                self.fetches[fetch].waiters += 1;
                Err(Wait { fetch, leads: false, old: None, key })
            }
            (None, old) => {
                let new = Fetch {
                    key,
                    group,
                    ttl,
                    current: true,
                    end: None,
                    landed: false,
                    dropped: false,
                    waiters: 1,
                };
                self.fetches.push(new);
                Err(Wait { fetch: self.fetches.len() - 1, leads: true, old, key })
            }
        }
    }

    fn poll(&mut self, wait: Wait) -> Option<Answer> {
        let end = self.fetches[wait.fetch].end?;
        self.land(wait.fetch);
        self.fetches[wait.fetch].waiters -= 1;
        let value = wait.fetch as u64;
        Some(match end {
            End::Value if wait.leads => Answer::Found(value, Freshness::Fetched),
            End::Value => Answer::Found(value, Freshness::Coalesced),
            End::Outage | End::Panic if wait.old.is_some() => {
                Answer::Found(wait.old.unwrap_or_default(), Freshness::Stale)
            }
            end if wait.old.is_some() => Answer::Failed(end),
            end => self.stand_in(wait.key, Answer::Failed(end), end),
        })
    }

    fn land(&mut self, index: usize) {
        let negative = self.window(self.config.negative_ttl);
        let fetch = &mut self.fetches[index];
        if fetch.landed {
            return;
        }
        fetch.landed = true;
        let (key, group, current) = (fetch.key, fetch.group, fetch.current);
        let (result, ttl) = match fetch.end {
            Some(End::Value) => (Ok(index as u64), fetch.ttl),
            Some(End::Lasting) if negative > 0 => (Err(End::Lasting), negative),
            Some(End::Forbidden) => return self.remove(key),
            _ => return,
        };
        if current {
            self.keep(key, group, result, ttl);
        }
    }

    fn keep(&mut self, key: Key, group: usize, result: Result<u64, End>, ttl: u32) {
        if ttl == 0 {
            self.stored.remove(&key);
        } else {
            self.stored.insert(key, Stored { result, expires: self.now + ttl, group });
        }
    }

    fn cancel(&mut self, wait: Wait) {
        let fetch = &mut self.fetches[wait.fetch];
        fetch.waiters -= 1;
        fetch.dropped |= fetch.waiters == 0 && !fetch.landed;
    }

    fn remove(&mut self, key: Key) {
        self.stored.remove(&key);
        self.outdate(|fetch| fetch.key == key);
    }

    fn outdate(&mut self, which: impl Fn(&Fetch) -> bool) {
        self.fetches.iter_mut().filter(|fetch| which(fetch)).for_each(|f| f.current = false);
    }
}

// ---- the real thing --------------------------------------------------------------------------------------------

/// A fetch that ends when it is told to.
#[derive(Clone, Default)]
struct Control(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    end: Option<End>,
    waker: Option<Waker>,
    began: bool,
    dropped: bool,
}

struct DropTells(Control);

impl Drop for DropTells {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().dropped = true;
    }
}

impl Control {
    fn tell(&self, end: End) {
        let waker = {
            let mut told = self.0.lock().unwrap();
            told.end = Some(end);
            told.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn fetch(self, value: u64) -> Result<u64, Error> {
        let _tells = DropTells(self.clone());
        self.0.lock().unwrap().began = true;
        let end = poll_fn(|context| {
            let mut told = self.0.lock().unwrap();
            told.waker = Some(context.waker().clone());
            told.end.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        match end {
            End::Value => Ok(value),
            End::Outage => Err(Kind::Unreachable.into()),
            End::Lasting => Err(Kind::NotFound.into()),
            End::Forbidden => Err(Kind::Status { status: 403 }.into()),
            End::Panic => resume_unwind(Box::new("told to")),
        }
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Found<u64>, Failure>>>>;

struct Call {
    running: Running,
    woken: Arc<Flag>,
    wait: Wait,
}

impl Call {
    fn poll(running: &mut Running, woken: &Arc<Flag>) -> Option<Answer> {
        woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(woken.clone());
        match running.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(result) => Some(answer(result)),
        }
    }
}

fn answer(result: Result<Found<u64>, Failure>) -> Answer {
    let failure = match result {
        Ok(found) => return Answer::Found(found.value, found.freshness),
        Err(failure) => failure,
    };
    match failure {
        Failure::Panicked => Answer::Failed(End::Panic),
        Failure::Overloaded => Answer::Refused,
        failure => Answer::Failed(match Error::from(failure).kind() {
            Kind::Unreachable => End::Outage,
            Kind::NotFound => End::Lasting,
            _ => End::Forbidden,
        }),
    }
}

fn run(config: Config, script: Vec<Op>) -> Result<(), TestCaseError> {
    let clock = Arc::new(ManualClock::new());
    let cache: Cache<Key, u64> =
        Cache::builder(config.clone()).clock(clock.clone()).build().unwrap();
    let mut model = Model { config, now: 0, stored: HashMap::new(), fetches: Vec::new() };
    let mut controls: Vec<Control> = Vec::new();
    let mut calls: Vec<Call> = Vec::new();
    for (step, op) in script.into_iter().enumerate() {
        match op {
            Op::Call { key, group, ttl } => {
                let control = Control::default();
                let value = model.fetches.len() as u64;
                let expected = model.call(key, group, ttl);
                let mut running: Running = {
                    let (cache, control) = (cache.clone(), control.clone());
                    Box::pin(async move {
                        let entry = cache.entry(key).group(GROUPS[group]).ttl(ttl * MS);
                        entry.fetch(control.fetch(value)).await
                    })
                };
                let woken = Arc::<Flag>::default();
                let got = Call::poll(&mut running, &woken);
                match expected {
                    Ok(expected) => prop_assert_eq!(got, Some(expected), "step {}", step),
                    Err(mut wait) => {
                        let led = wait.leads;
                        prop_assert_eq!(control.0.lock().unwrap().began, led, "step {}", step);
                        if led {
                            controls.push(control);
                        }
                        // A joiner's first poll may find the fetch at its end already.
                        let expected = model.fetches[wait.fetch].end.and_then(|_| model.poll(wait));
                        prop_assert_eq!(got, expected, "step {}", step);
                        if got.is_none() {
                            wait.key = key;
                            calls.push(Call { running, woken, wait });
                        }
                    }
                }
            }
            Op::Poll(number) if !calls.is_empty() => {
                let number = number % calls.len();
                let call = &mut calls[number];
                let got = Call::poll(&mut call.running, &call.woken);
                prop_assert_eq!(got, model.poll(call.wait), "step {}", step);
                if got.is_some() {
                    calls.remove(number);
                }
            }
            Op::Cancel(number) if !calls.is_empty() => {
                let call = calls.remove(number % calls.len());
                model.cancel(call.wait);
            }
            Op::End(number, end) => {
                let running: Vec<_> = (0..controls.len())
                    .filter(|&fetch| {
                        let fetch = &model.fetches[fetch];
                        fetch.end.is_none() && !fetch.dropped
                    })
                    .collect();
                if !running.is_empty() {
                    let fetch = running[number % running.len()];
                    model.fetches[fetch].end = Some(end);
                    controls[fetch].tell(end);
                    for call in calls.iter().filter(|call| call.wait.fetch == fetch) {
                        prop_assert!(
                            call.woken.0.load(Ordering::SeqCst),
                            "step {}: not woken",
                            step
                        );
                    }
                }
            }
            Op::Advance(by) => {
                clock.advance(by * MS);
                model.now += by;
            }
            Op::Insert { key, group, ttl } => {
                cache.entry(key).group(GROUPS[group]).ttl(ttl * MS).insert(1_000 + step as u64);
                model.outdate(|fetch| fetch.key == key);
                model.keep(key, group, Ok(1_000 + step as u64), ttl);
            }
            Op::Get(key) => {
                let expected = model.fresh(key).and_then(Result::ok);
                prop_assert_eq!(cache.get(&key), expected, "step {}", step);
            }
            Op::Stale(key) => {
                let fresh = model.fresh(key).and_then(Result::ok);
                let expected = fresh.or_else(|| model.old(key, model.config.stale_if_error));
                let got = cache.stale(&key);
                prop_assert_eq!(got.as_ref().map(|found| found.value), expected, "step {}", step);
                if let Some(got) = got {
                    let stale = got.freshness == Freshness::Stale;
                    prop_assert_eq!(stale, fresh.is_none(), "step {}", step);
                }
            }
            Op::Remove(key) => {
                cache.remove(&key);
                model.remove(key);
            }
            Op::Invalidate(group) => {
                cache.invalidate(GROUPS[group]);
                model.stored.retain(|_, stored| stored.group != group);
                model.outdate(|fetch| fetch.group == group);
            }
            Op::Clear => {
                cache.clear();
                model.stored.clear();
                model.outdate(|_| true);
            }
            Op::Poll(_) | Op::Cancel(_) => {}
        }
        for (control, fetch) in controls.iter().zip(&model.fetches) {
            let dropped = control.0.lock().unwrap().dropped;
            prop_assert_eq!(dropped, fetch.dropped || fetch.landed, "step {}", step);
        }
    }
    calls.clear();
    prop_assert_eq!(cache.stats().in_flight, 0);
    let dropped = controls.iter().all(|control| control.0.lock().unwrap().dropped);
    prop_assert!(dropped, "every fetch has ended");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_cache_does_what_the_model_says(
        script in prop::collection::vec(op(), 1..80),
        revalidate in prop_oneof![Just(0u32), Just(12)],
        on_error in prop_oneof![Just(0u32), Just(12), Just(40)],
        negative in prop_oneof![Just(0u32), Just(8)],
    ) {
        let config = Config::default()
            .max_waiters(MAX_WAITERS)
            .stale_while_revalidate(revalidate * MS)
            .stale_if_error(on_error * MS)
            .negative_ttl(negative * MS);
        run(config, script)?;
    }
}
