//! The stream on which an HTTP server tells what nobody asked for: a GET in the legacy era, `subscriptions/listen` in
//! the modern one. A lost stream is opened again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use toolweir_core::{Error, Method, RawJson, ServerMessage};

use super::Remote;
use super::exchange;
use super::session::{Head, Session};
use crate::message::{self, Id, Incoming};
use crate::sse;
use crate::version::{Era, MODERN, meta, own_identity};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Listens as long as the session lives, which owns this task. Ends where the server offers no such stream.
pub(super) async fn listen(remote: Arc<Remote>, session: Weak<Session>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some((era, head)) = session.upgrade().and_then(|session| wanted(&session)) else {
            return;
        };
        let opened = match era {
            Era::Legacy => open_legacy(&remote, &head).await,
            Era::Modern => open_modern(&remote, &head).await,
        };
        match opened {
            Ok(response) if is_stream(&response) => {
                pause = FIRST_PAUSE;
                read(&remote, &head, response.into_body()).await;
            }
            // Not offered, or (404) the session is gone, which the next call finds out and mends.
            Ok(response) if is_final(response.status()) => return,
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How to listen; `None` where a modern server tells of no changes.
fn wanted(session: &Session) -> Option<(Era, Head)> {
    match session.era() {
        Era::Legacy => Some((Era::Legacy, session.plain_head())),
        Era::Modern if wants_listen(session) => {
            Some((Era::Modern, Head::modern(&Method::SUBSCRIPTIONS_LISTEN, None)))
        }
        Era::Modern => None,
    }
}

fn is_final(status: StatusCode) -> bool {
    let for_now = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !for_now.contains(&status)
}

fn is_stream(response: &Response<Body>) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    response.status().is_success() && kind.starts_with("text/event-stream")
}

async fn open_legacy(remote: &Remote, head: &Head) -> Result<Response<Body>, Error> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = remote.endpoint.uri.clone();
    request.headers_mut().extend(remote.endpoint.headers.clone());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    head.write(request.headers_mut());
    let response = remote.client.request(request).await;
    response.map_err(|error| Error::new(toolweir_core::Kind::Disconnected).caused_by(error))
}

/// Whether the server tells of changes at all.
fn wants_listen(session: &Session) -> bool {
    let info = session.info();
    ["tools", "prompts", "resources"].iter().any(|list| list_changed(&info.capabilities, list))
}

fn list_changed(capabilities: &RawJson, list: &str) -> bool {
    let Some(list) = capabilities.member(list).map(|part| part.to_json()) else { return false };
    list.member("listChanged").is_some_and(|value| value.as_bytes() == b"true")
}

async fn open_modern(remote: &Remote, head: &Head) -> Result<Response<Body>, Error> {
    let params = RawJson::from(serde_json::json!({
        "notifications": { "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true },
        "_meta": { meta::VERSION: MODERN, meta::CAPABILITIES: {}, meta::CLIENT_INFO: own_identity() },
    }));
    let body =
        message::request(&Id::own(remote.next_id()), &Method::SUBSCRIPTIONS_LISTEN, Some(&params));
    exchange::post(remote, head, body).await
}

/// Hands on notifications until the stream ends.
async fn read(remote: &Arc<Remote>, head: &Head, mut body: Body) {
    let limits = &remote.options.limits;
    let (mut decoder, mut events) = (sse::Decoder::new(limits.message), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        if decoder.push(data, &mut events).is_err() {
            tracing::warn!(
                server = &*remote.name,
                "an event over the cap; the stream is opened again"
            );
            return;
        }
        for event in events.drain(..) {
            match message::read(event.data, limits.depth) {
                Ok(Incoming::Notification(notification)) => {
                    remote.subscribers.tell(&ServerMessage::Notification(notification));
                }
                Ok(Incoming::Response(_)) => return, // the subscription's end
                // It belongs to no call, so only a ping can be answered; the rest is refused.
                Ok(Incoming::Request(request)) => exchange::asked(remote, head, request, None),
                _ => {}
            }
        }
    }
}
