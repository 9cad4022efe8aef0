//! Lets clients see one era alone, as a server that is older, or stricter, than the listener: what stands in front of
//! it answers the other era's requests as such a server would.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::net::TcpListener;
use toolweir_wire::{Service, serve_stdio};

/// The first revision of the modern era.
const MODERN: &str = "2026-07-28";

/// What clients can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
    Both,
}

impl Era {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "legacy" => Some(Self::Legacy),
            "modern" => Some(Self::Modern),
            "both" => Some(Self::Both),
            _ => None,
        }
    }

    fn takes(self, is_modern: bool) -> bool {
        match self {
            Self::Legacy => !is_modern,
            Self::Modern => is_modern,
            Self::Both => true,
        }
    }

    /// The error of a server of this era to a request of the other.
    fn error(self) -> Value {
        match self {
            Self::Modern => json!({
                "code": -32022,
                "message": "this protocol version is not spoken here",
                "data": { "supported": [MODERN] },
            }),
            _ => json!({ "code": -32601, "message": "Method not found" }),
        }
    }
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Passes on to `inner` what comes to `listener` and is of the era.
pub(crate) async fn http(listener: TcpListener, inner: SocketAddr, era: Era) -> io::Result<()> {
    let client: Client<HttpConnector, Incoming> =
        Client::builder(TokioExecutor::new()).build_http();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        let service = service_fn(move |request| pass(client.clone(), inner, era, request));
        // Ends with the program at the latest; a client that goes away ends it, and what it asked.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn pass(
    client: Client<HttpConnector, Incoming>,
    inner: SocketAddr,
    era: Era,
    mut request: Request<Incoming>,
) -> Result<Answer, Error> {
    let version = request.headers().get("mcp-protocol-version");
    let is_modern = version.is_some_and(|version| version.as_bytes() >= MODERN.as_bytes());
    if request.method() != Method::POST && era == Era::Modern {
        return Ok(refusal(StatusCode::METHOD_NOT_ALLOWED, era));
    }
    if !era.takes(is_modern) {
        return Ok(refusal(StatusCode::BAD_REQUEST, era));
    }
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Authority::try_from(inner.to_string()).ok();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    Ok(client.request(request).await?.map(Either::Left))
}

fn refusal(status: StatusCode, era: Era) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": era.error() }).to_string();
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a constant"));
    response
}

/// Serves the lines of stdin that are of the era.
pub(crate) async fn stdio(service: Service, era: Era) -> io::Result<()> {
    const ROOM: usize = 64 * 1024;
    let (to_server, server_in) = tokio::io::duplex(ROOM);
    let (server_out, from_server) = tokio::io::duplex(ROOM);
    let served = serve_stdio(service, server_in, server_out);
    let passed = pass_lines(era, to_server, BufReader::new(from_server).lines());
    let (served, passed) = tokio::join!(served, passed);
    served.and(passed)
}

/// Both ways in one place, so that no two lines are written into each other.
async fn pass_lines(
    era: Era,
    to_server: DuplexStream,
    mut from_server: Lines<BufReader<DuplexStream>>,
) -> io::Result<()> {
    let mut to_server = Some(to_server);
    let mut from_client = BufReader::new(tokio::io::stdin()).lines();
    let mut stdout = tokio::io::stdout();
    loop {
        let answer = tokio::select! {
            line = from_server.next_line() => match line? {
                Some(line) => Some(line),
                None => return Ok(()),
            },
            line = from_client.next_line(), if to_server.is_some() => match line? {
                Some(line) => match refused(era, &line) {
                    None => {
                        if let Some(to_server) = &mut to_server {
                            to_server.write_all(format!("{line}\n").as_bytes()).await?;
                        }
                        None
                    }
                    answer => answer,
                },
                None => {
                    to_server = None; // the client has closed its side
                    None
                }
            },
        };
        if let Some(line) = answer {
            stdout.write_all(format!("{line}\n").as_bytes()).await?;
            stdout.flush().await?;
        }
    }
}

/// The answer to a request that is not of the era; `None` where the line is to be passed on.
fn refused(era: Era, line: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    let (id, _) = (message.get("id")?, message.get("method")?);
    let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    if era.takes(!version.is_null()) {
        return None;
    }
    Some(json!({ "jsonrpc": "2.0", "id": id, "error": era.error() }).to_string())
}
