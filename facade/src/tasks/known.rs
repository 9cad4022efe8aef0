//! Whose the tasks are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use toolweir_core::Principal;

/// How many tasks are remembered; of older ones nothing is told unasked, and no list shows them.
const MAX: usize = 10_000;
/// The longest name that is remembered.
const NAME_MAX: usize = 512;

type Name = (Arc<str>, Arc<str>);

/// The latest tasks that went through here, by server and the server's own name.
#[derive(Debug, Default)]
pub(super) struct Known {
    owners: HashMap<Name, Principal>,
    order: VecDeque<Name>,
}

impl Known {
    /// Notes the owner; who noted a task first stays its owner.
    pub(super) fn note(&mut self, server: &Arc<str>, own: &str, owner: &Principal) {
        let name = (server.clone(), Arc::from(own));
        if own.len() > NAME_MAX || self.owners.contains_key(&name) {
            return;
        }
        if self.order.len() >= MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.owners.remove(&oldest);
        }
        self.order.push_back(name.clone());
        self.owners.insert(name, owner.clone());
    }

    /// Whether a task of `server` is remembered; nobody tells when it is over.
    pub(super) fn any_of(&self, server: &str) -> bool {
        self.order.iter().any(|(known, _)| **known == *server)
    }

    pub(super) fn owner(&self, server: &str, own: &str) -> Option<Principal> {
        self.owners.get(&(Arc::from(server), Arc::from(own))).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_nobody_takes_another_ones_task() {
        let (mut known, server) = (Known::default(), Arc::from("s"));
        let [one, two] = ["one", "two"].map(Principal::new);
        known.note(&server, "0", &one);
        known.note(&server, "0", &two);
        assert_eq!(known.owner("s", "0"), Some(one));
        assert_eq!(known.owner("t", "0"), None);
        for number in 1..=MAX {
            known.note(&server, &number.to_string(), &two);
        }
        assert_eq!(known.owner("s", "0"), None);
        assert_eq!(known.owner("s", "1"), Some(two));
        assert_eq!((known.owners.len(), known.order.len()), (MAX, MAX));
    }
}
