//! Keeps one server connected, its lists fresh and its health known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use toolweir_core::{
    Clock, Error, Event, Kind, Method, ServerInfo, ServerMessage, Store, Subscriber, TokioClock,
};

use super::{Inner, Orchestrator};
use crate::catalogue::{Listing, is_list_changed};
use crate::endpoint::{Endpoint, Status};

/// How long a list waits, once after the start, for servers that have not been tried yet.
pub(super) const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// How often a server is asked whether it is still there.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// How long it has to say so.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// How long one round of lists may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// The least time between two rounds of lists, however often a server says that they changed.
const LIST_PAUSE: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a server's messages ask its supervisor to do.
#[derive(Default)]
pub(super) struct Signals {
    lists_changed: AtomicBool,
    lost: AtomicBool,
    wake: Notify,
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
            ServerMessage::Notification(notification) => {
                if notification.method == Method::RESOURCE_UPDATED {
                    inner.store.invalidate(&self.endpoint.name);
                }
                inner.tell(&ServerMessage::Notification(notification));
            }
            _ => {}
        }
    }
}

impl Signals {
    fn raise(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    fn take(flag: &AtomicBool) -> bool {
        flag.swap(false, Ordering::SeqCst)
    }
}

impl Orchestrator {
    /// Waits until `enough` holds or every server has been tried once, `patience` after the start at the latest.
    pub(super) async fn settled(&self, patience: Duration, enough: impl Fn() -> bool) {
        if *self.0.untried.borrow() == 0 {
            return;
        }
        let mut untried = self.0.untried.subscribe();
        let latest = self.0.started + patience;
        let all = untried.wait_for(|count| *count == 0 || enough());
        let _ = tokio::time::timeout_at(latest.into_std().into(), all).await;
    }
}

impl Inner {
    /// Notes how a server is, and tells observers where that is new.
    fn health(&self, endpoint: &Endpoint, status: Status) {
        let (healthy, reason) = match &status {
            Status::Up(_) => (true, "connected".to_owned()),
            Status::Down(error) => (false, error.to_string()),
            Status::Starting => return,
        };
        endpoint.set_status(status);
        let event = Event::Health { server: endpoint.as_ref(), healthy, reason: &reason };
        for observer in &self.observers {
            observer.on_event(&event, TokioClock.now());
        }
    }
}

/// The supervisor of one server; ends when the orchestrator stops.
pub(super) struct Supervisor {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) inner: Weak<Inner>,
    pub(super) signals: Arc<Signals>,
    pub(super) connect_timeout: Duration,
    /// Hears the server as long as the supervisor lives.
    pub(super) _ear: Arc<Ear>,
}

impl Supervisor {
    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut tried = false;
        loop {
            match self.connect().await {
                Ok(info) => {
                    Signals::take(&self.signals.lost);
                    Signals::take(&self.signals.lists_changed);
                    let Some(mut failure) = self.refresh(&info).await else { return };
                    if tried {
                        self.resubscribe().await;
                    }
                    self.note_tried(&mut tried);
                    pause = FIRST_PAUSE;
                    if self.watch(&info, &mut failure).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    let Some(inner) = self.inner.upgrade() else { return };
                    if !tried {
                        tracing::debug!(server = &*self.endpoint.name, %error, "not available yet");
                    }
                    inner.health(&self.endpoint, Status::Down(error));
                    drop(inner);
                    self.note_tried(&mut tried);
                    // A call may bring the server back before the pause is over.
                    let _ = tokio::time::timeout(pause, self.signals.wake.notified()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn resubscribe(&self) {
        if let Some(inner) = self.inner.upgrade() {
            Orchestrator(inner).resubscribe(&self.endpoint).await;
        }
    }

    fn note_tried(&self, tried: &mut bool) {
        if !std::mem::replace(tried, true)
            && let Some(inner) = self.inner.upgrade()
        {
            inner.untried.send_modify(|count| *count = count.saturating_sub(1));
        }
    }

    async fn connect(&self) -> Result<Arc<ServerInfo>, Error> {
        let deadline = TokioClock.now() + self.connect_timeout;
        let connected = crate::endpoint::caught(self.endpoint.server.connect(deadline));
        let info = tokio::time::timeout_at(deadline.into_std().into(), connected)
            .await
            .unwrap_or_else(|_| Err(Error::new(Kind::Unreachable).message("not ready in time")))?;
        if let Some(inner) = self.inner.upgrade() {
            inner.health(&self.endpoint, Status::Up(info.clone()));
        }
        Ok(info)
    }

    /// Asks for the lists again and publishes them; says what failed. `None` where the orchestrator is gone.
    async fn refresh(&self, info: &ServerInfo) -> Option<Option<Error>> {
        let last = self.endpoint.listing.load_full();
        let deadline = TokioClock.now() + LIST_TIMEOUT;
        let (listing, failure) =
            Listing::fetch(&*self.endpoint.server, info, &last, deadline).await;
        if let Some(error) = &failure {
            tracing::warn!(server = &*self.endpoint.name, %error, "a list could not be fetched; the last known stays");
        }
        self.endpoint.set_listing(listing);
        let inner = self.inner.upgrade()?;
        inner.merge();
        inner.untried.send_modify(|_| {}); // those who wait for a name look again
        Some(failure)
    }

    /// Watches a connected server until it is lost (`Some`) or the orchestrator is gone (`None`).
    async fn watch(&self, info: &ServerInfo, failure: &mut Option<Error>) -> Option<()> {
        let mut next_probe = tokio::time::Instant::now() + PROBE_EVERY;
        loop {
            // A list that failed is asked for again with the next probe at the latest.
            let woken =
                tokio::time::timeout_at(next_probe, self.signals.wake.notified()).await.is_ok();
            if Signals::take(&self.signals.lost) {
                return Some(());
            }
            if woken {
                if Signals::take(&self.signals.lists_changed) {
                    *failure = self.refresh(info).await?;
                    tokio::time::sleep(LIST_PAUSE).await;
                }
                continue;
            }
            next_probe = tokio::time::Instant::now() + PROBE_EVERY;
            self.probe().await?;
            if failure.is_some() {
                *failure = self.refresh(info).await?;
            }
        }
    }

    async fn probe(&self) -> Option<()> {
        let deadline = TokioClock.now() + PROBE_PATIENCE;
        let probed = crate::endpoint::caught(self.endpoint.server.probe(deadline));
        let result =
            tokio::time::timeout_at(deadline.into_std().into(), probed).await.unwrap_or_else(
                |_| Err(Error::new(Kind::Timeout).message("the probe was not answered")),
            );
        let inner = self.inner.upgrade()?;
        match (result, self.endpoint.status()) {
            (Err(error), _) => inner.health(&self.endpoint, Status::Down(error)),
            (Ok(()), Status::Up(_)) => {}
            (Ok(()), _) => {
                drop(inner);
                let _ = self.connect().await; // back: says what it is
            }
        }
        Some(())
    }
}
