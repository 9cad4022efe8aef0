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

#[cfg(test)]
mod tests {
    use super::*;

    type Desk = super::Desk<u32, u32>;

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    fn put(key: u32, epochs: Option<Epochs>) -> Put<u32, u32> {
        Put { key, value: 0, ttl: Duration::from_secs(1), groups: Vec::new(), epochs }
    }

    fn fetched(key: u32) -> Put<u32, u32> {
        put(key, Some(Vec::new()))
    }

    /// What is left to do, in order: `+1` writes a key, `-1` forgets it, `-a` a group, `-a*` a prefix, `-` everything.
    fn left(desk: &Desk) -> String {
        let names: Vec<String> = desk
            .waiting
            .iter()
            .map(|errand| match errand {
                Errand::Put(put) => format!("+{}", put.key),
                Errand::Forget(Owed::Key(key)) => format!("-{key}"),
                Errand::Forget(Owed::Group(group)) => format!("-{group}"),
                Errand::Forget(Owed::Prefix(prefix)) => format!("-{prefix}*"),
                Errand::Forget(Owed::All) => "-".to_owned(),
            })
            .collect();
        names.join(" ")
    }

    fn group(name: &str) -> Owed<u32> {
        Owed::Group(name.into())
    }

    #[test]
    fn errands_are_run_in_order_by_one_at_a_time() {
        let mut desk = Desk::new();
        assert!(!desk.begin(), "there is nothing to do");
        assert!(desk.put(fetched(1), at(0)));
        desk.forget(group("a"));
        assert!(desk.put(fetched(2), at(0)));
        assert_eq!((left(&desk).as_str(), desk.len()), ("+1 -a +2", 3));
        assert!(desk.begin() && !desk.begin(), "one begins");
        for expected in ["-a +2", "+2", ""] {
            let errand = desk.next().unwrap();
            assert_eq!(left(&desk), expected);
            desk.done(&errand);
        }
        desk.forget(group("b"));
        assert!(!desk.begin(), "who runs them has not ended");
        let errand = desk.next().unwrap();
        desk.done(&errand);
        assert!(desk.next().is_none());
        desk.forget(group("c"));
        assert!(desk.begin());
        desk.stop();
        assert!(desk.begin(), "the one before left");
    }

    #[test]
    fn it_is_open_while_nothing_is_owed_and_it_does_not_rest() {
        let mut desk = Desk::new();
        assert!(desk.is_open(at(0)));
        desk.put(fetched(1), at(0));
        assert!(desk.is_open(at(0)), "a value on its way makes nothing out of date");
        desk.forget(group("a"));
        desk.forget(group("b"));
        let written = desk.next().unwrap();
        desk.done(&written);
        for _ in 0..2 {
            assert!(!desk.is_open(at(0)));
            let errand = desk.next().unwrap();
            assert!(!desk.is_open(at(0)), "not before it is confirmed");
            desk.done(&errand);
        }
        assert!(desk.is_open(at(0)));
        desk.rests(at(5));
        desk.rests(at(3));
        assert!(!desk.is_open(at(4)) && desk.is_open(at(5)));
        desk.works();
        assert!(desk.is_open(at(4)));
    }

    #[test]
    fn what_is_forgotten_already_is_not_forgotten_again() {
        let mut desk = Desk::new();
        for _ in 0..3 {
            desk.forget(group("a"));
            desk.forget(Owed::Key(1));
            desk.forget(Owed::Prefix("a".into()));
        }
        assert_eq!(left(&desk), "-a -1 -a*");
        desk.put(fetched(1), at(0));
        desk.forget(Owed::Key(1));
        assert_eq!(left(&desk), "-a -1 -a* +1 -1", "it was written since");
        desk.forget(Owed::All);
        assert_eq!(left(&desk), "-", "all that came before is moot");
        desk.forget(group("b"));
        assert_eq!(left(&desk), "-");
        desk.put(fetched(2), at(0));
        desk.forget(group("b"));
        assert_eq!(left(&desk), "- +2 -b");
        while let Some(errand) = desk.next() {
            desk.done(&errand);
        }
        assert!(desk.is_open(at(0)), "what was owed is done");
    }

    #[test]
    fn a_full_desk_writes_no_more_and_forgets_everything() {
        let mut desk = Desk::new();
        for key in 0..MOST as u32 {
            assert!(desk.put(fetched(key), at(0)));
        }
        assert!(!desk.put(fetched(7), at(0)));
        assert_eq!(desk.len(), MOST);
        desk.forget(group("a"));
        assert_eq!(left(&desk), "-");
        let mut desk = Desk::new();
        for key in 0..MOST as u32 {
            desk.forget(Owed::Key(key));
        }
        assert!(!desk.put(put(7_000, None), at(0)));
        assert_eq!(left(&desk), "-", "what it would have replaced has to go");
        let errand = desk.next().unwrap();
        desk.done(&errand);
        assert!(desk.is_open(at(0)));
    }

    #[test]
    fn what_fails_is_owed_where_it_would_leave_something_old() {
        for (errand, owed) in [
            (Errand::Put(fetched(1)), ""),
            (Errand::Put(put(1, None)), "-1"),
            (Errand::Forget(group("a")), "-a"),
        ] {
            let mut desk = Desk::new();
            match errand {
                Errand::Put(put) => assert!(desk.put(put, at(0))),
                Errand::Forget(owed) => desk.forget(owed),
            }
            let errand = desk.next().unwrap();
            desk.failed(errand, at(5));
            assert_eq!(left(&desk), owed);
            assert!(!desk.is_open(at(4)), "it rests");
            assert_eq!(desk.is_open(at(5)), owed.is_empty());
            assert!(!desk.put(fetched(2), at(4)) && desk.put(fetched(2), at(5)));
            while let Some(errand) = desk.next() {
                desk.done(&errand);
            }
            assert!(desk.is_open(at(4)), "it answers again");
        }
    }

    #[test]
    fn what_rests_is_told_later_that_a_value_was_replaced() {
        let mut desk = Desk::new();
        desk.rests(at(5));
        assert!(!desk.put(fetched(1), at(0)) && !desk.put(put(2, None), at(0)));
        assert_eq!(left(&desk), "-2");
    }
}
