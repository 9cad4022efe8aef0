//! Keeping open the stream on which a server tells what nobody asked for, whatever carries it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use toolweir_core::{Error, Kind, Method, Notification, RawJson, ServerInfo, ServerMessage};

use super::subscribers::Subscribers;
use super::wishes::{ACKNOWLEDGED_WITHIN, Wishes};
use crate::message::{Id, code};
use crate::version::meta;

/// However soon the server wants us back.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A stream that lived this long was sound: its loss begins no series.
const SOUND_AFTER: Duration = Duration::from_secs(10);
/// How long further wishes are awaited before a stream is opened for them.
const COALESCE: Duration = Duration::from_millis(20);

/// What a subscription begins with; it tells nothing that subscribers could use.
pub(super) fn is_acknowledgement(notification: &Notification) -> bool {
    notification.method == *"notifications/subscriptions/acknowledged"
}

/// Which subscription a notification names, if it names one: ours by its number, or `Some(None)`.
pub(super) fn subscription_id(notification: &Notification) -> Option<Option<u64>> {
    let meta = notification.params.as_ref()?.member("_meta")?.to_json();
    let id = meta.member(meta::SUBSCRIPTION_ID)?.to_json();
    Some(Id::from_json(id).and_then(|id| id.as_own()))
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
    /// Hands on what comes until the stream ends, and says when the server has acknowledged it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the stream can be read on.
    fn read(
        &self,
        stream: &mut Self::Stream,
        acknowledged: impl Fn() + Send + Sync,
    ) -> impl Future<Output = End> + Send;
    /// How long the server wants us to wait before a stream that it ended is opened again.
    fn retry(&self) -> Option<Duration> {
        None
    }
}

/// Keeps a stream open for ever: again after a loss, with pauses, and for new wishes at once. Until it is open none is
/// carried, from this call on.
pub(super) fn keep(
    link: impl Listens + Send,
    wishes: Arc<Wishes>,
    subscribers: Arc<Subscribers>,
    info: Arc<ServerInfo>,
) -> impl Future<Output = ()> + Send {
    wishes.lose();
    async move {
        let mut wanted = wishes.changes();
        let (mut pause, mut missed) = (FIRST_PAUSE, false);
        loop {
            let mut change = *wanted.borrow_and_update();
            let end = match link.open().await {
                Opening::Opened(stream) => {
                    if std::mem::take(&mut missed) {
                        tell_changed(&subscribers, &info);
                    }
                    let since = Instant::now();
                    let end = follow(&link, stream, &wishes, &mut wanted, &mut change).await;
                    wishes.lose();
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
                wishes.carry(change); // as far as this server ever will
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
}

/// Reads a stream, which was opened for what was wanted at `change`, to its end. Where the wishes change, a new one takes its
/// place, which is read as soon as it is open.
async fn follow<L: Listens>(
    link: &L,
    mut stream: L::Stream,
    wishes: &Wishes,
    wanted: &mut watch::Receiver<u64>,
    change: &mut u64,
) -> End {
    loop {
        let carried = *change;
        let renewed = async {
            let _ = wanted.changed().await;
            tokio::time::sleep(COALESCE).await;
            *change = *wanted.borrow_and_update();
            link.open().await
        };
        let opening = tokio::select! {
            biased;
            end = link.read(&mut stream, || wishes.carry(carried)) => return end,
            opening = renewed => opening,
        };
        stream = match opening {
            Opening::Opened(new) => match succeed(link, stream, new, wishes, *change).await {
                Ok(new) => new,
                Err(end) => return end,
            },
            Opening::Nothing => return End::Refused,
            Opening::Failed => return End::Lost,
        };
    }
}

/// Reads the `new` stream and the `old` one until the new one is acknowledged: before that the server may know nothing of it.
/// What it tells on both of them is told twice.
async fn succeed<L: Listens>(
    link: &L,
    mut old: L::Stream,
    mut new: L::Stream,
    wishes: &Wishes,
    change: u64,
) -> Result<L::Stream, End> {
    let acknowledged = Notify::new();
    let acknowledge = || {
        wishes.carry(change);
        acknowledged.notify_one();
    };
    let in_time = tokio::time::timeout(ACKNOWLEDGED_WITHIN, acknowledged.notified());
    let until_then = async {
        let _ = link.read(&mut old, || {}).await; // its end matters no more
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        end = link.read(&mut new, acknowledge) => return Err(end),
        _ = in_time => {}
        () = until_then => {}
    }
    Ok(new)
}

/// Lists may have changed while nobody listened.
fn tell_changed(subscribers: &Subscribers, info: &ServerInfo) {
    for (list, method) in [
        ("tools", Method::TOOLS_CHANGED),
        ("prompts", Method::PROMPTS_CHANGED),
        ("resources", Method::RESOURCES_CHANGED),
    ] {
        if info.capabilities.member(list).is_some() {
            subscribers.tell(ServerMessage::Notification(Notification::new(method, None)));
        }
    }
}
