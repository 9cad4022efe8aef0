//! What a gateway owes each message, between clients and servers of both eras over stdio and HTTP: sixteen ways, with
//! four servers behind one gateway. docs/PROTOCOL.md says which test shows what.

mod calls;
mod client;
mod front;
mod lists;
mod questions;
mod server;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolweir::wire::{HttpListener, Options, Service, StdioServer};
use toolweir::{Member, Orchestrator};

use self::client::{Client, all};
use self::server::Peer;
use crate::peer::http::Web;
use crate::peer::within;

/// The servers' names: over stdio or HTTP, legacy or modern.
const SERVERS: [&str; 4] = ["sl", "sm", "hl", "hm"];
/// The clients: over HTTP, modern.
const CLIENTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// The `_meta` of what is told on a modern client's stream.
fn subscription(id: &Value) -> Value {
    json!({ "io.modelcontextprotocol/subscriptionId": id })
}

/// A gateway in front of four servers.
struct Gateway {
    orchestrator: Orchestrator,
    service: Service,
    listener: HttpListener,
    peers: [Arc<Peer>; 4],
    /// Of the servers over HTTP.
    webs: [Web; 2],
}

impl Gateway {
    async fn start() -> Self {
        Self::of(&SERVERS).await
    }

    /// One with some of the servers alone.
    async fn of(names: &[&str]) -> Self {
        let peers = SERVERS.map(Peer::new);
        let webs = [peers[2].clone().web().await, peers[3].clone().web().await];
        let stdio = |at: usize| {
            Arc::new(StdioServer::over(
                SERVERS[at],
                peers[at].clone().streams(),
                Options::default(),
            ))
        };
        let members = [
            Member::new("sl", stdio(0)),
            Member::new("sm", stdio(1)),
            Member::new("hl", Arc::new(webs[0].server())),
            Member::new("hm", Arc::new(webs[1].server())),
        ];
        let mut builder = Orchestrator::builder();
        let is_there = |at: usize| names.contains(&SERVERS[at]);
        for (_, member) in (0..).zip(members).filter(|(at, _)| is_there(*at)) {
            builder = builder.member(member.breaker(None).rate_limit(None).retry(1, 0).hedge(0));
        }
        let orchestrator = builder.start().unwrap();
        within(orchestrator.ready(Duration::from_secs(20))).await;
        let service = Service::new(Arc::new(orchestrator.clone()));
        let listener = HttpListener::bind("127.0.0.1:0", service.clone()).await.unwrap();
        Self { orchestrator, service, listener, peers, webs }
    }

    async fn client(&self, (is_http, is_modern): (bool, bool)) -> Client {
        Client::connect(self, is_http, is_modern, all()).await
    }

    async fn end(self) {
        within(self.listener.shutdown(Duration::from_secs(5))).await;
        within(self.orchestrator.shutdown(Duration::from_secs(5))).await;
        drop(self.webs);
    }
}

/// Between whom something went wrong.
fn way(client: (bool, bool), server: &str) -> String {
    let (is_http, is_modern) = client;
    let transport = if is_http { "http" } else { "stdio" };
    let era = if is_modern { "modern" } else { "legacy" };
    format!("{era} client over {transport}, server {server}")
}
