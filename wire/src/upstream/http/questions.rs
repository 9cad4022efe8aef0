//! What a legacy server asks of the client whose call it works on, until it is answered or withdrawn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use toolweir_core::{Clock, Error, Kind, Notification, RawJson, TokioClock};

use super::Remote;
use super::exchange::post;
use super::session::Head;
use crate::message::{self, Id};
use crate::upstream::waiting::Origin;

/// How long a client's user or model may take to answer a server's request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(600);

/// The questions that are open, by the server's ids; as many as there may be tasks beside the calls.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<String, (u64, CancellationToken)>,
    next: u64,
}

impl Questions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question; what is given back is cancelled where the server withdraws it.
    fn begin(&self, id: &Id) -> (u64, CancellationToken) {
        let mut table = self.table();
        table.next += 1;
        let entry = (table.next, CancellationToken::new());
        table.open.insert(id.key().into_owned(), entry.clone());
        entry
    }

    fn end(&self, id: &Id, number: u64) {
        let mut table = self.table();
        // A server that gives an id again has another question under it.
        if table.open.get(&*id.key()).is_some_and(|(known, _)| *known == number) {
            table.open.remove(&*id.key());
        }
    }

    /// Takes back what a server's `notifications/cancelled` names. It goes no further: the id is the server's, and means
    /// another question, or none, to whoever was asked.
    pub(super) fn withdraw(&self, cancelled: &Notification) {
        let id = cancelled.params.as_ref().and_then(|params| params.member("requestId"));
        let Some(id) = id.and_then(|id| Id::from_json(id.to_json())) else { return };
        if let Some((_, token)) = self.table().open.get(&*id.key()) {
            token.cancel();
        }
    }
}

/// A question's place among those that are open; given back on drop.
struct Open {
    remote: Arc<Remote>,
    id: Id,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.remote.questions.end(&self.id, self.number);
    }
}

/// Answers what a server asks: here, by the client whose `call` it works on, or with a refusal.
pub(super) fn asked(
    remote: &Arc<Remote>,
    head: &Head,
    request: message::Request,
    call: Option<(u64, Origin)>,
) {
    let message::Request { id, method, params } = request;
    let asking = call.as_ref().map(|(call, _)| remote.waiting.asking(*call));
    let peer = call.and_then(|(_, origin)| origin.peer);
    let (number, withdrawn) = remote.questions.begin(&id);
    let open = Open { remote: remote.clone(), id, number };
    let head = head.without_call();
    remote.aside(async move {
        let _asking = asking;
        let Open { remote, id, .. } = &open;
        let answer = async {
            match (&peer, method.as_str()) {
                (_, "ping") => Ok(RawJson::EMPTY_OBJECT),
                (Some(peer), "sampling/createMessage" | "elicitation/create" | "roots/list") => {
                    peer.request(method.clone(), params, TokioClock.now() + REQUEST_PATIENCE).await
                }
                (None, "sampling/createMessage" | "elicitation/create" | "roots/list") => {
                    Err(Error::new(Kind::InvalidRequest).message(
                        "it cannot be told which client's call this belongs to: none, or several, have calls in flight (`isolate` in the gateway's configuration gives each client an instance of its own)",
                    ))
                }
                _ => Err(Error::new(Kind::NotFound)),
            }
        };
        let answer = tokio::select! {
            biased;
            () = withdrawn.cancelled() => return, // dropping the question takes it back from the client
            answer = answer => answer,
        };
        let bytes = match answer {
            Ok(result) => message::response(Some(id), Ok(&result)),
            Err(error) => {
                message::response(Some(id), Err(&message::own_error(&error, &method, false)))
            }
        };
        let posted =
            tokio::time::timeout(remote.options.limits.write, post(remote, &head, bytes));
        let _ = posted.await; // a server that does not take the answer ends the call itself
    });
}
