//! The transport of 2024-11-05 over HTTP, which later revisions replaced: a GET opens the stream that all answers come on,
//! its first event says where messages are posted.
//!
//! Here it is a pair of ends like any other: what makes calls, ends them and asks clients is the same as for a child.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, watch};
use toolweir_core::{Error, Kind};

use super::connector::HttpClient;
use super::listen::is_stream;
use super::{Endpoint, exchange};
use crate::sse::{Decoder, Event};
use crate::upstream::Options;
use crate::upstream::keeper::AbortOnDrop;
use crate::upstream::source::{Ends, Input, Post, Refused, Source};

/// How many events may wait to be read.
const EVENTS: usize = 16;
/// How long a server that opened its stream may take to say where messages are posted. A stream of Streamable HTTP never
/// says it.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);

/// What connects to the server at `endpoint`.
pub(in crate::upstream) fn source(
    endpoint: Endpoint,
    client: HttpClient,
    options: &Options,
) -> Source {
    let link = Arc::new(Link {
        endpoint,
        client,
        message_cap: options.limits.message,
        patience: PLACE_PATIENCE.min(options.connect_timeout / 2),
    });
    Source::Streams(Box::new(move || {
        let (found, place) = watch::channel(None);
        let (events, receiver) = mpsc::channel(EVENTS);
        let reading = link.clone();
        let task = tokio::spawn(async move {
            let error = reading.run(&found, &events).await;
            let _ = events.send(Err(io::Error::other(error))).await; // nobody may read any more
        });
        let posting = link.clone();
        let post: Post = Arc::new(move |message| {
            let (link, place) = (posting.clone(), place.clone());
            Box::pin(async move { link.post(place, message).await })
        });
        let output = Output { events: receiver, rest: Bytes::new(), _task: AbortOnDrop(task) };
        Ok(Ends { input: Input::Posts(post), output: Box::new(output), process: None })
    }))
}

struct Link {
    endpoint: Endpoint,
    client: HttpClient,
    message_cap: usize,
    /// How long the server may take to say where messages are posted.
    patience: Duration,
}

type Place = watch::Sender<Option<Uri>>;
type Events = mpsc::Sender<io::Result<Bytes>>;

impl Link {
    /// Hands on what the server says, until its stream ends.
    async fn run(&self, found: &Place, events: &Events) -> Error {
        let response = match self.open().await {
            Ok(response) => response,
            Err(error) => return error,
        };
        let unplaced = async {
            tokio::time::sleep(self.patience).await;
            if found.borrow().is_some() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            error = self.read(response.into_body(), found, events) => error,
            () = unplaced => {
                let seconds = self.patience.as_secs_f32();
                Error::new(Kind::InvalidReply).message(format!(
                    "its event stream has no `endpoint` within {seconds} s, as HTTP+SSE has it"
                ))
            }
        }
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        request.headers_mut().extend(self.endpoint.headers.clone());
        request
    }

    async fn open(&self) -> Result<Response<Body>, Error> {
        let mut request = self.request(Bytes::new());
        *request.uri_mut() = self.endpoint.uri.clone();
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = self.client.request(request).await;
        let response = response.map_err(|error| exchange::transport(&self.endpoint, error))?;
        if is_stream(&response) {
            return Ok(response);
        }
        let status = response.status();
        Err(if status.is_success() {
            Error::new(Kind::InvalidReply).message("what a GET gives is no event stream")
        } else {
            refusal(&response).message(format!("a GET for the event stream is answered {status}"))
        })
    }

    async fn read(&self, mut body: Body, found: &Place, events: &Events) -> Error {
        let (mut decoder, mut decoded) = (Decoder::new(self.message_cap), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return exchange::cut(&error),
            };
            let Some(data) = frame.data_ref() else { continue };
            let fits = decoder.push(data, &mut decoded);
            for event in decoded.drain(..) {
                if let Err(error) = self.take(event, found, events).await {
                    return error;
                }
            }
            if let Err(error) = fits {
                return Error::new(Kind::Disconnected).message(error.to_string());
            }
        }
        Error::new(Kind::Disconnected).message("the server ended its event stream")
    }

    async fn take(&self, event: Event, found: &Place, events: &Events) -> Result<(), Error> {
        match event.event.as_deref() {
            // Given once: messages go nowhere else later.
            Some("endpoint") if found.borrow().is_some() => {}
            Some("endpoint") => {
                let place = resolve(&self.endpoint.uri, &event.data)
                    .map_err(|text| Error::new(Kind::InvalidReply).message(text))?;
                found.send_replace(Some(place));
            }
            None | Some("message") if !event.data.is_empty() => {
                events.send(Ok(line(&event.data))).await.map_err(|_| Kind::Closed)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Posts a message as soon as it is known where.
    async fn post(
        &self,
        mut place: watch::Receiver<Option<Uri>>,
        message: Bytes,
    ) -> Result<(), Refused> {
        let place = match place.wait_for(Option::is_some).await {
            Ok(place) => place.clone(),
            Err(_) => None,
        };
        // Where there is none the stream has ended, which its reader tells, and why.
        let Some(place) = place else { return std::future::pending().await };
        let mut request = self.request(message);
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = place;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.client.request(request).await.map_err(|error| Refused {
            error: exchange::transport(&self.endpoint, error),
            is_final: false,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        // It does not know the stream: what it was told was carried out by nobody, and nothing else will be.
        let is_final = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let text = format!("the POST of a message is answered {status}");
        let error = refusal(&response).message(text);
        Err(Refused { error: if is_final { error.unsent() } else { error }, is_final })
    }
}

fn refusal(response: &Response<Body>) -> Error {
    let status = response.status();
    Error::new(match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Kind::Throttled { retry_after: exchange::retry_after(response.headers()) }
        }
        _ => Kind::Status { status: status.as_u16() },
    })
}

/// An event's data as a line. Several lines of data are one message, in which a line end can only be white space.
fn line(data: &[u8]) -> Bytes {
    let mut line: Vec<u8> = Vec::with_capacity(data.len() + 1);
    line.extend(data.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    line.push(b'\n');
    line.into()
}

/// Where messages are posted: what the server says, seen from `base`, and at the same origin only.
fn resolve(base: &Uri, told: &[u8]) -> Result<Uri, String> {
    let told =
        std::str::from_utf8(told).map_err(|_| "its `endpoint` is no text".to_owned())?.trim();
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let path = base.path();
    let text = if told.starts_with("http://") || told.starts_with("https://") {
        told.to_owned()
    } else if told.starts_with("//") {
        format!("{scheme}:{told}")
    } else if told.starts_with('/') {
        format!("{scheme}://{authority}{told}")
    } else if told.starts_with('?') {
        format!("{scheme}://{authority}{path}{told}")
    } else {
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        format!("{scheme}://{authority}{folder}{told}")
    };
    let place: Uri = text.parse().map_err(|_| "its `endpoint` is no URL".to_owned())?;
    if origin(&place) != origin(base) {
        return Err("its `endpoint` is at another origin, where nothing is sent".to_owned());
    }
    Ok(place)
}

/// Scheme, host and port.
fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    let has_user = uri.authority()?.as_str().contains('@');
    (!has_user).then(|| {
        Some((scheme, uri.host()?.to_ascii_lowercase(), uri.port_u16().unwrap_or(usual)))
    })?
}

/// The events as a stream of lines.
struct Output {
    events: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    _task: AbortOnDrop,
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.events.poll_recv(context)) {
                Some(event) => self.rest = event?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_posted_at_the_same_origin_only() {
        let base: Uri = "http://h:80/mcp/sse?k=1".parse().unwrap();
        for (told, place) in [
            ("/messages?s=1", "http://h:80/messages?s=1"),
            ("messages", "http://h:80/mcp/messages"),
            ("?s=1", "http://h:80/mcp/sse?s=1"),
            ("http://H/x", "http://H/x"),
            (" //h/x\n", "http://h/x"),
        ] {
            assert_eq!(resolve(&base, told.as_bytes()).unwrap(), place, "{told}");
        }
        for told in [
            "https://h/x",
            "http://h:81/x",
            "http://other/x",
            "//other/x",
            "http://h@other/x",
            "http://u@h/x",
            "http://",
            "/ x",
        ] {
            assert!(resolve(&base, told.as_bytes()).is_err(), "{told}");
        }
        assert!(resolve(&base, b"/\xff").is_err());
    }
}
