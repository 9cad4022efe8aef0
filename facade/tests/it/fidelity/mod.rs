//! Every byte kept, between clients and servers of both eras, over stdio and HTTP: sixteen ways through one gateway.

mod bursts;
mod bytes;
mod many;

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::RawJson;
use toolweir::wire::{HttpListener, Options, Service, StdioServer, serve_stdio};
use toolweir::{Member, Orchestrator};

use crate::ledger::{Asker, End, Ledger, Scope};
use crate::peer::client::{Answer, Client as HttpClient, LineClient};
use crate::peer::http::Web;
use crate::peer::json::in_one_line;
use crate::peer::server::streams;
use crate::peer::within;

/// The servers' names: over stdio or HTTP, legacy or modern.
const SERVERS: [&str; 4] = ["sl", "sm", "hl", "hm"];

fn is_modern_server(name: &str) -> bool {
    name.ends_with('m')
}

/// A gateway in front of four scripted servers.
struct Gateway {
    orchestrator: Orchestrator,
    service: Service,
    listener: HttpListener,
    webs: [Web; 2],
}

impl Gateway {
    async fn start() -> Self {
        let webs = [Web::scripted(false).await, Web::scripted(true).await];
        let stdio = |name, script| StdioServer::over(name, streams(script), Options::default());
        let members = [
            Member::new("sl", Arc::new(stdio("sl", "legacy"))),
            Member::new("sm", Arc::new(stdio("sm", "modern"))),
            Member::new("hl", Arc::new(webs[0].server())),
            Member::new("hm", Arc::new(webs[1].server())),
        ];
        let mut builder = Orchestrator::builder();
        for member in members {
            // Nothing but the wire is looked at here.
            builder = builder.member(member.breaker(None).rate_limit(None).retry(1, 0).hedge(0));
        }
        let orchestrator = builder.start().unwrap();
        within(orchestrator.ready(Duration::from_secs(20))).await;
        let service = Service::new(Arc::new(orchestrator.clone()));
        let listener = HttpListener::bind("127.0.0.1:0", service.clone()).await.unwrap();
        Self { orchestrator, service, listener, webs }
    }

    async fn clients(&self) -> [Client; 4] {
        [
            Client::stdio(self, false).await,
            Client::stdio(self, true).await,
            Client::http(self, false).await,
            Client::http(self, true).await,
        ]
    }

    async fn end(self) {
        within(self.listener.shutdown(Duration::from_secs(5))).await;
        within(self.orchestrator.shutdown(Duration::from_secs(5))).await;
        drop(self.webs);
    }
}

const VERSION: &str = "2026-07-28";
/// What a modern client says of itself in every request.
pub(crate) const RESERVED: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;

/// A client that shows every byte.
struct Client {
    is_modern: bool,
    line: Line,
}

enum Line {
    Stdio(LineClient, tokio::task::JoinHandle<()>),
    Http(HttpClient, Option<String>),
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Self::Stdio(_, serving) = self {
            serving.abort();
        }
    }
}

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}},"clientInfo":{"name":"t","version":"1"}}}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

impl Client {
    async fn stdio(gateway: &Gateway, is_modern: bool) -> Self {
        let (mut line, input, output) = LineClient::pair();
        let service = gateway.service.clone();
        let serving = tokio::spawn(async move { drop(serve_stdio(service, input, output).await) });
        if !is_modern {
            line.send(INITIALIZE).await;
            line.next().await.unwrap();
            line.send(INITIALIZED).await;
        }
        Self { is_modern, line: Line::Stdio(line, serving) }
    }

    async fn http(gateway: &Gateway, is_modern: bool) -> Self {
        let mut client = HttpClient::connect(gateway.listener.local_addr()).await;
        let mut session = None;
        if !is_modern {
            let answer = client.post(&[], INITIALIZE).await;
            session = answer.header("mcp-session-id");
            answer.text().await;
            let headers = [("mcp-session-id", session.as_deref().unwrap())];
            client.post(&headers, INITIALIZED).await.text().await;
        }
        Self { is_modern, line: Line::Http(client, session) }
    }

    /// Calls a tool; `params` is all of them but for the name and the last `_meta`, of which `meta` is the inside. Gives what
    /// came, the answer last.
    async fn call(&mut self, id: &str, tool: &str, params: &str, meta: &str) -> Vec<RawJson> {
        let request = self.request(id, tool, params, meta);
        let texts = match &mut self.line {
            Line::Stdio(line, _) => {
                line.send(&in_one_line(&request)).await;
                let mut texts = Vec::new();
                loop {
                    let text = line.next().await.unwrap();
                    texts.push(text);
                    let last = RawJson::new(texts.last().unwrap().clone()).unwrap();
                    if last.member("method").is_none() {
                        break texts;
                    }
                }
            }
            Line::Http(client, session) => {
                let headers = headers(session.as_deref(), tool);
                let mut answer = client.post(&headers, &request).await;
                if answer.is_stream() {
                    let mut texts = Vec::new();
                    while let Some(text) = answer.message().await {
                        texts.push(text);
                    }
                    texts
                } else {
                    vec![answer.text().await]
                }
            }
        };
        texts.into_iter().map(|text| RawJson::new(text).unwrap()).collect()
    }

    /// Calls a tool that gives back what only this client sent, under its own id; the ledger tells if it gets anything else.
    async fn gives(&mut self, ledger: &Ledger, asker: Asker, id: usize, server: &str) {
        let id = id.to_string();
        let nonce = ledger.asks(asker, &id, Scope::Own);
        let params = format!(r#""arguments":{{"it":{{"nonce":"{nonce}"}}}}"#);
        let answer = self.call(&id, &format!("{server}__give"), &params, "").await;
        ledger.ends(asker, &last(&answer, "id"), End::Answer(&last(&answer, "result")));
    }

    /// Calls a tool, but reads no more than an answer's head; what is unread stays open with what this gives.
    async fn begin(&mut self, tool: &str, params: &str) -> Option<Answer> {
        let request = self.request("1", tool, params, r#""progressToken":"t""#);
        match &mut self.line {
            Line::Stdio(line, _) => {
                line.send(&request).await;
                None
            }
            Line::Http(client, session) => {
                Some(client.post(&headers(session.as_deref(), tool), &request).await)
            }
        }
    }

    fn request(&self, id: &str, tool: &str, params: &str, meta: &str) -> String {
        let comma = |text: &str| if text.is_empty() { "" } else { "," };
        let mut meta = meta.to_owned();
        if self.is_modern {
            meta = format!("{meta}{}{RESERVED}", comma(&meta));
        }
        let mut params = format!("{params}{}\"name\":\"{tool}\"", comma(params));
        if !meta.is_empty() {
            params = format!("{params},\"_meta\":{{{meta}}}");
        }
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{params}}}}}"#)
    }
}

fn headers<'a>(session: Option<&'a str>, tool: &'a str) -> Vec<(&'a str, &'a str)> {
    match session {
        Some(session) => vec![("mcp-session-id", session)],
        None => vec![
            ("mcp-protocol-version", VERSION),
            ("mcp-method", "tools/call"),
            ("mcp-name", tool),
        ],
    }
}

/// A member of the message that came last, as it was written.
fn last(messages: &[RawJson], member: &str) -> String {
    let message = messages.last().unwrap();
    let value = message.member(member);
    value
        .unwrap_or_else(|| panic!("no `{member}` in {}", message.as_str()))
        .to_json()
        .as_str()
        .to_owned()
}

/// How many calls the metrics hold to have begun and not ended, over all servers.
pub(crate) fn in_flight(orchestrator: &Orchestrator) -> u64 {
    let text = orchestrator.metrics().render();
    let gauges = text.lines().filter(|line| line.starts_with("toolweir_upstream_inflight{"));
    gauges.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
