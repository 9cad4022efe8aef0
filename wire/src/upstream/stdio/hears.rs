//! What a child says, and whom it concerns.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use toolweir_core::{Clock, Error, Kind, Notification, RawJson, ServerMessage, TokioClock};

use super::connection::Item;
use crate::Limits;
use crate::lines::{Line, Lines};
use crate::message::{self, Id, Incoming, Request, Response};
use crate::upstream::concerns_all;
use crate::upstream::listening::{is_acknowledgement, subscription_id};
use crate::upstream::salvage::{self, Meant};
use crate::upstream::subscribers::Subscribers;
use crate::upstream::waiting::{Asking, Origin, Waiting, progress_token};

/// How many of the child's own requests may be open at once.
const REQUESTS_MAX: usize = 64;
/// How long a client's user or model may take to answer a server's request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(600);

/// The reader's side of a connection.
pub(super) struct Hears {
    pub(super) name: Arc<str>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) writer: mpsc::WeakSender<Item>,
    pub(super) subscribers: Arc<Subscribers>,
    pub(super) limits: Limits,
}

impl Hears {
    /// Reads lines until the child closes its stdout.
    pub(super) async fn read(self, stdout: impl AsyncRead + Unpin) -> Option<Error> {
        let mut lines = Lines::new(stdout, self.limits.message);
        let mut requests = Requests::default();
        loop {
            tokio::select! {
                line = lines.next() => match line {
                    Ok(Some(Line::Whole(line))) => self.hear(line, &mut requests),
                    Ok(Some(Line::TooLong { head, tail })) => self.too_long(&head, &tail),
                    Ok(None) => return Some(closed()),
                    Err(error) => return Some(why(&error).unwrap_or_else(closed)),
                },
                Some(_) = requests.tasks.join_next(), if !requests.tasks.is_empty() => requests.forget_done(),
            }
        }
    }

    fn hear(&self, line: Bytes, requests: &mut Requests) {
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => line.slice_ref(rest),
            None => line,
        };
        if line.is_empty() {
            return;
        }
        if line.first() == Some(&b'[') {
            return self.batch(line, requests);
        }
        match message::read(line.clone(), self.limits.depth) {
            Ok(message) => self.take(message, requests),
            Err(fault) => self.broken(&line, &fault),
        }
    }

    /// Several messages in a line, as 2025-03-26 has it; anything else between brackets is noise.
    fn batch(&self, line: Bytes, requests: &mut Requests) {
        let Ok(batch) = RawJson::new(line) else { return };
        if batch.is_within_depth(self.limits.depth) {
            for message in batch.items().filter(|item| item.as_bytes().first() == Some(&b'{')) {
                self.hear(message.to_json().to_bytes(), requests);
            }
        }
    }

    /// What cannot be read fails the one call that it can belong to. The rest is noise: a banner, a print statement.
    fn broken(&self, line: &Bytes, fault: &message::Fault) {
        tracing::debug!(server = &*self.name, %fault, "ignored a line");
        match salvage::meant(line) {
            Meant::Answer(id) => {
                let error = Error::new(Kind::InvalidReply).message(fault.to_string());
                self.waiting.answer(id, Err(error));
            }
            Meant::Request(id) => {
                if let (Some(id), Some(writer)) = (Id::from_json(id), self.writer.upgrade()) {
                    refuse(&writer, &id, message::code::INVALID_REQUEST, &fault.to_string());
                }
            }
            Meant::Nothing => {}
        }
    }

    fn take(&self, message: Incoming, requests: &mut Requests) {
        match message {
            Incoming::Response(Response { id, result }) => {
                let known = id.as_ref().and_then(Id::as_own).is_some_and(|id| {
                    self.waiting.answer(id, result.map_err(message::server_error))
                });
                if !known {
                    tracing::debug!(server = &*self.name, "ignored an answer that nobody awaits");
                }
            }
            Incoming::Notification(notification) => self.notification(notification, requests),
            Incoming::Request(request) => self.request(request, requests),
            Incoming::Batch(_) => {} // read by `batch` already
        }
    }

    fn notification(&self, notification: Notification, requests: &mut Requests) {
        match notification.method.as_str() {
            "notifications/progress" => {
                if let Some(origin) =
                    progress_token(&notification).and_then(|id| self.waiting.origin(id))
                {
                    origin.notify(notification);
                }
            }
            "notifications/cancelled" => {
                if let Some(id) = requests.cancel(&notification).as_ref().and_then(Id::as_own) {
                    self.waiting.end_standing(id);
                }
            }
            _ if is_acknowledgement(&notification) => match subscription_id(&notification) {
                Some(Some(id)) => self.waiting.acknowledge(id),
                Some(None) => {
                    tracing::debug!(server = &*self.name, "acknowledged what is not ours");
                }
                None => self.waiting.acknowledge_sole(),
            },
            _ if concerns_all(&notification.method) => {
                self.subscribers.tell(ServerMessage::Notification(notification));
            }
            // A log line, or what is not known here, names no call: given to the client that alone has calls in
            // flight, never guessed.
            _ => match self.waiting.sole_origin() {
                Some((_, origin)) => origin.notify(notification),
                None => tracing::debug!(
                    server = &*self.name,
                    method = %notification.method,
                    "dropped what belongs to no one client"
                ),
            },
        }
    }

    /// The child asks something: of us, or of the client whose call it works on.
    fn request(&self, request: Request, requests: &mut Requests) {
        let Some(writer) = self.writer.upgrade() else { return };
        let Request { id, method, params } = request;
        let refuse = |code, text: &str| refuse(&writer, &id, code, text);
        match method.as_str() {
            "ping" => {
                let bytes = message::response(Some(&id), Ok(&RawJson::EMPTY_OBJECT));
                let _ = writer.try_send(Item { call: None, bytes });
            }
            "sampling/createMessage" | "elicitation/create" | "roots/list" => {
                match self.waiting.sole_origin() {
                    Some((call, origin)) if requests.tasks.len() < REQUESTS_MAX => {
                        let asking = self.waiting.asking(call);
                        requests.ask(
                            origin,
                            asking,
                            Request { id, method, params },
                            writer.clone(),
                        );
                    }
                    Some(_) => refuse(message::code::INTERNAL, "too many requests at once"),
                    None => refuse(
                        message::code::INVALID_REQUEST,
                        "it cannot be told which client's call this belongs to: none, or several, have calls in flight (`isolate` in the gateway's configuration gives each client an instance of its own)",
                    ),
                }
            }
            _ => refuse(message::code::METHOD_NOT_FOUND, "method not found"),
        }
    }

    /// An answer over the cap fails the call that its ends name; where they name none and one call alone waits, it is
    /// that one's.
    fn too_long(&self, head: &[u8], tail: &[u8]) {
        let cap = self.limits.message;
        tracing::warn!(server = &*self.name, cap, "dropped a line over the cap");
        let id = match salvage::ends(head, tail) {
            Meant::Answer(id) => Some(id),
            _ => self.waiting.sole_call(),
        };
        if let Some(id) = id {
            let text = format!("the server's answer is over {cap} bytes");
            self.waiting.answer(id, Err(Error::new(Kind::InvalidReply).message(text)));
        }
    }
}

fn closed() -> Error {
    Error::new(Kind::Disconnected).message("the server closed its output")
}

/// Why a stream failed, where it is not one of the system's and says so.
fn why(error: &std::io::Error) -> Option<Error> {
    error.get_ref()?.downcast_ref::<Error>().cloned()
}

fn refuse(writer: &mpsc::Sender<Item>, id: &Id, code: i64, text: &str) {
    let error = message::error_object(code, text, None);
    let bytes = message::response(Some(id), Err(&error));
    let _ = writer.try_send(Item { call: None, bytes }); // a child that reads nothing gets no answers
}

/// Refuses a request where the part that should answer it panics.
struct Refusal {
    id: Id,
    writer: mpsc::Sender<Item>,
}

impl Drop for Refusal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            refuse(&self.writer, &self.id, message::code::INTERNAL, "internal error");
        }
    }
}

/// The child's own requests that are being answered.
#[derive(Default)]
struct Requests {
    tasks: JoinSet<()>,
    by_id: HashMap<String, AbortHandle>,
}

impl Requests {
    fn ask(
        &mut self,
        origin: Origin,
        asking: Asking,
        request: Request,
        writer: mpsc::Sender<Item>,
    ) {
        let Request { id, method, params } = request;
        let key = id.key().into_owned();
        let task = self.tasks.spawn(async move {
            let _asking = asking;
            let _refusal = Refusal { id: id.clone(), writer: writer.clone() };
            let deadline = TokioClock.now() + REQUEST_PATIENCE;
            let answer = match &origin.peer {
                Some(peer) => peer.request(method.clone(), params, deadline).await,
                None => Err(Error::new(Kind::InvalidRequest).message("the caller cannot be asked")),
            };
            let bytes = match answer {
                Ok(result) => message::response(Some(&id), Ok(&result)),
                Err(error) => {
                    message::response(Some(&id), Err(&message::own_error(&error, &method, false)))
                }
            };
            let _ = writer.send(Item { call: None, bytes }).await; // the child may have ended
        });
        self.by_id.insert(key, task);
    }

    fn forget_done(&mut self) {
        self.by_id.retain(|_, task| !task.is_finished());
    }

    /// Ends what is cancelled; gives its id back where it is none of the child's own requests.
    fn cancel(&mut self, notification: &Notification) -> Option<Id> {
        let id = notification.params.as_ref().and_then(|params| params.member("requestId"))?;
        let id = Id::from_json(id.to_json())?;
        match self.by_id.remove(&*id.key()) {
            Some(task) => {
                task.abort();
                None
            }
            None => Some(id),
        }
    }
}
