//! Who hears what a server says without being asked.

use std::sync::{Mutex, PoisonError, Weak};

use toolweir_core::{ServerMessage, Subscriber};

use super::crossing;

/// Subscribers, held weakly; those that are gone are forgotten.
#[derive(Default)]
pub(super) struct Subscribers(Mutex<Vec<Weak<dyn Subscriber>>>);

impl Subscribers {
    pub(super) fn add(&self, subscriber: Weak<dyn Subscriber>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|known| known.strong_count() > 0);
        list.push(subscriber);
    }

    /// Tells all of them, outside the lock.
    pub(super) fn tell(&self, message: ServerMessage) {
        let message = crossing::heard(message);
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in list.iter().filter_map(Weak::upgrade) {
            super::guarded(|| subscriber.on_message(message.clone()));
        }
    }
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscribers")
    }
}
