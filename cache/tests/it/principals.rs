//! Random scripts of principals and replies against a model that predicts every reply: whose it is, and how fresh.
//!
//! A script has 40 steps on average; `PROPTEST_CASES` says how many there are, where more than usual are wanted.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use toolweir_cache::{Config, ReplyCache};
use toolweir_core::{
    CacheKey, Error, Fetch, Freshness, Kind, Lookup, ManualClock, Principal, RawJson, Reply, Scope,
    Store,
};

use crate::support::MS;

/// Nobody, Ann, Bob.
const PRINCIPALS: [Option<&str>; 3] = [None, Some("ann"), Some("bob")];
const TTL: u32 = 20;
const STALE: u32 = 15;

/// Whose, and what.
type Key = (usize, usize);

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Private,
    Public,
    /// Of a principal that may not have it.
    Forbidden,
    Outage,
    /// `isError`.
    ToolError,
    /// `input_required`.
    Question,
    Panic,
}

#[derive(Clone, Debug)]
enum Op {
    Call(Key),
    Poll(usize),
    Cancel(usize),
    End(usize, End),
    Advance(u32),
    Get(Key),
    Stale(Key),
    Invalidate,
}

fn op() -> impl Strategy<Value = Op> {
    let key = (0..3usize, 0..2usize);
    let end = prop_oneof![
        4 => Just(End::Private),
        3 => Just(End::Public),
        1 => Just(End::Forbidden),
        1 => Just(End::Outage),
        1 => Just(End::ToolError),
        1 => Just(End::Question),
        1 => Just(End::Panic),
    ];
    prop_oneof![
        8 => key.clone().prop_map(Op::Call),
        8 => (0..8usize).prop_map(Op::Poll),
        1 => (0..8usize).prop_map(Op::Cancel),
        6 => (0..4usize, end).prop_map(|(fetch, end)| Op::End(fetch, end)),
        3 => (1..15u32).prop_map(Op::Advance),
        3 => key.clone().prop_map(Op::Get),
        2 => key.prop_map(Op::Stale),
        1 => Just(Op::Invalidate),
    ]
}

/// What a caller gets: the number of a fetch, and whence.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Got(usize, Freshness),
    Failed(Kind),
}

// ---- the model -------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
struct Stored {
    fetch: usize,
    expires: u32,
    /// For whom it was fetched.
    owner: usize,
}

#[derive(Debug)]
struct Fetching {
    key: Key,
    current: bool,
    end: Option<End>,
    landed: bool,
    dropped: bool,
    waiters: usize,
}

/// A caller that waits: for its own fetch, for another's, or alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Leads(usize),
    Follows(usize),
    Alone(usize),
}

#[derive(Default)]
struct Model {
    now: u32,
    stored: HashMap<Key, Stored>,
    fetches: Vec<Fetching>,
}

impl Model {
    /// The best there is under the caller's key, or else under everyone's.
    fn look(&self, key: Key, grace: u32) -> Option<Answer> {
        let seen = |key: Key| {
            let stored = self.stored.get(&key)?;
            let fresh = self.now < stored.expires;
            let kept = self.now < stored.expires + grace;
            let freshness = if fresh { Freshness::Cached } else { Freshness::Stale };
            kept.then_some((stored.fetch, freshness))
        };
        let (own, all) = (seen(key), seen((0, key.1)));
        let best = match (own, all) {
            (Some((_, Freshness::Cached)), _) | (_, None) => own,
            _ => all,
        };
        best.map(|(fetch, freshness)| Answer::Got(fetch, freshness))
    }

    fn call(&mut self, key: Key) -> Result<Answer, Wait> {
        if let Some(answer) = self.look(key, 0) {
            return Ok(answer);
        }
        let running = self
            .fetches
            .iter()
            .position(|fetch| fetch.key == key && fetch.current && !fetch.landed && !fetch.dropped);
        match running {
            Some(fetch) => {
                self.fetches[fetch].waiters += 1;
                Err(Wait::Follows(fetch))
            }
            None => Err(Wait::Leads(self.begin(key, true))),
        }
    }

    fn begin(&mut self, key: Key, current: bool) -> usize {
        let (end, landed, dropped, waiters) = (None, false, false, 1);
        self.fetches.push(Fetching { key, current, end, landed, dropped, waiters });
        self.fetches.len() - 1
    }

    /// What a caller sees when it is polled; a follower of what is not shared begins to fetch alone.
    fn poll(&mut self, wait: &mut Wait) -> Option<Answer> {
        loop {
            let (Wait::Leads(fetch) | Wait::Follows(fetch) | Wait::Alone(fetch)) = *wait;
            let end = self.fetches[fetch].end?;
            let key = self.fetches[fetch].key;
            if let Wait::Alone(_) = wait {
                self.fetches[fetch].landed = true;
                if end == End::Forbidden {
                    self.forbid(key);
                }
                return Some(match kind(end) {
                    None => Answer::Got(fetch, Freshness::Fetched),
                    Some(kind) => Answer::Failed(kind),
                });
            }
            self.land(fetch);
            self.fetches[fetch].waiters -= 1;
            let follows = matches!(wait, Wait::Follows(_));
            let unshared = end == End::Question
                || (key.0 == 0 && matches!(end, End::Private | End::ToolError));
            return Some(match kind(end) {
                Some(kind) if matches!(end, End::Outage | End::Panic) => {
                    self.look(key, STALE).filter(stale).unwrap_or(Answer::Failed(kind))
                }
                Some(kind) => Answer::Failed(kind),
                None if follows && unshared => {
                    *wait = Wait::Alone(self.begin(key, false));
                    continue;
                }
                None if follows => Answer::Got(fetch, Freshness::Coalesced),
                None => Answer::Got(fetch, Freshness::Fetched),
            });
        }
    }

    fn land(&mut self, index: usize) {
        let fetch = &mut self.fetches[index];
        if fetch.landed {
            return;
        }
        fetch.landed = true;
        let (key, current) = (fetch.key, fetch.current);
        let stored = Stored { fetch: index, expires: self.now + TTL, owner: key.0 };
        match fetch.end {
            Some(End::Public) if current => drop(self.stored.insert((0, key.1), stored)),
            Some(End::Private) if current && key.0 != 0 => drop(self.stored.insert(key, stored)),
            Some(End::Forbidden) => self.forbid(key),
            _ => {}
        }
    }

    /// The key, everyone's of the same text, and all that the principal had of the group, in flight too.
    fn forbid(&mut self, (who, text): Key) {
        let hit = |key: Key, owner: usize| {
            key == (who, text) || key == (0, text) || (who != 0 && owner == who)
        };
        self.stored.retain(|key, stored| !hit(*key, stored.owner));
        for fetch in &mut self.fetches {
            fetch.current &= !hit(fetch.key, fetch.key.0);
        }
    }

    fn cancel(&mut self, wait: Wait) {
        let (Wait::Leads(fetch) | Wait::Follows(fetch) | Wait::Alone(fetch)) = wait;
        let fetch = &mut self.fetches[fetch];
        fetch.waiters -= 1;
        fetch.dropped |= fetch.waiters == 0 && !fetch.landed;
    }
}

fn stale(answer: &Answer) -> bool {
    matches!(answer, Answer::Got(_, Freshness::Stale))
}

fn kind(end: End) -> Option<Kind> {
    match end {
        End::Forbidden => Some(Kind::Status { status: 403 }),
        End::Outage => Some(Kind::Unreachable),
        End::Panic => Some(Kind::Internal),
        End::Private | End::Public | End::ToolError | End::Question => None,
    }
}

// ---- the real thing --------------------------------------------------------------------------------------------

/// A fetch that ends when it is told to; its number is given when it is first polled.
#[derive(Default)]
struct Told {
    end: Option<End>,
    waker: Option<Waker>,
}

/// The fetches that were begun, in order.
type Begun = Arc<Mutex<Vec<Arc<Mutex<Told>>>>>;

fn fetch(begun: &Begun) -> Fetch {
    let begun = begun.clone();
    Box::pin(async move {
        let told = Arc::<Mutex<Told>>::default();
        let number = {
            let mut begun = begun.lock().unwrap();
            begun.push(told.clone());
            begun.len() - 1
        };
        let end = poll_fn(|context| {
            let mut told = told.lock().unwrap();
            told.waker = Some(context.waker().clone());
            told.end.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        match kind(end) {
            Some(Kind::Internal) => std::panic::resume_unwind(Box::new("told to")),
            Some(kind) => Err(Error::new(kind)),
            None => {
                let mut reply = Reply::new(RawJson::of(&number).unwrap());
                reply.is_error = end == End::ToolError;
                reply.input_required = end == End::Question;
                reply.scope = if end == End::Public { Scope::Public } else { Scope::Private };
                Ok(reply)
            }
        }
    })
}

type Running = Pin<Box<dyn Future<Output = Result<Reply, Error>>>>;

fn poll(running: &mut Running) -> Option<Answer> {
    match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(Ok(reply)) => Some(got(&reply)),
        Poll::Ready(Err(error)) => Some(Answer::Failed(error.kind())),
    }
}

fn got(reply: &Reply) -> Answer {
    Answer::Got(reply.result.get().unwrap(), reply.freshness)
}

fn cache_key((who, text): Key) -> CacheKey {
    CacheKey {
        group: "github".into(),
        principal: PRINCIPALS[who].map(Principal::new),
        text: ["one", "two"][text].into(),
    }
}

fn run(script: Vec<Op>) -> Result<(), TestCaseError> {
    let clock = Arc::new(ManualClock::new());
    let config = Config::default().stale_if_error(STALE * MS);
    let cache = ReplyCache::with_clock(config, clock.clone()).unwrap();
    let mut model = Model::default();
    let begun = Begun::default();
    let mut calls: Vec<(Running, Wait)> = Vec::new();
    for (step, op) in script.into_iter().enumerate() {
        match op {
            Op::Call(key) => {
                let lookup = Lookup::new(cache_key(key)).ttl(Duration::from_millis(TTL.into()));
                let (cache, fetch) = (cache.clone(), fetch(&begun));
                let mut running: Running =
                    Box::pin(async move { cache.get_or_fetch(lookup, fetch).await });
                let expected = model.call(key);
                let got = poll(&mut running);
                match expected {
                    Ok(expected) => prop_assert_eq!(got, Some(expected), "step {}", step),
                    Err(mut wait) => {
                        let expected = model.poll(&mut wait);
                        prop_assert_eq!(got, expected, "step {}", step);
                        if got.is_none() {
                            calls.push((running, wait));
                        }
                    }
                }
            }
            Op::Poll(number) if !calls.is_empty() => {
                let number = number % calls.len();
                let (running, wait) = &mut calls[number];
                let got = poll(running);
                prop_assert_eq!(got, model.poll(wait), "step {}", step);
                if got.is_some() {
                    drop(calls.remove(number));
                }
            }
            Op::Cancel(number) if !calls.is_empty() => {
                let (running, wait) = calls.remove(number % calls.len());
                drop(running);
                model.cancel(wait);
            }
            Op::End(number, end) => {
                let open = |fetch: &&usize| {
                    let fetch = &model.fetches[**fetch];
                    fetch.end.is_none() && !fetch.dropped
                };
                let all: Vec<usize> = (0..model.fetches.len()).collect();
                let running: Vec<usize> = all.iter().filter(open).copied().collect();
                if !running.is_empty() {
                    let fetch = running[number % running.len()];
                    model.fetches[fetch].end = Some(end);
                    let told = begun.lock().unwrap()[fetch].clone();
                    let waker = {
                        let mut told = told.lock().unwrap();
                        told.end = Some(end);
                        told.waker.take()
                    };
                    waker.into_iter().for_each(Waker::wake);
                }
            }
            Op::Advance(by) => {
                clock.advance(by * MS);
                model.now += by;
            }
            Op::Get(key) => {
                let expected = model.look(key, 0);
                let found = cache.get(&cache_key(key)).as_ref().map(got);
                prop_assert_eq!(found, expected, "step {}", step);
            }
            Op::Stale(key) => {
                // What is the caller's own is preferred, even to what is fresher for everyone.
                let expected = model.own(key).or_else(|| model.look((0, key.1), STALE));
                let found = cache.stale(&cache_key(key)).as_ref().map(got);
                prop_assert_eq!(found, expected, "step {}", step);
            }
            Op::Invalidate => {
                cache.invalidate("github");
                model.stored.clear();
                model.fetches.iter_mut().for_each(|fetch| fetch.current = false);
            }
            Op::Poll(_) | Op::Cancel(_) => {}
        }
        prop_assert_eq!(begun.lock().unwrap().len(), model.fetches.len(), "step {}", step);
    }
    calls.clear();
    prop_assert_eq!(cache.stats().in_flight, 0);
    Ok(())
}

impl Model {
    fn own(&self, key: Key) -> Option<Answer> {
        let stored = self.stored.get(&key)?;
        let freshness =
            if self.now < stored.expires { Freshness::Cached } else { Freshness::Stale };
        (self.now < stored.expires + STALE).then_some(Answer::Got(stored.fetch, freshness))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_reply_reaches_whom_the_model_says(script in prop::collection::vec(op(), 1..80)) {
        run(script)?;
    }
}
