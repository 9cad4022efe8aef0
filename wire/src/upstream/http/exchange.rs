//! One POST and its answer, as JSON or as a stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use toolweir_core::{Error, Kind, Method, RawJson};

use super::session::Head;
use super::{Endpoint, Remote, stream};
use crate::message::{self, Id, Incoming};
use crate::upstream::waiting::Origin;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// A result, and the head of the response that brought it.
pub(super) struct Answered {
    pub(super) result: RawJson,
    pub(super) headers: HeaderMap,
}

/// Why there is no result.
pub(super) struct Failed {
    pub(super) error: Error,
    /// The server refused the request because it does not know our session (any more).
    pub(super) session_gone: bool,
    /// The refusal is not one of the era that was agreed on: the server may be another one by now.
    pub(super) is_doubtful: bool,
    /// The refusal names no request, or refuses the era: it was made before anything was carried out.
    pub(super) unread: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, session_gone: false, is_doubtful: false, unread: false }
    }
}

/// Posts a message.
pub(super) async fn post(
    remote: &Remote,
    head: &Head,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    if body.len() > remote.options.limits.message {
        let cap = remote.options.limits.message;
        return Err(Error::new(Kind::TooLarge).message(format!("the request is over {cap} bytes")));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = remote.endpoint.uri.clone();
    let headers = request.headers_mut();
    headers.extend(remote.endpoint.headers.clone());
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, JSON_OR_EVENTS);
    head.write(headers);
    remote.client.request(request).await.map_err(|error| transport(&remote.endpoint, error))
}

pub(super) fn transport(endpoint: &Endpoint, error: hyper_util::client::legacy::Error) -> Error {
    let host = endpoint.uri.authority().map_or("?", |authority| authority.host());
    let mut text = format!("{host}: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    let kind = if error.is_connect() { Kind::Unreachable } else { Kind::Disconnected };
    Error::new(kind).message(text).caused_by(error)
}

/// Posts the request with our `id` and waits for its result, handing on what comes before it.
pub(super) async fn exchange(
    remote: &Arc<Remote>,
    head: Head,
    body: Bytes,
    id: u64,
    origin: Option<&Origin>,
) -> Result<Answered, Failed> {
    let response = post(remote, &head, body).await?;
    let (parts, body) = response.into_parts();
    let (status, headers) = (parts.status, parts.headers);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let error = Error::new(Kind::Throttled { retry_after: retry_after(&headers) });
        return Err(throttled(error, body, remote.options.limits.depth).await.into());
    }
    let is = |kind: &str| {
        let value =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case(kind))
    };
    if status.is_success() && is("text/event-stream") {
        let result = stream::result(remote, &head, body, id, origin).await?;
        return Ok(Answered { result, headers });
    }
    let text = collect(body, remote.options.limits.message).await;
    let answer = match &text {
        Ok(text) if is("application/json") => {
            read_answer(text.clone(), remote.options.limits.depth, id)
        }
        _ => None,
    };
    match answer {
        Some((_, Ok(result))) if status.is_success() => Ok(Answered { result, headers }),
        Some((ours, Err(object))) if ours || !status.is_success() => {
            // A refusal that names the request is an answer, but for the 404 that says so of a session.
            let error = message::server_error(object);
            let unknown = Kind::Protocol { code: message::code::METHOD_NOT_FOUND };
            let session_gone = head.has_session()
                && match status {
                    StatusCode::NOT_FOUND => !ours || error.kind() != unknown,
                    StatusCode::BAD_REQUEST => !ours,
                    _ => false,
                };
            let refuses_era = is_era_error(error.kind());
            let is_doubtful = if head.is_modern() {
                is_refusal(status) && !refuses_era && !is_modern_refusal(error.kind())
            } else {
                refuses_era
            };
            let unread = !ours || (is_doubtful && refuses_era);
            Err(Failed { error, session_gone, is_doubtful, unread })
        }
        _ if !status.is_success() => {
            let error = Error::new(Kind::Status { status: status.as_u16() });
            let is_doubtful = is_refusal(status);
            // Whoever takes no POST has another transport now, whatever the session.
            let takes_none = status == StatusCode::METHOD_NOT_ALLOWED && !head.is_modern();
            let session_gone = takes_none || (head.has_session() && is_doubtful);
            Err(Failed { error, session_gone, is_doubtful, unread: true })
        }
        _ => match text {
            Err(error) => Err(error.into()),
            Ok(_) => Err(Error::new(Kind::InvalidReply)
                .message("the answer is no JSON-RPC response to the request")
                .into()),
        },
    }
}

/// The statuses with which a server refuses what it does not speak, or does not know.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    )
}

/// The errors that only modern servers have.
fn is_era_error(kind: Kind) -> bool {
    use message::code::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION};
    matches!(
        kind,
        Kind::Protocol { code: HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION }
    )
}

/// What a modern server answers with such a status, too.
fn is_modern_refusal(kind: Kind) -> bool {
    use message::code::{INVALID_PARAMS, METHOD_NOT_FOUND};
    matches!(kind, Kind::Protocol { code: INVALID_PARAMS | METHOD_NOT_FOUND })
}

/// A request for a pause, with the JSON-RPC error that came along; not waited for long, nor read far.
async fn throttled(error: Error, body: Body, depth: usize) -> Error {
    const PATIENCE: Duration = Duration::from_secs(1);
    const CAP: usize = 64 << 10;
    let Ok(Ok(text)) = tokio::time::timeout(PATIENCE, collect(body, CAP)).await else {
        return error;
    };
    match message::read(text, depth) {
        Ok(Incoming::Response(message::Response { result: Err(object), .. }))
            if object.member("code").is_some_and(|code| code.get::<i64>().is_ok()) =>
        {
            error.answered_with(object)
        }
        _ => error,
    }
}

/// How long the server asks to wait: seconds or a date, at most a day.
#[expect(clippy::disallowed_methods, reason = "a date is of the wall clock")]
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date that has passed asks for no pause.
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(pause.min(Duration::from_secs(24 * 3_600)))
}

/// Reads a whole body, no further than the cap.
pub(super) async fn collect(mut body: Body, cap: usize) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > cap {
            return Err(Error::new(Kind::InvalidReply)
                .message(format!("the server's answer is over {cap} bytes")));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

pub(super) fn cut(error: &hyper::Error) -> Error {
    Error::new(Kind::Disconnected).message(format!("the answer was cut off: {error}"))
}

/// Reads a response; says whether it carries our id, and what it is.
fn read_answer(text: Bytes, depth: usize, id: u64) -> Option<(bool, Result<RawJson, RawJson>)> {
    match message::read(text, depth).ok()? {
        Incoming::Response(response) => {
            let ours = response.id.as_ref().and_then(Id::as_own) == Some(id);
            (ours || response.id.is_none() || response.result.is_err())
                .then_some((ours, response.result))
        }
        _ => None,
    }
}

/// A request that is not a call: what the handshake sends.
pub(super) async fn plain(
    remote: &Arc<Remote>,
    head: Head,
    method: Method,
    params: RawJson,
) -> Result<Answered, Failed> {
    let id = remote.next_id();
    let body = message::request(&Id::own(id), &method, Some(&params));
    exchange(remote, head, body, id, None).await
}
