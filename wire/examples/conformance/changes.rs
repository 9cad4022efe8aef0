//! What clients are told without asking: changed lists, and changed resources that they subscribed to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use serde_json::json;
use toolweir_core::{Method, Notification, RawJson, ServerMessage, Subscriber};

/// Who listens, and what has changed.
#[derive(Default)]
pub(crate) struct Changes {
    /// The listeners before this server: one, or one for each place that it is served in.
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
    /// How many subscribed to each resource; only resources that exist get here.
    watched: Mutex<HashMap<String, usize>>,
    extra_tool: AtomicBool,
    extra_prompt: AtomicBool,
}

impl Changes {
    pub(crate) fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        subscribers.push(subscriber);
    }

    pub(crate) fn watch(&self, uri: &str) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        *watched.entry(uri.to_owned()).or_default() += 1;
    }

    pub(crate) fn unwatch(&self, uri: &str) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = watched.get_mut(uri) {
            *count -= 1;
            if *count == 0 {
                watched.remove(uri);
            }
        }
    }

    pub(crate) fn has_extra_tool(&self) -> bool {
        self.extra_tool.load(Ordering::Acquire)
    }

    pub(crate) fn has_extra_prompt(&self) -> bool {
        self.extra_prompt.load(Ordering::Acquire)
    }

    /// Adds a tool, or takes it away again.
    pub(crate) fn change_tools(&self) {
        self.extra_tool.fetch_xor(true, Ordering::AcqRel);
        self.tell(Notification::new(Method::TOOLS_CHANGED, None));
    }

    /// Adds a prompt, or takes it away again.
    pub(crate) fn change_prompts(&self) {
        self.extra_prompt.fetch_xor(true, Ordering::AcqRel);
        self.tell(Notification::new(Method::PROMPTS_CHANGED, None));
    }

    /// Tells of a changed resource, where anyone subscribed to it.
    pub(crate) fn change_resource(&self, uri: &str) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.contains_key(uri) {
            drop(watched);
            let params = RawJson::from(json!({ "uri": uri }));
            self.tell(Notification::new(Method::RESOURCE_UPDATED, Some(params)));
        }
    }

    pub(crate) fn tell(&self, notification: Notification) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.on_message(ServerMessage::Notification(notification.clone()));
        }
    }
}
