//! What a tier is still to be told, and whether it may be asked: pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::Instant;

use crate::tier::{Epochs, Forget};

/// Most errands that wait; a value more is not written, and one more to forget makes it all.
pub(crate) const MOST: usize = 1_024;

/// The errands for one tier, in the order in which things happened.
///
/// ```text
/// open     nothing is owed: it may be asked
/// owes     it has not confirmed yet what it is to forget: what it says may be out of date
/// resting  it failed a moment ago: asking it costs a caller's time
/// ```
#[derive(Debug)]
pub(crate) struct Desk<K, V> {
    waiting: VecDeque<Errand<K, V>>,
    /// How many of those that wait or are being run say what to forget.
    owed: usize,
    /// Whether somebody runs them.
    running: bool,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
pub(crate) enum Errand<K, V> {
    Put(Put<K, V>),
    Forget(Owed<K>),
}

/// A value on its way.
#[derive(Debug)]
pub(crate) struct Put<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) ttl: Duration,
    pub(crate) groups: Vec<Arc<str>>,
    /// `None`: it replaces whatever is there, so if it cannot be written, what is there has to go.
    pub(crate) epochs: Option<Epochs>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owed<K> {
    Key(K),
    Group(Arc<str>),
    Prefix(Arc<str>),
    All,
}

impl<K> Owed<K> {
    pub(crate) fn what(&self) -> Forget<'_, K> {
        match self {
            Self::Key(key) => Forget::Key(key),
            Self::Group(group) => Forget::Group(group),
            Self::Prefix(prefix) => Forget::Prefix(prefix),
            Self::All => Forget::All,
        }
    }
}

impl<K: PartialEq, V> Desk<K, V> {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), owed: 0, running: false, rests_until: None }
    }

    /// Whether the tier may be asked.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.owed == 0 && !self.is_resting(now)
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// Notes a value to be written; `false` where there is no room for it, or the tier rests.
    pub(crate) fn put(&mut self, put: Put<K, V>, now: Instant) -> bool {
        if self.waiting.len() < MOST && !self.is_resting(now) {
            self.waiting.push_back(Errand::Put(put));
            return true;
        }
        if put.epochs.is_none() {
            self.forget(Owed::Key(put.key));
        }
        false
    }

    /// Notes what is to be forgotten. This is never lost, though it may become more.
    pub(crate) fn forget(&mut self, owed: Owed<K>) {
        // What was forgotten last, with nothing written since, need not be forgotten again.
        let since = self.waiting.iter().rev().map_while(|errand| match errand {
            Errand::Forget(known) => Some(known),
            Errand::Put(_) => None,
        });
        if since.into_iter().any(|known| *known == owed || *known == Owed::All) {
            return;
        }
        let all = owed == Owed::All || self.waiting.len() >= MOST;
        if all {
            self.owed -= self.waiting.iter().filter(|errand| errand.forgets()).count();
            self.waiting.clear();
        }
        self.owed += 1;
        self.waiting.push_back(Errand::Forget(if all { Owed::All } else { owed }));
    }

    /// Whether somebody has to begin to run errands, who then does.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = !self.running && !self.waiting.is_empty();
        self.running |= begins;
        begins
    }

    /// The next errand; with none left, nobody runs them any more.
    pub(crate) fn next(&mut self) -> Option<Errand<K, V>> {
        let next = self.waiting.pop_front();
        self.running = next.is_some();
        next
    }

    /// An errand was run.
    pub(crate) fn done(&mut self, errand: &Errand<K, V>) {
        self.owed -= usize::from(errand.forgets());
        self.rests_until = None;
    }

    /// An errand could not be run. What is to be forgotten stays owed.
    pub(crate) fn failed(&mut self, errand: Errand<K, V>, rests_until: Instant) {
        self.rests(rests_until);
        match errand {
            Errand::Forget(_) => self.waiting.push_front(errand),
            Errand::Put(Put { epochs: Some(_), .. }) => {}
            Errand::Put(Put { key, .. }) => {
                self.owed += 1;
                self.waiting.push_front(Errand::Forget(Owed::Key(key)));
            }
        }
    }

    /// The tier is not to be asked until then.
    pub(crate) fn rests(&mut self, until: Instant) {
        self.rests_until = self.rests_until.max(Some(until));
    }

    /// It answered.
    pub(crate) fn works(&mut self) {
        self.rests_until = None;
    }

    /// Whoever ran errands left; the rest is for the next.
    pub(crate) fn stop(&mut self) {
        self.running = false;
    }

    /// How many errands wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl<K, V> Errand<K, V> {
    fn forgets(&self) -> bool {
        matches!(self, Self::Forget(_))
    }
}
