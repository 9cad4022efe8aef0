//! The stream on which an HTTP server tells what nobody asked for: a GET in the legacy era, `subscriptions/listen` in
//! the modern one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::Notify;
use toolweir_core::{Error, Method, Notification, ServerInfo, ServerMessage};

use super::Remote;
use super::exchange;
use super::questions::asked;
use super::session::{Head, Session};
use crate::message::{self, Id, Incoming};
use crate::sse;
use crate::upstream::concerns_all;
use crate::upstream::listening::{self, End, Listens, Opening};
use crate::upstream::waiting::progress_token;
use crate::version::Era;

const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Listens for ever; the session owns this task. Tells `begun` as soon as it is known whether there is a stream.
pub(super) fn listen(
    remote: Arc<Remote>,
    session: &Session,
    begun: Arc<Notify>,
) -> impl Future<Output = ()> + Send + 'static {
    let (era, info) = (session.era(), session.info());
    let head = match era {
        Era::Legacy => session.plain_head(),
        Era::Modern => Head::modern(&Method::SUBSCRIPTIONS_LISTEN, None),
    };
    let (wishes, subscribers) = (remote.wishes.clone(), remote.subscribers.clone());
    let link = Link {
        remote,
        era,
        head,
        info: info.clone(),
        last: Mutex::default(),
        retry: AtomicU64::new(0),
        begun,
    };
    listening::keep(link, wishes, subscribers, info)
}

struct Link {
    remote: Arc<Remote>,
    era: Era,
    head: Head,
    info: Arc<ServerInfo>,
    /// The id of a legacy server's latest event.
    last: Mutex<Option<String>>,
    /// How long it wants us to wait, in milliseconds; 0 where it did not say.
    retry: AtomicU64,
    begun: Arc<Notify>,
}

impl Link {
    /// Progress and logs may come here, too, from servers that do not tell the streams apart.
    fn notified(&self, notification: Notification) {
        let waiting = &self.remote.waiting;
        let origin = match notification.method.as_str() {
            "notifications/progress" => {
                progress_token(&notification).and_then(|id| waiting.origin(id))
            }
            "notifications/cancelled" => return self.remote.questions.withdraw(&notification),
            _ if concerns_all(&notification.method) => {
                let message = ServerMessage::Notification(notification);
                return self.remote.subscribers.tell(message);
            }
            _ => waiting.sole_origin().map(|(_, origin)| origin),
        };
        match origin {
            Some(origin) => origin.notify(notification),
            None => tracing::debug!(
                server = &*self.remote.name,
                "what it says belongs to no one client"
            ),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<String>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open stream and what of it is not read yet.
struct Stream {
    body: Body,
    decoder: sse::Decoder,
}

impl Listens for Link {
    type Stream = Stream;

    async fn open(&self) -> Opening<Stream> {
        let opened = match self.era {
            Era::Legacy => {
                let last = self.last().clone();
                get(&self.remote, &self.head, last.as_deref()).await
            }
            Era::Modern => match self.remote.wishes.params(&self.info) {
                Some(params) => {
                    let id = Id::own(self.remote.next_id());
                    let body = message::request(&id, &Method::SUBSCRIPTIONS_LISTEN, Some(&params));
                    exchange::post(&self.remote, &self.head, body).await
                }
                None => return Opening::Nothing,
            },
        };
        self.begun.notify_one();
        match opened {
            Ok(response) if is_stream(&response) => Opening::Opened(Stream {
                body: response.into_body(),
                decoder: sse::Decoder::new(self.remote.options.limits.message),
            }),
            // It keeps nothing of the stream before.
            Ok(response) if is_final(response.status()) && self.last().take().is_some() => {
                Opening::Failed
            }
            // Not offered, or (404) the session is gone, which the next call finds out and mends.
            Ok(response) if is_final(response.status()) => Opening::Nothing,
            Ok(_) | Err(_) => Opening::Failed,
        }
    }

    async fn read(&self, stream: &mut Stream, acknowledged: impl Fn() + Send + Sync) -> End {
        let (remote, mut events) = (&self.remote, Vec::new());
        while let Some(Ok(frame)) = stream.body.frame().await {
            let Some(data) = frame.data_ref() else { continue };
            if stream.decoder.push(data, &mut events).is_err() {
                tracing::warn!(
                    server = &*remote.name,
                    "an event over the cap; the stream is opened again"
                );
                return End::Lost;
            }
            for event in events.drain(..) {
                match message::read(event.data, remote.options.limits.depth) {
                    Ok(Incoming::Notification(notification))
                        if listening::is_acknowledgement(&notification) =>
                    {
                        acknowledged();
                    }
                    Ok(Incoming::Notification(notification)) => self.notified(notification),
                    // The subscription's end.
                    Ok(Incoming::Response(response)) => {
                        return End::of(&response.result.map_err(message::server_error));
                    }
                    // It names no call, so it is the one's who alone has calls in flight.
                    Ok(Incoming::Request(request)) => {
                        asked(remote, &self.head, request, remote.waiting.sole_origin());
                    }
                    _ => {}
                }
            }
            if let Some(last) = stream.decoder.last_id() {
                *self.last() = Some(last);
            }
            if let Some(retry) = stream.decoder.retry() {
                self.retry.store(retry, Ordering::Relaxed);
            }
        }
        End::Lost
    }

    fn retry(&self) -> Option<Duration> {
        let retry = self.retry.load(Ordering::Relaxed);
        (retry > 0).then(|| Duration::from_millis(retry))
    }
}

/// Whether asking again would be answered the same.
pub(super) fn is_final(status: StatusCode) -> bool {
    let for_now = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !for_now.contains(&status)
}

pub(super) fn is_stream(response: &Response<Body>) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    response.status().is_success() && kind.starts_with("text/event-stream")
}

/// Opens a legacy server's stream; the one behind the event `last`, where there is one.
pub(super) async fn get(
    remote: &Remote,
    head: &Head,
    last: Option<&str>,
) -> Result<Response<Body>, Error> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = remote.endpoint.uri.clone();
    request.headers_mut().extend(remote.endpoint.headers.clone());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    head.write(request.headers_mut());
    if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
        request.headers_mut().insert(LAST_EVENT, last);
    }
    let response = remote.client.request(request).await;
    response.map_err(|error| Error::new(toolweir_core::Kind::Disconnected).caused_by(error))
}
