//! A ledger: what was asked and what came of it, held against what must be true of every run, whatever goes wrong in it.
//!
//! * I1: each request that was accepted ends exactly once.
//! * I2: its answer carries its client's id, and what only this client sent.
//! * I3: what is kept for one principal reaches no other.
//! * I4: permits, places and gauges are back at 0 when all is at rest.
//! * I5: memory stays under its cap; descriptors and children are what they were.
//! * I6: no task is alive once all has been drained.
//! * I7: once a fault is gone, 95 % of the requests are answered well within its bound.
//!
//! The folder is no part of any crate: tests of several of them, fuzz targets and `cargo xtask soak` include it by its path. It
//! needs the standard library alone, and reads no clock.

#![allow(dead_code, unused_imports, reason = "whoever includes it uses a part of it")]

mod goodput;
mod holdings;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use self::{goodput::Goodput, holdings::Holdings};

/// How many requests may be open at once; more are a mistake of the test.
const OPEN_MAX: usize = 1 << 20;
/// How many requests that a client cancelled may still be answered.
const CANCELLED_MAX: usize = 64;
/// How many violations are told in words.
const TOLD_MAX: usize = 20;
/// Begins what only one request carries.
const MARK: &str = "nonce:";

/// Who asks: a client, and the principal that it acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asker {
    pub(crate) client: u32,
    pub(crate) principal: u32,
}

/// Whose nonce an answer may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// That of its own request.
    Own,
    /// That of any request of the same principal: the answer may have been kept.
    Private,
    /// Anybody's.
    Public,
}

/// How a request ended, as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// With a result, which is this text or holds it.
    Answer(&'a str),
    /// With an error.
    Error,
    /// The client left, or stopped waiting.
    Left,
}

/// Requests of one client under one id that have not ended: how many, and which they may be. Those are more where one of
/// several ended with an error, which says nothing of which of them it was.
#[derive(Clone, Debug, Default)]
struct Open {
    count: usize,
    numbers: Vec<(u64, Scope)>,
}

#[derive(Debug, Default)]
struct Book {
    open: HashMap<(Asker, String), Open>,
    open_count: usize,
    cancelled: HashMap<Asker, VecDeque<(String, Open)>>,
    tally: Tally,
    told: Vec<String>,
}

/// How many requests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) left: u64,
    /// How often something was wrong.
    pub(crate) violations: u64,
}

/// The book; shared by all who ask.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

impl Ledger {
    /// Writes down a request before it is sent; gives the nonce that it is to carry, and its answer with it.
    pub(crate) fn asks(&self, asker: Asker, id: &str, scope: Scope) -> String {
        let mut book = self.book();
        let number = book.tally.asked;
        book.tally.asked += 1;
        if book.open_count >= OPEN_MAX {
            book.wrong(format!("more than {OPEN_MAX} requests are open"));
            return nonce(asker, number);
        }
        book.open_count += 1;
        let open = book.open.entry((asker, id.to_owned())).or_default();
        open.count += 1;
        open.numbers.push((number, scope));
        nonce(asker, number)
    }

    /// Writes down the end of a request that `asker` made under `id`, as it was seen on the wire.
    pub(crate) fn ends(&self, asker: Asker, id: &str, end: End<'_>) {
        let mut book = self.book();
        match book.take(asker, id, end) {
            Some(open) => book.settle(asker, id, &open, end),
            None => book.wrong(format!("I1: {asker:?} has no open request {id}: {end:?}")),
        }
    }

    /// The client told that it no longer wants this one: it may be answered once more, or never.
    pub(crate) fn cancels(&self, asker: Asker, id: &str) {
        let mut book = self.book();
        let Some(open) = book.take(asker, id, End::Left) else { return };
        book.tally.left += 1;
        let cancelled = book.cancelled.entry(asker).or_default();
        cancelled.push_back((id.to_owned(), open));
        while cancelled.len() > CANCELLED_MAX {
            cancelled.pop_front();
        }
    }

    /// The client has gone, with all that it had open.
    pub(crate) fn leaves(&self, asker: Asker) {
        let mut book = self.book();
        book.cancelled.remove(&asker);
        let mut gone = 0;
        book.open.retain(|(owner, _), open| {
            gone += if *owner == asker { open.count } else { 0 };
            *owner != asker
        });
        book.open_count -= gone;
        book.tally.left += gone as u64;
    }

    /// How many requests are open.
    pub(crate) fn open(&self) -> usize {
        self.book().open_count
    }

    /// I4 and I6: what is to be 0, or what it was, now that all is at rest.
    pub(crate) fn at_rest(&self, what: &str, before: u64, now: u64) {
        if before != now {
            self.wrong(format!("I4: {what} at rest: {now}, and {before} before"));
        }
    }

    /// I5: what a process holds now that all is at rest, against what it held before; `cap` is of its memory, in KiB.
    pub(crate) fn holds(&self, before: &Holdings, now: &Holdings, cap: u64) {
        if now.peak > cap {
            self.wrong(format!("I5: {} KiB of memory, and {cap} at most", now.peak));
        }
        let counts = |it: &Holdings| (it.descriptors, it.children);
        if counts(before) != counts(now) {
            self.wrong(format!("I5: {now} at rest, and {before} before"));
        }
    }

    /// I7: whether enough is answered again so soon after `healed`.
    pub(crate) fn recovers(
        &self,
        what: &str,
        took: Option<std::time::Duration>,
        bound: std::time::Duration,
    ) {
        match took {
            Some(took) if took <= bound => {}
            Some(took) => {
                self.wrong(format!("I7: {what} came back after {took:?}, and not {bound:?}"));
            }
            None => self.wrong(format!("I7: {what} did not come back")),
        }
    }

    /// Something else that must not be.
    pub(crate) fn wrong(&self, what: String) {
        self.book().wrong(what);
    }

    /// Closes the book: what is still open has never ended.
    pub(crate) fn close(&self) -> Tally {
        let mut book = self.book();
        let open: Vec<_> = book.open.drain().collect();
        book.open_count = 0;
        for ((asker, id), open) in open {
            book.wrong(format!("I1: request {id} of {asker:?} never ended: {open:?}"));
        }
        book.tally
    }

    /// What was wrong, in words: the first of it.
    pub(crate) fn told(&self) -> Vec<String> {
        self.book().told.clone()
    }

    /// Closes the book, and fails the test where anything was wrong.
    #[track_caller]
    pub(crate) fn balances(&self) -> Tally {
        let tally = self.close();
        assert_eq!(tally.violations, 0, "{tally}:\n{}", self.told().join("\n"));
        tally
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn wrong(&mut self, what: String) {
        self.tally.violations += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(what);
        }
    }

    /// Takes a request that this end may be meant for; what it gives tells which it may be.
    fn take(&mut self, asker: Asker, id: &str, end: End<'_>) -> Option<Open> {
        let key = (asker, id.to_owned());
        let Some(open) = self.open.get_mut(&key) else {
            let cancelled = self.cancelled.get_mut(&asker)?;
            let at = cancelled.iter().position(|(known, _)| known == id)?;
            let (_, open) = cancelled.remove(at)?;
            self.tally.left -= 1; // it ends otherwise
            return Some(open);
        };
        let taken = open.clone();
        if let End::Answer(text) = end {
            open.numbers.retain(|(number, _)| !text.contains(&nonce(asker, *number)));
        }
        open.count -= 1;
        if open.count == 0 {
            self.open.remove(&key);
        }
        self.open_count -= 1;
        Some(taken)
    }

    fn settle(&mut self, asker: Asker, id: &str, open: &Open, end: End<'_>) {
        let text = match end {
            End::Answer(text) => text,
            End::Error => return self.tally.failed += 1,
            End::Left => return self.tally.left += 1,
        };
        self.tally.answered += 1;
        let fits = |found: &str| {
            open.numbers.iter().any(|(number, scope)| match scope {
                Scope::Own => found == nonce(asker, *number),
                Scope::Private => principal(found) == Some(asker.principal),
                Scope::Public => true,
            })
        };
        let rule = if open.numbers.iter().any(|it| it.1 == Scope::Private) { "I3" } else { "I2" };
        if nonces(text).next().is_none() {
            self.wrong(format!("{rule}: request {id} of {asker:?} got an answer without a nonce"));
        }
        if let Some(found) = nonces(text).find(|found| !fits(found)) {
            self.wrong(format!("{rule}: request {id} of {asker:?} got {found} for {open:?}"));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, answered, failed, left, violations } = self;
        write!(
            f,
            "{asked} asked, {answered} answered, {failed} failed, {left} left, {violations} wrong"
        )
    }
}

fn nonce(asker: Asker, number: u64) -> String {
    format!("{MARK}{}.{}.{number};", asker.principal, asker.client)
}

/// All nonces in a text.
fn nonces(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(MARK).filter_map(|(at, _)| {
        let found = &text[at..];
        Some(&found[..=found.find(';')?])
    })
}

fn principal(nonce: &str) -> Option<u32> {
    nonce.strip_prefix(MARK)?.split('.').next()?.parse().ok()
}
