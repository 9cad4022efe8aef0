//! A legacy server's questions to a modern client.
//!
//! A legacy server asks while the call is open; a modern client expects the call to end with `input_required`, and makes
//! it again with the answers. So the call stays open towards the server and is parked here: the client gets the
//! questions and a `requestState` that names the parked call, and what it sends next with that state goes on with it.
//!
//! The name is 128 random bits, good for one use, and only for the principal, the method and the params (without
//! `_meta`, in whatever order) that it was given for.

mod leg;
mod table;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use toolweir_core::{Client, Error, Kind, Method, Reply};

use self::leg::LegPeer;
pub(crate) use self::table::ParkedCalls;
use super::calls::Asked;
use super::front::Front;
use super::peer::CallPeer;

/// How long a first question waits for others that are asked with it: nobody notices, since somebody answers.
const TOGETHER: Duration = Duration::from_millis(20);

/// Only a call of this client may be parked; the rest of its requests are carried plainly.
pub(crate) fn concerns(asked: &Asked) -> bool {
    can_be_asked(&asked.client, &asked.request.method) || table::names_parked(&asked.request)
}

/// Whether a call of this client can be parked: it can be asked something, on a method that may ask.
pub(crate) fn can_be_asked(client: &Client, method: &Method) -> bool {
    let may_ask = matches!(method.as_str(), "tools/call" | "prompts/get" | "resources/read");
    let has = |name| client.capabilities.member(name).is_some();
    may_ask && (has("elicitation") || has("sampling") || has("roots"))
}

/// Carries a modern client's request: from its beginning, or on from where it was parked; `None` where the client
/// cancelled.
pub(crate) async fn carry(asked: &Asked, front: &Arc<Front>) -> Option<Result<Reply, Error>> {
    let request = &asked.request;
    let leg = Arc::new(asked.peer(front));
    let claimed = match front.parked.claim(request, &asked.client.principal) {
        Ok(claimed) => claimed,
        Err(error) => return Some(Err(error)),
    };
    let mut running = match claimed {
        Some(running) => {
            running.peer.go_on(leg, request.params.as_ref());
            running
        }
        None => Running::begin(asked, front, leg),
    };
    let peer = running.peer.clone();
    let result = tokio::select! {
        biased;
        () = asked.stop.token.cancelled() => return None,
        result = running.finished() => Some(result),
        () = peer.asked() => None,
    };
    match result {
        Some(result) => Some(result),
        None => {
            // What is asked at the same time comes along.
            tokio::select! {
                biased;
                () = asked.stop.token.cancelled() => return None,
                result = running.finished() => return Some(result),
                () = tokio::time::sleep(TOGETHER) => {}
            }
            Some(front.parked.park(front, running, request, &asked.client.principal))
        }
    }
}

/// A call that may outlive the request that began it; dropped, it is cancelled at the server.
struct Running {
    work: Work,
    peer: Arc<LegPeer>,
}

type Carried = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

enum Work {
    /// Carried by the request that it answers.
    Here(Carried),
    /// Goes on between two requests.
    Apart { _task: AbortOnDropHandle<()>, result: oneshot::Receiver<Result<Reply, Error>> },
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Running {
    fn begin(asked: &Asked, front: &Arc<Front>, leg: Arc<CallPeer>) -> Self {
        let peer = Arc::new(LegPeer::new(front.service.limits.in_flight, leg));
        let (service, call) = (front.service.clone(), asked.call(peer.clone()));
        Self { work: Work::Here(Box::pin(async move { service.call(&call).await })), peer }
    }

    /// The call's result.
    ///
    /// Cancel-safe; must not be called again once it has given one.
    async fn finished(&mut self) -> Result<Reply, Error> {
        match &mut self.work {
            Work::Here(carried) => carried.await,
            Work::Apart { result, .. } => {
                result.await.unwrap_or_else(|_| Err(Error::new(Kind::Closed).ambiguous()))
            }
        }
    }

    /// Lets the call go on without a request that carries it; it ends with the listener.
    fn apart(self, front: &Front) -> Self {
        let Work::Here(carried) = self.work else { return self };
        let (sender, result) = oneshot::channel();
        let (closing, killed) = (front.closing.clone(), front.killed.clone());
        let task = front.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = killed.cancelled() => {}
                result = carried => drop(sender.send(result)),
            }
        });
        let work = Work::Apart { _task: AbortOnDropHandle::new(task), result };
        Self { work, peer: self.peer }
    }
}
