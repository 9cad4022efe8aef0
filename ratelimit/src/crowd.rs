//! Who is in, and who waits, in one line a key.

#![cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "without timers nobody waits"))]

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::task::Waker;

/// Those inside a gate and those before it. The lines take turns, one caller each.
#[derive(Debug)]
pub(crate) struct Crowd<K> {
    in_flight: usize,
    lines: HashMap<K, VecDeque<Waiting>>,
    /// The keys that have a line, the next to be served first.
    turns: VecDeque<K>,
    waiting: usize,
    max_waiting: usize,
    /// Callers who were given a place and have not noticed yet; they count as inside.
    given: HashSet<u64>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    waker: Option<Waker>,
}

/// What a waiting caller is told when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It has a place, and has left the line.
    Enter,
    /// Not yet.
    Wait,
    /// It had to make room for the caller of a shorter line.
    PushedOut,
}

impl<K: Hash + Eq + Clone> Crowd<K> {
    pub(crate) fn new(max_waiting: usize) -> Self {
        Self {
            in_flight: 0,
            lines: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            max_waiting,
            given: HashSet::new(),
            next_id: 0,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Lets a caller in, where there is room and nobody waits for it.
    pub(crate) fn enter(&mut self, limit: usize) -> bool {
        let room = self.in_flight < limit && self.waiting == 0;
        if room {
            self.in_flight += 1;
        }
        room
    }

    /// Frees a place.
    pub(crate) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Gives the free places to those who wait, line by line, and returns whom to wake.
    pub(crate) fn admit(&mut self, limit: usize) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.in_flight < limit {
            let Some(key) = self.turns.pop_front() else { break };
            let Some(line) = self.lines.get_mut(&key) else { continue };
            let Some(caller) = line.pop_front() else { continue };
            if line.is_empty() {
                self.lines.remove(&key);
            } else {
                self.turns.push_back(key);
            }
            self.waiting -= 1;
            self.in_flight += 1;
            self.given.insert(caller.id);
            woken.extend(caller.waker);
        }
        woken
    }

    /// Puts a caller at the end of its key's line. Where the lines are full, the last of the longest line makes
    /// room, if that line is longer by more than this caller; it is returned to be woken. `None` where there is
    /// no room.
    pub(crate) fn join(&mut self, key: &K, limit: usize) -> Option<(u64, Option<Waker>)> {
        let id = self.next_id;
        if self.enter(limit) {
            // A place came free since the caller looked.
            self.next_id += 1;
            self.given.insert(id);
            return Some((id, None));
        }
        let pushed_out = if self.waiting >= self.max_waiting { self.make_room(key)? } else { None };
        self.next_id += 1;
        let caller = Waiting { id, waker: None };
        match self.lines.get_mut(key) {
            Some(line) => line.push_back(caller),
            None => {
                self.lines.insert(key.clone(), VecDeque::from([caller]));
                self.turns.push_back(key.clone());
            }
        }
        self.waiting += 1;
        Some((id, pushed_out))
    }

    fn make_room(&mut self, key: &K) -> Option<Option<Waker>> {
        let own = self.lines.get(key).map_or(0, VecDeque::len);
        let longest =
            self.turns.iter().max_by_key(|key| self.lines.get(*key).map_or(0, VecDeque::len))?;
        let line = self.lines.get_mut(longest)?;
        if line.len() <= own + 1 {
            return None;
        }
        let pushed_out = line.pop_back()?;
        self.waiting -= 1;
        Some(pushed_out.waker)
    }

    /// Tells a waiting caller where it stands, and remembers how to wake it.
    pub(crate) fn look(&mut self, key: &K, id: u64, waker: &Waker) -> Look {
        if self.given.remove(&id) {
            return Look::Enter;
        }
        let Some(line) = self.lines.get_mut(key) else { return Look::PushedOut };
        match line.binary_search_by_key(&id, |caller| caller.id) {
            Ok(place) => {
                line[place].waker = Some(waker.clone());
                Look::Wait
            }
            Err(_) => Look::PushedOut,
        }
    }

    /// Takes a caller out of its line. Returns whether it had a place already, which is still to be freed.
    pub(crate) fn give_up(&mut self, key: &K, id: u64) -> bool {
        if self.given.remove(&id) {
            return true;
        }
        let Some(line) = self.lines.get_mut(key) else { return false };
        if let Ok(place) = line.binary_search_by_key(&id, |caller| caller.id) {
            line.remove(place);
            self.waiting -= 1;
            if line.is_empty() {
                self.lines.remove(key);
                self.turns.retain(|other| other != key);
            }
        }
        false
    }
}
