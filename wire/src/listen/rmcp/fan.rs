//! Fans out what the server says without being asked, to rmcp's sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::mpsc;
use toolweir_core::{Method, Notification, ServerMessage, Subscriber};

use crate::listen::lock;

/// How many notifications may wait for one client. What is over that is dropped: it will ask anew for what the others name.
const QUEUE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Fan(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    queues: HashMap<u64, mpsc::Sender<Notification>>,
}

/// One session's ear; dropped, it hears no more.
#[derive(Debug)]
pub(super) struct Hearing {
    id: u64,
    queue: mpsc::Receiver<Notification>,
    fan: Weak<Fan>,
}

impl Fan {
    pub(super) fn hear(self: &Arc<Self>) -> Hearing {
        let (sender, queue) = mpsc::channel(QUEUE);
        let mut listeners = lock(&self.0);
        listeners.next += 1;
        let id = listeners.next;
        listeners.queues.insert(id, sender);
        Hearing { id, queue, fan: Arc::downgrade(self) }
    }
}

impl Hearing {
    pub(super) async fn next(&mut self) -> Option<Notification> {
        self.queue.recv().await
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        if let Some(fan) = self.fan.upgrade() {
            lock(&fan.0).queues.remove(&self.id);
        }
    }
}

impl Subscriber for Fan {
    fn on_message(&self, message: ServerMessage) {
        let ServerMessage::Notification(notification) = message else { return };
        if !matches!(
            notification.method.as_str(),
            "notifications/tools/list_changed"
                | "notifications/prompts/list_changed"
                | "notifications/resources/list_changed"
                | "notifications/resources/updated"
        ) {
            return; // belongs to nobody who is known
        }
        for queue in lock(&self.0).queues.values() {
            if queue.try_send(notification.clone()).is_err() {
                tracing::warn!(method = %notification.method, "a client reads too slowly");
            }
        }
    }
}

/// The resource that a notification says is updated.
pub(super) fn updated(notification: &Notification) -> Option<String> {
    if notification.method != Method::RESOURCE_UPDATED {
        return None;
    }
    let uri = notification.params.as_ref().and_then(|params| params.member("uri"))?;
    uri.string().map(String::from)
}
