//! Messages that go to a server one by one, instead of along one stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use toolweir_core::{Error, Kind, Method};

use super::connection::Item;
use crate::Limits;
use crate::message;
use crate::upstream::source::{Post, Refused};
use crate::upstream::waiting::Waiting;

/// How often it is looked whether somebody still waits for a call whose delivery takes long.
const LOOK: Duration = Duration::from_secs(1);

/// Delivers messages until one cannot be and none ever will, or nobody can send any more.
///
/// They do not wait for each other, so that a message which is not taken costs only its own call. All wait for
/// `notifications/initialized`, which no call may overtake.
pub(super) async fn post_all(
    mut queue: mpsc::Receiver<Item>,
    post: Post,
    waiting: Arc<Waiting>,
    limits: Limits,
) -> Option<Error> {
    let initialized = message::notification(&Method::INITIALIZED, None);
    let mut posts = JoinSet::new(); // they end with this
    loop {
        let next = tokio::select! {
            Some(posted) = posts.join_next() => match posted {
                Ok(None) => continue,
                Ok(end) => return end,
                Err(_) => return Some(Error::new(Kind::Internal).message("a delivery failed")),
            },
            item = queue.recv(), if posts.len() < limits.in_flight => item,
        };
        let Item { call, bytes } = next?;
        if call.is_some_and(|id| !waiting.mark_sent(id)) {
            continue;
        }
        let is_initialized = bytes == initialized;
        let (post, waiting, patience) = (post.clone(), waiting.clone(), limits.write);
        let delivery = async move {
            let delivered = post(bytes);
            match call {
                Some(id) => deliver(delivered, id, &waiting).await,
                None => tokio::time::timeout(patience, delivered)
                    .await
                    .unwrap_or_else(|_| Err(slow()))
                    .err()
                    .filter(|refused| refused.is_final || is_initialized)
                    .map(|refused| if refused.is_final { gone() } else { refused.error }),
            }
        };
        if is_initialized {
            if let Some(error) = delivery.await {
                return Some(error);
            }
        } else {
            posts.spawn(delivery);
        }
    }
}

/// Waits until a call is delivered or nobody waits for it any more: its answer may come first, and a server may take it
/// only when it has the answer. A refusal is the call's own.
async fn deliver(
    delivered: impl Future<Output = Result<(), Refused>>,
    id: u64,
    waiting: &Waiting,
) -> Option<Error> {
    let mut delivered = std::pin::pin!(delivered);
    let refused = loop {
        match tokio::time::timeout(LOOK, &mut delivered).await {
            Ok(delivered) => break delivered.err()?,
            Err(_) if waiting.awaits(id) => {}
            Err(_) => return None,
        }
    };
    waiting.answer(id, Err(refused.error));
    refused.is_final.then(gone)
}

fn gone() -> Error {
    Error::new(Kind::Disconnected)
        .message("the server no longer knows the stream that it answers on")
}

fn slow() -> Refused {
    let error = Error::new(Kind::Disconnected).message("the server does not take messages");
    Refused { error, is_final: false }
}
