//! One HTTP request to `/mcp`.
#![expect(clippy::result_large_err, reason = "a refusal is made once a request, and is its answer")]

use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming as HttpBody;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{
    HeaderMap, Method as Verb, Request as HttpRequest, Response as HttpResponse, StatusCode,
};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::body::{Accepts, Body, empty, events, json, kept_events, respond};
use super::front::Front;
use super::gate::{Access, Refusal};
use super::legacy;
use super::modern::{self, Reject, Route};
use super::replay::EventId;
use super::session::{Session, Slot, Stop};
use super::stream::{Answer, Driver, Outbox, Reader};
use crate::message::{self, Fault, Id, Incoming, Request, code};
use crate::version::{LEGACY, is_modern};

const VERSION: &str = "mcp-protocol-version";
const SESSION: &str = "mcp-session-id";
const LAST_EVENT: &str = "last-event-id";

type Response = HttpResponse<Body>;

/// Answers one request.
pub(crate) async fn handle(front: Arc<Front>, request: HttpRequest<HttpBody>) -> Response {
    let response = answer(&front, request).await;
    response.unwrap_or_else(|refused| refused)
}

async fn answer(front: &Arc<Front>, request: HttpRequest<HttpBody>) -> Result<Response, Response> {
    let (head, body) = request.into_parts();
    check(&front.service.access, &head)?;
    if head.uri.path() != "/mcp" {
        return Err(refuse(StatusCode::NOT_FOUND, "there is nothing here; MCP is at /mcp"));
    }
    let mut bytes = Bytes::new();
    if head.method == Verb::POST {
        bytes = read(front, &head.headers, body).await?;
    }
    begin(&head)?;
    match head.method {
        Verb::POST => post(front, &head.headers, bytes).await,
        Verb::GET => get(front, &head.headers),
        Verb::DELETE => delete(front, &head.headers),
        _ => Err(not_allowed("GET, POST, DELETE")),
    }
}

/// From here on the connection is at work, and not closed to make room.
pub(crate) fn begin(head: &hyper::http::request::Parts) -> Result<(), Response> {
    match head.extensions.get::<Activity>() {
        Some(activity) if !activity.begin() => {
            Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "too many connections"))
        }
        _ => Ok(()),
    }
}

/// Turns away, before any work, whom the listener does not let in.
pub(crate) fn check(access: &Access, head: &hyper::http::request::Parts) -> Result<(), Response> {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let Err(refusal) = access.check(authority, &head.headers) else { return Ok(()) };
    let challenge = match refusal {
        Refusal::Host | Refusal::Origin => {
            return Err(refuse(StatusCode::FORBIDDEN, refusal.text()));
        }
        Refusal::NoToken => "Bearer",
        Refusal::WrongToken => "Bearer error=\"invalid_token\"",
    };
    let mut response = refuse(StatusCode::UNAUTHORIZED, refusal.text());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    Err(response)
}

/// An error that concerns the HTTP request, not a message in it.
pub(crate) fn refuse(status: StatusCode, text: &str) -> Response {
    json(Reject::new(code::INVALID_REQUEST, text).status(status).answer(None))
}

pub(crate) fn not_allowed(allowed: &'static str) -> Response {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Reads the body within the cap and the time that there is for it.
async fn read(front: &Front, headers: &HeaderMap, mut body: HttpBody) -> Result<Bytes, Response> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `application/json`"));
    }
    let cap = front.service.limits.message;
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, "the message is too large");
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > cap as u64) {
        return Err(too_large());
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| refuse(StatusCode::BAD_REQUEST, "the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + all.len() + data.len() > cap {
                return Err(too_large());
            }
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&std::mem::take(&mut first));
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    };
    tokio::time::timeout(front.service.limits.read, whole)
        .await
        .unwrap_or_else(|_| Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long")))
}

/// What a POST needs besides its message.
struct Post<'a> {
    front: &'a Arc<Front>,
    headers: &'a HeaderMap,
    accepts: Accepts,
}

async fn post(front: &Arc<Front>, headers: &HeaderMap, bytes: Bytes) -> Result<Response, Response> {
    let accepts = Accepts::of(headers);
    if !accepts.json && !accepts.events {
        let text = "accept `application/json` and `text/event-stream`";
        return Err(refuse(StatusCode::NOT_ACCEPTABLE, text));
    }
    let post = Post { front, headers, accepts };
    let message = message::read(bytes, front.service.limits.depth)
        .map_err(|fault| json(fault_answer(&fault)))?;
    let has_session = headers.contains_key(SESSION);
    let claims_by_header = headers
        .get(VERSION)
        .and_then(|version| version.to_str().ok())
        .is_some_and(|version| is_modern(version.trim()));
    match message {
        Incoming::Request(request) => {
            let claims = modern::claims(request.params.as_ref());
            let is_initialize = request.method.as_str() == "initialize";
            if claims || (claims_by_header && !has_session && !is_initialize) {
                return Ok(post.modern(request).await);
            }
            if is_initialize {
                if claims_by_header {
                    let reject = Reject::new(
                        code::HEADER_MISMATCH,
                        "`MCP-Protocol-Version` names a revision without `initialize`",
                    );
                    return Err(json(reject.answer(Some(&request.id))));
                }
                return Ok(post.initialize(request).await);
            }
            let session = post.session(Some(&request.id))?;
            Ok(post.legacy(session, Incoming::Request(request)).await)
        }
        Incoming::Notification(notification)
            if modern::claims(notification.params.as_ref())
                || (claims_by_header && !has_session) =>
        {
            if modern::is_passed_on(&notification.method) {
                front.service.notify(None, notification).await;
            }
            Ok(empty(StatusCode::ACCEPTED))
        }
        Incoming::Response(_) | Incoming::Batch(_) if claims_by_header && !has_session => {
            Err(refuse(StatusCode::BAD_REQUEST, "send one request or notification"))
        }
        message => {
            let session = post.session(None)?;
            Ok(post.legacy(session, message).await)
        }
    }
}

/// The answer to a message that cannot be read.
pub(crate) fn fault_answer(fault: &Fault) -> Answer {
    Reject::new(fault.code(), &fault.to_string()).answer(fault.id())
}

impl Post<'_> {
    fn outbox(&self) -> Arc<Outbox> {
        if self.accepts.events {
            Outbox::new(self.front.service.limits.queue)
        } else {
            Outbox::quiet()
        }
    }

    /// The answer of one request that stands alone.
    async fn respond(&self, outbox: Arc<Outbox>, driver: Driver) -> Response {
        let keep_alive = self.front.service.limits.keep_alive;
        respond(Reader::new(outbox, Some(driver)), self.accepts, keep_alive, None).await
    }

    /// The answer of calls that go on without it.
    async fn respond_in(&self, session: &Session, outbox: Arc<Outbox>) -> Response {
        let keep_alive = self.front.service.limits.keep_alive;
        respond(Reader::new(outbox, None), self.accepts, keep_alive, Some(session)).await
    }

    /// A request that stands alone: it lives as long as its connection.
    async fn modern(&self, request: Request) -> Response {
        let front = self.front;
        let id = request.id.clone();
        let envelope = modern::envelope(request.params.as_ref(), front.service.access.principal());
        let checked = envelope.and_then(|envelope| {
            modern::check_headers(self.headers, &request, &envelope)?;
            front.mirrors.check(self.headers, &request).map(|()| envelope)
        });
        let envelope = match checked {
            Ok(envelope) => envelope,
            Err(reject) => return json(reject.answer(Some(&id))),
        };
        let outbox = self.outbox();
        let stop = Stop::new(CancellationToken::new());
        let out = outbox.clone();
        match modern::route(front, request, envelope, &outbox, Weak::new(), stop).await {
            Route::Answer(answer) => json(answer),
            Route::Listen(_) if !self.accepts.events => {
                let text = "a listen stream needs `Accept: text/event-stream`";
                refuse(StatusCode::NOT_ACCEPTABLE, text)
            }
            Route::Listen(opened) => {
                let driver = async move { out.finish(opened.run(true).await) };
                self.respond(outbox, Box::pin(driver)).await
            }
            Route::Call(asked) => {
                let front = front.clone();
                let driver = async move {
                    if let Some(result) = asked.carry(&front).await {
                        out.finish(asked.answer(result));
                    }
                };
                self.respond(outbox, Box::pin(driver)).await
            }
        }
    }

    async fn initialize(&self, request: Request) -> Response {
        let front = self.front;
        let principal = front.service.access.principal();
        let (client, answer) = match legacy::initialize(front, &request, principal).await {
            Ok(done) => done,
            Err(answer) => return json(answer),
        };
        let mut random = [0_u8; 16];
        if getrandom::fill(&mut random).is_err() {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "there is no randomness");
        }
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let header = HeaderValue::try_from(id.as_str());
        let session =
            Session::new(id, client, front.service.limits.replay, front.killed.child_token());
        match front.hub.open(session, front.service.limits.sessions) {
            Ok(Some(evicted)) => front.end(&evicted),
            Ok(None) => {}
            Err(()) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many sessions"),
        }
        let mut response = json(answer);
        if let Ok(header) = header {
            response.headers_mut().insert(SESSION, header);
        }
        response
    }

    fn session(&self, id: Option<&Id>) -> Result<Arc<Session>, Response> {
        find_session(self.front, self.headers, id)?.ok_or_else(|| {
            let text =
                "no session: send `initialize` first, or the headers and `_meta` of 2026-07-28";
            json(Reject::new(code::INVALID_REQUEST, text).answer(id))
        })
    }

    /// A message of a session: what it asks goes on without its connection.
    async fn legacy(&self, session: Arc<Session>, message: Incoming) -> Response {
        session.touch();
        match message {
            Incoming::Notification(notification) => {
                legacy::notified(self.front, &session, notification).await;
                empty(StatusCode::ACCEPTED)
            }
            Incoming::Response(response) => {
                session.answered(response);
                empty(StatusCode::ACCEPTED)
            }
            Incoming::Request(request) => {
                let Some(slot) = session.begin(&request.id, self.front.service.limits.in_flight)
                else {
                    return json(legacy::overloaded(&request));
                };
                let outbox = self.outbox();
                self.spawn(session.clone(), vec![(slot, request)], Vec::new(), false, &outbox);
                self.respond_in(&session, outbox).await
            }
            Incoming::Batch(items) => self.batch(session, items).await,
        }
    }

    async fn batch(&self, session: Arc<Session>, items: Vec<toolweir_core::RawJson>) -> Response {
        if !session.takes_batches() || items.is_empty() {
            let text = "this session takes one message at a time";
            return refuse(StatusCode::BAD_REQUEST, text);
        }
        let limits = &self.front.service.limits;
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        for item in items {
            match message::read(item.to_bytes(), limits.depth) {
                Ok(Incoming::Request(request)) => {
                    match session.begin(&request.id, limits.in_flight) {
                        Some(slot) => calls.push((slot, request)),
                        None => answers.push(legacy::overloaded(&request).bytes),
                    }
                }
                Ok(Incoming::Notification(notification)) => {
                    legacy::notified(self.front, &session, notification).await;
                }
                Ok(Incoming::Response(response)) => session.answered(response),
                Ok(Incoming::Batch(_)) => {
                    let reject = Reject::new(code::INVALID_REQUEST, "a batch within a batch");
                    answers.push(reject.answer(None).bytes);
                }
                Err(fault) => answers.push(fault_answer(&fault).bytes),
            }
        }
        if calls.is_empty() && answers.is_empty() {
            return empty(StatusCode::ACCEPTED);
        }
        let outbox = self.outbox();
        self.spawn(session.clone(), calls, answers, true, &outbox);
        self.respond_in(&session, outbox).await
    }

    /// Carries out calls of a session apart from this connection; the answers go to `outbox`, as one array where
    /// `is_batch` says so.
    fn spawn(
        &self,
        session: Arc<Session>,
        calls: Vec<(Slot, Request)>,
        mut answers: Vec<Bytes>,
        is_batch: bool,
        outbox: &Arc<Outbox>,
    ) {
        let Some(client) = session.client() else { return outbox.end() };
        let (front, ending) = (self.front.clone(), Ending(outbox.clone()));
        self.front.tasks.spawn(async move {
            let outbox = &ending.0;
            if !is_batch {
                for (slot, request) in calls {
                    let answer =
                        legacy::answer(&front, client.clone(), &session, &slot, request, outbox);
                    if let Some(answer) = answer.await {
                        outbox.finish(answer);
                    }
                }
                return;
            }
            let mut running = tokio::task::JoinSet::new();
            for (slot, request) in calls {
                let (front, client) = (front.clone(), client.clone());
                let (session, outbox) = (session.clone(), outbox.clone());
                running.spawn(async move {
                    legacy::answer(&front, client, &session, &slot, request, &outbox).await
                });
            }
            while let Some(ended) = running.join_next().await {
                answers.extend(ended.ok().flatten().map(|answer| answer.bytes));
            }
            if !answers.is_empty() {
                outbox.finish(Answer::ok(array(&answers)));
            }
        });
    }
}

/// Ends an outbox whatever happens to the task that fills it.
struct Ending(Arc<Outbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Messages as one array.
pub(crate) fn array(messages: &[Bytes]) -> Bytes {
    let mut out = Vec::with_capacity(messages.iter().map(|m| m.len() + 1).sum::<usize>() + 1);
    for (index, message) in messages.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.extend_from_slice(message);
    }
    out.push(b']');
    out.into()
}

/// The session that the headers name, if they name one.
fn find_session(
    front: &Front,
    headers: &HeaderMap,
    id: Option<&Id>,
) -> Result<Option<Arc<Session>>, Response> {
    let error =
        |status, text| json(Reject::new(code::INVALID_REQUEST, text).status(status).answer(id));
    let Some(name) = headers.get(SESSION) else { return Ok(None) };
    let session = name.to_str().ok().and_then(|name| front.hub.session(name.trim()));
    let Some(session) = session else {
        return Err(error(StatusCode::NOT_FOUND, "this session has ended; send `initialize`"));
    };
    let is_known = |version: &HeaderValue| {
        version.to_str().is_ok_and(|version| LEGACY.contains(&version.trim()))
    };
    if !headers.get_all(VERSION).iter().all(is_known) {
        let text = "`MCP-Protocol-Version` names no revision that sessions speak";
        return Err(error(StatusCode::BAD_REQUEST, text));
    }
    Ok(Some(session))
}

/// Opens a session's stream for what belongs to no call, or takes up the one that `Last-Event-ID` names.
fn get(front: &Front, headers: &HeaderMap) -> Result<Response, Response> {
    let Some(session) = find_session(front, headers, None)? else {
        return Err(not_allowed("POST"));
    };
    if !Accepts::of(headers).events {
        return Err(refuse(StatusCode::NOT_ACCEPTABLE, "accept `text/event-stream`"));
    }
    let limits = &front.service.limits;
    if let Some(last) = headers.get(LAST_EVENT) {
        let last = last.to_str().ok().and_then(|last| EventId::parse(last.trim()));
        if let Some(reader) = last.and_then(|last| session.take_up(last)) {
            return Ok(events(reader, limits.keep_alive));
        }
        // What belongs to no call comes on any stream of its kind; the rest of a call comes nowhere else.
        if !last.is_some_and(|last| last.stream.is_general) {
            let text = "`Last-Event-ID` names no stream that is kept";
            return Err(refuse(StatusCode::BAD_REQUEST, text));
        }
    }
    let outbox = Outbox::new(limits.queue);
    session.set_stream(outbox.clone());
    if front.closing.is_cancelled() {
        outbox.end();
    }
    Ok(kept_events(None, Reader::new(outbox, None), limits.keep_alive, &session, true))
}

/// Ends a session and its calls.
fn delete(front: &Front, headers: &HeaderMap) -> Result<Response, Response> {
    let Some(session) = find_session(front, headers, None)? else {
        return Err(not_allowed("POST"));
    };
    if let Some(session) = front.hub.remove(&session.id) {
        front.end(&session);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}
