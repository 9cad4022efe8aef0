//! The stream that answers a request: what comes before the result, and where it is taken up again.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming as Body;
use toolweir_core::{Error, Kind, Notification, RawJson, ServerMessage};

use super::Remote;
use super::exchange::{collect, cut};
use super::listen::{get, is_final, is_stream};
use super::questions::asked;
use super::session::Head;
use crate::message::{self, Id, Incoming, Response};
use crate::sse;
use crate::upstream::concerns_all;
use crate::upstream::waiting::{Origin, progress_token};

/// How often a stream is taken up again with nothing new on it.
const ATTEMPTS: u32 = 5;
/// How long to wait before that where the server does not say; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a server may ask to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Reads the stream that answers the request of our `id`, up to the result.
///
/// A legacy server may end it early, or lose it, and go on where it is asked to by `Last-Event-ID`. The request itself is
/// never sent again.
pub(super) async fn result(
    remote: &Arc<Remote>,
    head: &Head,
    mut body: Body,
    id: u64,
    origin: Option<&Origin>,
) -> Result<RawJson, Error> {
    let mut reading = Reading { remote, head, id, origin, last: None, retry: None, tries: 0 };
    loop {
        match reading.read(body).await {
            Ok(response) => return response.result.map_err(message::server_error),
            Err(Broken::Invalid(error)) => return Err(error),
            Err(Broken::Off(error)) => body = reading.take_up(error).await?,
        }
    }
}

/// Why a stream gave no result.
enum Broken {
    /// It ended too early.
    Off(Error),
    Invalid(Error),
}

struct Reading<'a> {
    remote: &'a Arc<Remote>,
    head: &'a Head,
    id: u64,
    origin: Option<&'a Origin>,
    /// The id of the latest event that had one.
    last: Option<String>,
    /// How long the server wants us to wait before we come again.
    retry: Option<Duration>,
    tries: u32,
}

impl Reading<'_> {
    async fn read(&mut self, mut body: Body) -> Result<Response, Broken> {
        let limits = &self.remote.options.limits;
        let (mut decoder, mut events) = (sse::Decoder::new(limits.message), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Broken::Off(cut(&error)))?;
            let Some(data) = frame.data_ref() else { continue };
            decoder.push(data, &mut events).map_err(|error| {
                Broken::Invalid(Error::new(Kind::InvalidReply).message(error.to_string()))
            })?;
            for event in events.drain(..) {
                if event.data.is_empty() {
                    continue; // only tells an event id
                }
                if let Some(response) = self.hear(event.data) {
                    read_out(self.remote, body).await;
                    return Ok(response);
                }
            }
            self.note(&mut decoder);
        }
        Err(Broken::Off(
            Error::new(Kind::Disconnected).message("the stream ended before the result"),
        ))
    }

    /// Remembers where the stream can be taken up again.
    fn note(&mut self, decoder: &mut sse::Decoder) {
        if let Some(retry) = decoder.retry() {
            self.retry = Some(Duration::from_millis(retry));
        }
        let Some(last) = decoder.last_id() else { return };
        if self.last.as_ref() != Some(&last) {
            self.last = Some(last);
            self.tries = 0;
        }
    }

    /// Takes a message; gives the response that is waited for.
    fn hear(&self, data: bytes::Bytes) -> Option<Response> {
        match message::read(data, self.remote.options.limits.depth) {
            Ok(Incoming::Response(response)) => {
                (response.id.as_ref().and_then(Id::as_own) == Some(self.id)).then_some(response)
            }
            Ok(Incoming::Notification(notification)) => {
                self.notified(notification);
                None
            }
            Ok(Incoming::Request(request)) => {
                let call = self.origin.cloned().map(|origin| (self.id, origin));
                asked(self.remote, self.head, request, call);
                None
            }
            Ok(Incoming::Batch(_)) | Err(_) => {
                tracing::debug!(server = &*self.remote.name, "ignored an event that is no message");
                None
            }
        }
    }

    fn notified(&self, notification: Notification) {
        match notification.method.as_str() {
            "notifications/progress" if progress_token(&notification) != Some(self.id) => {}
            "notifications/cancelled" => self.remote.questions.withdraw(&notification),
            _ if concerns_all(&notification.method) => {
                self.remote.subscribers.tell(ServerMessage::Notification(notification));
            }
            // A log line, or what is not known here: it belongs to the call whose stream it came on.
            _ => {
                if let Some(origin) = self.origin {
                    origin.notify(notification);
                }
            }
        }
    }

    /// The rest of a stream that broke off.
    ///
    /// # Errors
    /// Gives back why it did where there is no rest.
    async fn take_up(&mut self, error: Error) -> Result<Body, Error> {
        let Some(last) = self.last.clone().filter(|_| !self.head.is_modern()) else {
            return Err(error);
        };
        while self.tries < ATTEMPTS {
            let pause = PAUSE * 2_u32.pow(self.tries);
            tokio::time::sleep(self.retry.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            self.tries += 1;
            match get(self.remote, &self.head.without_call(), Some(&last)).await {
                Ok(response) if is_stream(&response) => {
                    tracing::debug!(server = &*self.remote.name, %last, "took a stream up again");
                    return Ok(response.into_body());
                }
                Ok(response) if is_final(response.status()) => break,
                Ok(_) | Err(_) => {}
            }
        }
        Err(error)
    }
}

/// Reads to the end of a stream whose result has come, so that its connection can be used again. The caller does not
/// wait for a server that leaves the stream open.
async fn read_out(remote: &Arc<Remote>, mut body: Body) {
    const PATIENCE: Duration = Duration::from_secs(1);
    if let Ok(None) = tokio::time::timeout(Duration::ZERO, body.frame()).await {
        return;
    }
    let cap = remote.options.limits.message;
    remote.aside(async move {
        let _ = tokio::time::timeout(PATIENCE, collect(body, cap)).await;
    });
}
