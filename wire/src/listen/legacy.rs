//! 2024-11-05 to 2025-11-25: `initialize`, then a session.

use std::sync::Arc;

use serde::Serialize;
use toolweir_core::{Client, Error, Kind, Method, Notification, Principal, RawJson};

use super::calls::{Asked, target};
use super::front::Front;
use super::modern::{Reject, is_ours};
use super::session::{Level, Session, Slot};
use super::stream::{Answer, Outbox};
use super::tasks;
use crate::message::{self, Id, Request, code};
use crate::version::{Era, LEGACY};

/// The revision to speak with a client that asks for `asked`: that one where it is known, else the newest.
pub(crate) fn negotiate(asked: &str) -> &'static str {
    LEGACY.into_iter().find(|known| *known == asked).unwrap_or(LEGACY[0])
}

/// Carries out `initialize`: the client as it introduced itself, and the answer.
///
/// # Errors
/// Gives the answer where it cannot be.
pub(crate) async fn initialize(
    front: &Front,
    request: &Request,
    principal: Principal,
) -> Result<(Arc<Client>, Answer), Answer> {
    let id = Some(&request.id);
    let params = request.params.as_ref();
    let member = |key| params.and_then(|params| params.member(key));
    let Some(asked) = member("protocolVersion").and_then(|version| version.string()) else {
        let reject = Reject::new(code::INVALID_PARAMS, "`protocolVersion` is missing");
        return Err(reject.status(hyper::StatusCode::OK).answer(id));
    };
    let version = negotiate(&asked);
    let info = front.service.info().await.map_err(|error| failed(id, &error, &request.method))?;
    let mut client = Client::new(principal);
    client.protocol_version = Some(Arc::from(version));
    client.info = member("clientInfo").map(|info| info.to_json());
    let capabilities = member("capabilities").map(|capabilities| capabilities.to_json());
    if let Some(capabilities) = capabilities.filter(RawJson::is_object) {
        client.capabilities = capabilities;
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized<'a> {
        protocol_version: &'a str,
        capabilities: RawJson,
        server_info: &'a RawJson,
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<&'a str>,
    }
    let result = RawJson::of(&Initialized {
        protocol_version: version,
        capabilities: tasks::offered(&info.capabilities, false),
        server_info: &info.identity,
        instructions: info.instructions.as_deref(),
    })
    .unwrap_or(RawJson::EMPTY_OBJECT);
    Ok((Arc::new(client), Answer::ok(message::response(id, Ok(&result)))))
}

fn failed(id: Option<&Id>, error: &Error, method: &Method) -> Answer {
    let object = message::own_error(error, method, false);
    Answer::ok(message::response(id, Err(&object)))
}

/// Answers a request of a session that is too busy.
pub(crate) fn overloaded(request: &Request) -> Answer {
    failed(Some(&request.id), &Kind::Overloaded.into(), &request.method)
}

/// Carries out a request of a session, with its notifications on `outbox`; `None` where the client cancelled it.
pub(crate) async fn answer(
    front: &Arc<Front>,
    client: Arc<Client>,
    session: &Arc<Session>,
    slot: &Slot,
    request: Request,
    outbox: &Arc<Outbox>,
) -> Option<Answer> {
    let empty = || Answer::ok(message::response(Some(&request.id), Ok(&RawJson::EMPTY_OBJECT)));
    let uri = target(&request.method, request.params.as_ref());
    let mut undo = None;
    match (request.method.as_str(), uri) {
        ("ping", _) => return Some(empty()),
        (name, _) if is_ours(name) => {
            let reject = Reject::new(code::METHOD_NOT_FOUND, "method not found");
            return Some(reject.status(hyper::StatusCode::OK).answer(Some(&request.id)));
        }
        ("initialize" | "server/discover" | "subscriptions/listen", _) => {
            let reject = Reject::new(code::METHOD_NOT_FOUND, "not a method of this session");
            return Some(reject.status(hyper::StatusCode::OK).answer(Some(&request.id)));
        }
        // The server counts whom it sends changes: each session once for each resource.
        ("resources/subscribe", Some(uri)) => {
            match session.watch(&uri, front.service.limits.in_flight) {
                Err(_) => return Some(overloaded(&request)),
                Ok(false) => return Some(empty()),
                Ok(true) => undo = Some(Unwatch { session, uri, is_kept: false }),
            }
        }
        ("resources/unsubscribe", Some(uri)) if !session.unwatch(&uri) => return Some(empty()),
        _ => {}
    }
    let level =
        (request.method == Method::SET_LEVEL).then(|| Level::of(request.params.as_ref())).flatten();
    let asked = Asked {
        request,
        era: Era::Legacy,
        client,
        outbox: outbox.clone(),
        session: Arc::downgrade(session),
        level: None,
        stop: slot.stop.clone(),
    };
    let result = asked.carry(front).await?;
    if let Ok(reply) = &result {
        session.note_task(&asked.request, reply);
        if let Some(undo) = &mut undo {
            undo.is_kept = true;
        }
        if let Some(level) = level {
            session.set_level(level);
        }
    }
    Some(asked.answer(result))
}

/// Forgets a subscription that did not come about.
struct Unwatch<'a> {
    session: &'a Session,
    uri: String,
    is_kept: bool,
}

impl Drop for Unwatch<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.session.unwatch(&self.uri);
        }
    }
}

/// Takes a notification of a session.
pub(crate) async fn notified(front: &Front, session: &Session, notification: Notification) {
    session.touch();
    match notification.method.as_str() {
        "notifications/cancelled" => session.cancel(notification.params.as_ref()),
        "notifications/initialized" | "notifications/progress" => {}
        _ => front.service.notify(session.client().as_ref(), notification).await,
    }
}
