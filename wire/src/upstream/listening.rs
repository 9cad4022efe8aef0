//! Keeping open the stream on which a server tells what nobody asked for, whatever carries it, and what it is asked
//! to tell of.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use toolweir_core::{
    Call, Error, Kind, Method, Notification, RawJson, Reply, ServerInfo, ServerMessage,
};

use super::subscribers::Subscribers;
use crate::message::code;
use crate::version::{Era, MODERN, TASKS, meta, own_identity};

/// However soon the server wants us back.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A stream that lived this long was sound: its loss begins no series.
const SOUND_AFTER: Duration = Duration::from_secs(10);
/// How long further wishes are awaited before a stream is opened for them.
const COALESCE: Duration = Duration::from_millis(20);
/// How many resources may be subscribed to at one server, and how many tasks may be watched.
const WISHES_MAX: usize = 1_024;

/// The resources and tasks whose changes are wanted. They outlive a connection.
#[derive(Debug)]
pub(super) struct Wishes {
    uris: Mutex<BTreeSet<String>>,
    tasks: Mutex<BTreeSet<String>>,
    changed: watch::Sender<()>,
}

impl Default for Wishes {
    fn default() -> Self {
        let changed = watch::Sender::new(());
        Self { uris: Mutex::default(), tasks: Mutex::default(), changed }
    }
}

fn lock(wishes: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    wishes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wishes {
    /// Answers `resources/subscribe` and `resources/unsubscribe` in the place of a modern server, which knows the
    /// subscription's stream only, and what asks for news of tasks, which no server knows; `None` for every other call.
    pub(super) fn answer(&self, call: &Call, era: Era) -> Option<Result<Reply, Error>> {
        let (is_wished, wishes) = match call.method.as_str() {
            "resources/subscribe" => (true, &self.uris),
            "resources/unsubscribe" => (false, &self.uris),
            "toolweir/tasks/watch" => (true, &self.tasks),
            "toolweir/tasks/unwatch" => (false, &self.tasks),
            _ => return None,
        };
        let is_task = std::ptr::eq(wishes, &raw const self.tasks);
        if era == Era::Legacy {
            // A legacy server tells of tasks unasked, where it does.
            return is_task.then(|| Ok(Reply::new(RawJson::EMPTY_OBJECT)));
        }
        let member = call.method.target_member().unwrap_or_default();
        let wish = call.target.as_deref().map(str::to_owned).or_else(|| {
            let wish = call.params.as_ref()?.member(member)?;
            wish.string().map(std::borrow::Cow::into_owned)
        });
        let Some(wish) = wish else {
            let text = format!("`{member}` is missing");
            return Some(Err(Error::new(Kind::InvalidRequest).message(text)));
        };
        let mut wishes = lock(wishes);
        let changed = match is_wished {
            true if wishes.len() >= WISHES_MAX && !wishes.contains(&wish) => {
                let what =
                    if is_task { "tasks are watched" } else { "resources are subscribed to" };
                let text = format!("{WISHES_MAX} {what} at this server");
                return Some(Err(Error::new(Kind::Overloaded).message(text)));
            }
            true => wishes.insert(wish),
            false => wishes.remove(&wish),
        };
        drop(wishes);
        if changed {
            self.changed.send_replace(());
        }
        Some(Ok(Reply::new(RawJson::EMPTY_OBJECT)))
    }

    /// The params of `subscriptions/listen`; `None` where there is nothing to hear.
    pub(super) fn params(&self, info: &ServerInfo) -> Option<RawJson> {
        let mut notifications = serde_json::Map::new();
        for (list, key) in [
            ("tools", "toolsListChanged"),
            ("prompts", "promptsListChanged"),
            ("resources", "resourcesListChanged"),
        ] {
            if list_changed(&info.capabilities, list) {
                notifications.insert(key.to_owned(), true.into());
            }
        }
        let mut capabilities = serde_json::json!({});
        for (wishes, key) in [(&self.uris, "resourceSubscriptions"), (&self.tasks, "taskIds")] {
            let wishes: Vec<String> = lock(wishes).iter().cloned().collect();
            if !wishes.is_empty() {
                notifications.insert(key.to_owned(), wishes.into());
            }
        }
        if notifications.contains_key("taskIds") {
            capabilities = serde_json::json!({ "extensions": { TASKS: {} } });
        }
        (!notifications.is_empty()).then(|| {
            RawJson::from(serde_json::json!({
                "notifications": notifications,
                "_meta": {
                    meta::VERSION: MODERN,
                    meta::CAPABILITIES: capabilities,
                    meta::CLIENT_INFO: own_identity(),
                },
            }))
        })
    }
}

fn list_changed(capabilities: &RawJson, list: &str) -> bool {
    let Some(list) = capabilities.member(list).map(|part| part.to_json()) else { return false };
    list.member("listChanged").is_some_and(|value| value.as_bytes() == b"true")
}

/// What a subscription begins with; it tells nothing that subscribers could use.
pub(super) fn is_acknowledgement(notification: &Notification) -> bool {
    notification.method == *"notifications/subscriptions/acknowledged"
}

/// What came of opening a stream.
pub(super) enum Opening<S> {
    Opened(S),
    /// There is nothing to hear, or none of it is offered.
    Nothing,
    /// It failed, and may succeed later.
    Failed,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was lost, or ended in good order; something may be missed until it is open again.
    Lost,
    /// The server refuses it.
    Refused,
    /// The server refuses it for now.
    Later,
}

impl End {
    /// What the answer to `subscriptions/listen` says, which comes when the stream ends.
    pub(super) fn of(answer: &Result<RawJson, Error>) -> Self {
        match answer.as_ref().map_err(Error::kind) {
            Ok(_) => Self::Lost,
            Err(Kind::Protocol { code: code::METHOD_NOT_FOUND | code::INVALID_PARAMS }) => {
                Self::Refused
            }
            Err(Kind::Protocol { .. }) => Self::Later,
            Err(_) => Self::Lost,
        }
    }
}

/// A way to listen.
pub(super) trait Listens: Sync {
    type Stream: Send;
    /// Opens a stream for what is wanted now.
    fn open(&self) -> impl Future<Output = Opening<Self::Stream>> + Send;
    /// Hands on what comes until the stream ends.
    fn read(&self, stream: &mut Self::Stream) -> impl Future<Output = End> + Send;
    /// How long the server wants us to wait before a stream that it ended is opened again.
    fn retry(&self) -> Option<Duration> {
        None
    }
}

/// Keeps a stream open for ever: again after a loss, with pauses, and for new wishes at once.
pub(super) async fn keep(
    link: impl Listens,
    wishes: Arc<Wishes>,
    subscribers: Arc<Subscribers>,
    info: Arc<ServerInfo>,
) {
    let mut wanted = wishes.changed.subscribe();
    let (mut pause, mut missed) = (FIRST_PAUSE, false);
    loop {
        wanted.mark_unchanged();
        let end = match link.open().await {
            Opening::Opened(stream) => {
                if std::mem::take(&mut missed) {
                    tell_changed(&subscribers, &info);
                }
                let since = Instant::now();
                let end = follow(&link, stream, &mut wanted).await;
                if since.elapsed() >= SOUND_AFTER {
                    pause = FIRST_PAUSE;
                }
                missed = end == End::Lost;
                end
            }
            Opening::Nothing => End::Refused,
            Opening::Failed => End::Later,
        };
        if end == End::Refused {
            let _ = wanted.changed().await; // the sender is `wishes`, which this holds
            tokio::time::sleep(COALESCE).await;
            continue;
        }
        if let Some(retry) = link.retry().filter(|_| end == End::Lost) {
            tokio::time::sleep(retry.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
            continue;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Reads a stream to its end. Where the wishes change, a new one takes its place, which is read as soon as it is open:
/// the old one is read until then.
async fn follow<L: Listens>(
    link: &L,
    mut stream: L::Stream,
    wanted: &mut watch::Receiver<()>,
) -> End {
    loop {
        let renewed = async {
            let _ = wanted.changed().await;
            tokio::time::sleep(COALESCE).await;
            wanted.mark_unchanged();
            link.open().await
        };
        tokio::select! {
            biased;
            end = link.read(&mut stream) => return end,
            opening = renewed => match opening {
                Opening::Opened(new) => stream = new,
                Opening::Nothing => return End::Refused,
                Opening::Failed => return End::Lost,
            },
        }
    }
}

/// Lists may have changed while nobody listened.
fn tell_changed(subscribers: &Subscribers, info: &ServerInfo) {
    for (list, method) in [
        ("tools", Method::TOOLS_CHANGED),
        ("prompts", Method::PROMPTS_CHANGED),
        ("resources", Method::RESOURCES_CHANGED),
    ] {
        if info.capabilities.member(list).is_some() {
            subscribers.tell(&ServerMessage::Notification(Notification::new(method, None)));
        }
    }
}
