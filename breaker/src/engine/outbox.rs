//! Transitions on their way to the listeners, in order.

use std::collections::VecDeque;

use crate::Transition;

/// How many transitions wait at most for a slow listener; the oldest go first.
const CAPACITY: usize = 256;

/// Filled under the machine's lock, emptied by one thread at a time outside of it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Transition>,
    delivering: bool,
    pub(crate) missed: u64,
}

impl Outbox {
    pub(crate) fn push(&mut self, transition: Transition) {
        if self.queue.len() == CAPACITY {
            self.queue.pop_front();
            self.missed += 1;
        }
        self.queue.push_back(transition);
    }

    /// Whether the caller must deliver: something waits and nobody else is at it.
    pub(crate) fn claim(&mut self) -> bool {
        if self.delivering || self.queue.is_empty() {
            return false;
        }
        self.delivering = true;
        true
    }

    /// The next transition for whoever claimed; `None` ends the claim.
    pub(crate) fn next(&mut self) -> Option<Transition> {
        let next = self.queue.pop_front();
        self.delivering = next.is_some();
        next
    }
}
