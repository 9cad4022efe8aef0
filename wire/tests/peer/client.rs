//! Clients that show what is on the wire: over HTTP, and a message a line.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::within;

/// One connection; dropping it closes the socket.
pub(crate) struct Client {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { host: address.to_string(), sender, connection }
    }

    pub(crate) async fn post(&mut self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send("POST", "/mcp", headers, body).await
    }

    pub(crate) async fn get(&mut self, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", "/mcp", headers, "").await
    }

    pub(crate) async fn send_without_host(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.finish(request.header("content-type", "application/json"), body).await
    }

    /// Sends a request; the usual headers are there unless `headers` has them.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        let usual = [
            ("host", self.host.as_str()),
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
        ];
        let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        for (name, value) in usual.iter().filter(|(name, _)| !is_given(name)).chain(headers) {
            request = request.header(*name, *value);
        }
        self.finish(request, body).await
    }

    async fn finish(&mut self, request: Builder, body: &str) -> Answer {
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        within(self.sender.ready()).await.unwrap();
        let response = within(self.sender.send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            text: String::new(),
            has_ended: false,
            last_id: None,
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    text: String,
    has_ended: bool,
    last_id: Option<String>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().unwrap().to_owned())
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type").as_deref() == Some("text/event-stream")
    }

    pub(crate) async fn text(self) -> String {
        let bytes = within(self.body.collect()).await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub(crate) async fn json(self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The next block of a stream, as it is; `None` at the end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let block = std::mem::replace(&mut self.text, rest);
                return Some(block.trim_end().to_owned());
            }
            match within(self.body.frame()).await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap();
                    self.text.push_str(std::str::from_utf8(&data).unwrap());
                }
                Some(Err(_)) => return None,
                None => {
                    self.has_ended = true;
                    assert_eq!(self.text, "", "half an event at the end");
                    return None;
                }
            }
        }
    }

    /// The next message of a stream; comments are passed over.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.message().await?).unwrap())
    }

    /// The same as it was written.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            let mut block = self.block().await?;
            if let Some(rest) = block.strip_prefix("id: ") {
                let (id, rest) = rest.split_once('\n').unwrap();
                self.last_id = Some(id.to_owned());
                block = rest.to_owned();
            }
            if let Some(data) = block.strip_prefix("event: message\ndata: ") {
                return Some(data.to_owned());
            }
            let is_prime = self.last_id.is_some() && block == "retry: 1000\ndata:";
            assert!(is_prime || block.starts_with(':'), "{block}");
        }
    }

    /// The id of the latest event.
    pub(crate) fn last_id(&self) -> &str {
        self.last_id.as_deref().unwrap()
    }

    /// Whether the stream came to its proper end.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

/// One that writes and reads a message a line.
pub(crate) struct LineClient {
    writer: WriteHalf<DuplexStream>,
    reader: Lines<BufReader<ReadHalf<DuplexStream>>>,
}

impl LineClient {
    /// One, and the streams that a listener reads and writes.
    pub(crate) fn pair() -> (Self, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (reader, writer) = tokio::io::split(near);
        let (input, output) = tokio::io::split(far);
        (Self { writer, reader: BufReader::new(reader).lines() }, input, output)
    }

    pub(crate) async fn send(&mut self, line: &str) {
        within(self.writer.write_all(format!("{line}\n").as_bytes())).await.unwrap();
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        within(self.reader.next_line()).await.unwrap()
    }
}
