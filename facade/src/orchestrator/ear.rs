//! What a server says without being asked, and whom it concerns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use toolweir_core::{Method, Notification, ServerMessage, Store, Subscriber};

use super::Inner;
use crate::catalogue::is_list_changed;
use crate::endpoint::{Endpoint, Status};

/// What a server's messages ask its supervisor to do.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) lists_changed: AtomicBool,
    pub(super) lost: AtomicBool,
    pub(super) wake: Notify,
}

/// Hears a server and passes on what concerns others.
pub(super) struct Ear {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) inner: Weak<Inner>,
    pub(super) signals: Arc<Signals>,
}

impl Subscriber for Ear {
    fn on_message(&self, message: ServerMessage) {
        let Some(inner) = self.inner.upgrade() else { return };
        match message {
            ServerMessage::Connected(info) => {
                inner.health(&self.endpoint, Status::Up(info));
                self.signals.raise(&self.signals.lists_changed);
            }
            ServerMessage::Disconnected(error) => {
                inner.health(&self.endpoint, Status::Down(error));
                self.signals.raise(&self.signals.lost);
            }
            ServerMessage::Notification(notification) if is_list_changed(&notification.method) => {
                inner.store.invalidate(&self.endpoint.name);
                self.signals.raise(&self.signals.lists_changed);
            }
            ServerMessage::Notification(notification) if is_of_a_task(&notification) => {
                if let Some(told) = self.told_of_task(&inner, &notification) {
                    inner.tell(&ServerMessage::Notification(told));
                }
            }
            ServerMessage::ToClient(client, notification) if is_of_a_task(&notification) => {
                if let Some(told) = self.told_of_task(&inner, &notification) {
                    inner.tell(&ServerMessage::ToClient(client, told));
                }
            }
            ServerMessage::Notification(notification) => {
                if notification.method == Method::RESOURCE_UPDATED {
                    inner.store.invalidate(&self.endpoint.name);
                }
                inner.tell(&ServerMessage::Notification(notification));
            }
            message @ ServerMessage::ToClient(..) => inner.tell(&message),
            _ => {}
        }
    }
}

impl Ear {
    /// What a server says of a task, by the name that its owner knows; `None` where it is nobody's here.
    fn told_of_task(&self, inner: &Inner, notification: &Notification) -> Option<Notification> {
        let server = &*self.endpoint.name;
        let told = inner.server_tasks.told(server, notification);
        if told.is_none() {
            tracing::debug!(server, "told of a task that is nobody's here");
        }
        told
    }
}

fn is_of_a_task(notification: &Notification) -> bool {
    [Method::TASK_STATUS, Method::TASK_CHANGED].contains(&notification.method)
}

impl Signals {
    pub(super) fn raise(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    pub(super) fn take(flag: &AtomicBool) -> bool {
        flag.swap(false, Ordering::SeqCst)
    }
}
