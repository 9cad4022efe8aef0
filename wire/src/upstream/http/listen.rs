//! The stream on which an HTTP server tells what nobody asked for: a GET in the legacy era, `subscriptions/listen` in
//! the modern one.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use toolweir_core::{Error, Method, ServerInfo, ServerMessage};

use super::Remote;
use super::exchange;
use super::session::{Head, Session};
use crate::message::{self, Id, Incoming};
use crate::sse;
use crate::upstream::listening::{self, End, Listens, Opening};
use crate::version::Era;

/// Listens for ever; the session owns this task.
pub(super) fn listen(
    remote: Arc<Remote>,
    session: &Session,
) -> impl Future<Output = ()> + Send + 'static {
    let (era, info) = (session.era(), session.info());
    let head = match era {
        Era::Legacy => session.plain_head(),
        Era::Modern => Head::modern(&Method::SUBSCRIPTIONS_LISTEN, None),
    };
    let (wishes, subscribers) = (remote.wishes.clone(), remote.subscribers.clone());
    let link = Link { remote, era, head, info: info.clone() };
    listening::keep(link, wishes, subscribers, info)
}

struct Link {
    remote: Arc<Remote>,
    era: Era,
    head: Head,
    info: Arc<ServerInfo>,
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
            Era::Legacy => open_legacy(&self.remote, &self.head).await,
            Era::Modern => match self.remote.wishes.params(&self.info) {
                Some(params) => {
                    let id = Id::own(self.remote.next_id());
                    let body = message::request(&id, &Method::SUBSCRIPTIONS_LISTEN, Some(&params));
                    exchange::post(&self.remote, &self.head, body).await
                }
                None => return Opening::Nothing,
            },
        };
        match opened {
            Ok(response) if is_stream(&response) => Opening::Opened(Stream {
                body: response.into_body(),
                decoder: sse::Decoder::new(self.remote.options.limits.message),
            }),
            // Not offered, or (404) the session is gone, which the next call finds out and mends.
            Ok(response) if is_final(response.status()) => Opening::Nothing,
            Ok(_) | Err(_) => Opening::Failed,
        }
    }

    async fn read(&self, stream: &mut Stream) -> End {
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
                        if !listening::is_acknowledgement(&notification) =>
                    {
                        remote.subscribers.tell(&ServerMessage::Notification(notification));
                    }
                    // The subscription's end.
                    Ok(Incoming::Response(response)) => {
                        return End::of(&response.result.map_err(message::server_error));
                    }
                    // It belongs to no call, so only a ping can be answered; the rest is refused.
                    Ok(Incoming::Request(request)) => {
                        exchange::asked(remote, &self.head, request, None);
                    }
                    _ => {}
                }
            }
        }
        End::Lost
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
