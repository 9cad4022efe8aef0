//! `listen`, `admin`, `token`, `allowedHosts`, `allowedOrigins`: a gateway that runs.

use std::time::Duration;

use toolweir::core::{Clock, TokioClock};

use super::upstream::Upstream;
use crate::cli::{Gateway, TERM, request};

const SERVERS: &str = r#""mcpServers":{"s":{"capabilities":["c"]}}"#;

async fn gateway(settings: &str) -> Gateway {
    Gateway::start(&format!(r#"{{{SERVERS},"toolweir":{{{settings}}}}}"#), &[]).await
}

/// The status of a client's first request, with these further headers.
async fn status(gateway: &Gateway, headers: &str) -> u16 {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream{headers}"
    );
    request(gateway.endpoint, &head, body).await.0
}

const HERE: &str = "\r\nHost: localhost";

#[tokio::test]
pub(super) async fn clients_come_in_where_it_says() {
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let gateway = gateway(&format!(r#""listen":"{ip}:0""#)).await;
        assert_eq!(gateway.endpoint.ip().to_string(), ip);
        assert_eq!(status(&gateway, HERE).await, 200);
        assert_eq!(gateway.end(TERM).await.exit, 0);
    }
}

#[tokio::test]
pub(super) async fn admin_opens_the_dashboard() {
    let without = gateway(r#""listen":"127.0.0.1:0""#).await;
    assert!(without.admin.is_none());
    assert_eq!(without.end(TERM).await.exit, 0);
    let with = gateway(r#""listen":"127.0.0.1:0","admin":"127.0.0.1:0""#).await;
    let health = with.health(&[]).await.json();
    assert_eq!(health["upstreams"][0]["name"], "s");
    let metrics =
        request(with.admin.unwrap(), "GET /metrics HTTP/1.1\r\nHost: localhost", "").await;
    assert!(metrics.0 == 200 && metrics.1.contains("toolweir_"), "{metrics:?}");
    assert_eq!(with.end(TERM).await.exit, 0);
}

#[tokio::test]
pub(super) async fn a_token_is_asked_for() {
    let bearer = format!("{HERE}\r\nAuthorization: Bearer t0ken");
    let open = gateway(r#""listen":"127.0.0.1:0","admin":"127.0.0.1:0""#).await;
    assert_eq!(status(&open, HERE).await, 200);
    assert_eq!(open.end(TERM).await.exit, 0);
    let closed = gateway(r#""listen":"127.0.0.1:0","admin":"127.0.0.1:0","token":"t0ken""#).await;
    assert_eq!(status(&closed, HERE).await, 401);
    assert_eq!(status(&closed, &bearer).await, 200);
    assert_eq!(closed.health(&[]).await.exit, 3, "the dashboard is closed too");
    assert_eq!(closed.health(&["--token", "t0ken"]).await.json()["upstreams"][0]["name"], "s");
    assert_eq!(closed.end(TERM).await.exit, 0);
}

#[tokio::test]
pub(super) async fn further_hosts_are_let_in() {
    let host = "\r\nHost: tools.example";
    for (settings, expected) in [
        ("", 403),
        (r#","allowedHosts":["tools.example"]"#, 200),
        (r#","allowedHosts":["b.example"]"#, 403),
    ] {
        let gateway = gateway(&format!(r#""listen":"127.0.0.1:0"{settings}"#)).await;
        assert_eq!(status(&gateway, host).await, expected, "{settings}");
        assert_eq!(status(&gateway, HERE).await, 200);
        assert_eq!(gateway.end(TERM).await.exit, 0);
    }
}

#[tokio::test]
pub(super) async fn further_origins_are_let_in() {
    let origin = format!("{HERE}\r\nOrigin: https://app.example");
    for (settings, expected) in [("", 403), (r#","allowedOrigins":["https://app.example"]"#, 200)] {
        let gateway = gateway(&format!(r#""listen":"127.0.0.1:0"{settings}"#)).await;
        assert_eq!(status(&gateway, &origin).await, expected, "{settings}");
        assert_eq!(gateway.end(TERM).await.exit, 0);
    }
}

/// A call that does not end keeps a gateway that was told to end for so long, and no longer.
#[tokio::test]
pub(super) async fn the_grace_holds() {
    let mut took = Vec::new();
    for grace in [1, 3_000] {
        let upstream = Upstream::start().await;
        let config = format!(
            r#"{{"mcpServers":{{"s":{{"url":"{}"}}}},"toolweir":{{"listen":"127.0.0.1:0","shutdownGraceMs":{grace}}}}}"#,
            upstream.url(),
        );
        let gateway = Gateway::start(&config, &[]).await;
        let calling = tokio::spawn(gateway.calling("s__hang"));
        while upstream.calls() == 0 {
            tokio::task::yield_now().await;
        }
        let begun = TokioClock.now();
        assert_eq!(gateway.end(TERM).await.exit, 0);
        took.push(TokioClock.now() - begun);
        assert!(calling.await.unwrap().is_err());
        upstream.shutdown().await;
    }
    assert!(took[1] >= Duration::from_secs(3), "{took:?}");
    assert!(took[0] < took[1], "{took:?}");
}
