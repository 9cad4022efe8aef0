//! Who gets in.

use toolweir_wire::{Access, HttpListener, Service};

use super::server::Scripted;
use super::{initialize, start};
use crate::peer::client::Client;

const NONE: &str = "-";

#[tokio::test]
async fn hosts_and_origins_are_checked_before_any_work() {
    let (listener, server) = start(Default::default()).await;
    let port = listener.local_addr().port();
    let own = format!("127.0.0.1:{port}");
    let cases = [
        (own.as_str(), NONE, 200),
        ("localhost", NONE, 200),
        ("LOCALHOST:1", NONE, 200),
        ("[::1]:1", NONE, 200),
        ("evil.example", NONE, 403),
        ("evil.example:8808", NONE, 403),
        ("localhost.evil.example", NONE, 403),
        ("127.0.0.1.evil.example", NONE, 403),
        ("localhost:80@evil.example", NONE, 403),
        ("10.0.0.1", NONE, 403),
        ("0.0.0.0", NONE, 403),
        ("", NONE, 403),
        (NONE, NONE, 403),
        ("localhost", "http://localhost", 200),
        ("localhost", "https://127.0.0.1:6274", 200),
        ("localhost", "http://[::1]:1", 200),
        ("localhost", "http://evil.example", 403),
        ("localhost", "http://localhost.evil.example", 403),
        ("localhost", "null", 403),
        ("localhost", "localhost", 403),
        ("evil.example", "http://localhost", 403),
    ];
    for (host, origin, expected) in cases {
        for (method, path) in [("POST", "/mcp"), ("GET", "/mcp"), ("DELETE", "/mcp"), ("PUT", "/x")]
        {
            let mut client = Client::connect(listener.local_addr()).await;
            let mut headers = Vec::new();
            if host != NONE {
                headers.push(("host", host));
            }
            if origin != NONE {
                headers.push(("origin", origin));
            }
            let body = initialize("2025-11-25", "{}");
            let answer = if host == NONE {
                client.send_without_host(method, path, &body).await
            } else {
                client.send(method, path, &headers, &body).await
            };
            let expected = match (expected, method) {
                (200, "GET" | "DELETE") => 405,
                (200, "PUT") => 404,
                _ => expected,
            };
            assert_eq!(answer.status, expected, "{method} {host} {origin}");
        }
    }
    assert!(server.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let access = Access::default()
        .token("canary-token")
        .allow_hosts(["gw.example"])
        .allow_origins(["https://app.example"]);
    let service = Service::new(Scripted::new()).access(access);
    let listener = HttpListener::bind("127.0.0.1:0", service).await.unwrap();
    let cases: [(&[(&str, &str)], u16); 10] = [
        (&[("authorization", "Bearer canary-token")], 200),
        (&[("authorization", "bearer canary-token")], 200),
        (&[("authorization", "Bearer canary-token"), ("host", "gw.example:1")], 200),
        (&[("authorization", "Bearer canary-token"), ("origin", "https://app.example")], 200),
        (&[("authorization", "Bearer canary-token"), ("origin", "http://app.example")], 403),
        (&[("authorization", "Bearer canary-toke")], 401),
        (&[("authorization", "Bearer canary-token2")], 401),
        (&[("authorization", "Basic canary-token")], 401),
        (&[("authorization", "Bearer canary-token"), ("authorization", "Bearer x")], 401),
        (&[], 401),
    ];
    for (headers, expected) in cases {
        let mut client = Client::connect(listener.local_addr()).await;
        let answer = client.post(headers, &initialize("2025-11-25", "{}")).await;
        assert_eq!(answer.status, expected, "{headers:?}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge.is_some_and(|it| it.starts_with("Bearer")), expected == 401);
        assert!(!answer.text().await.contains("canary"));
    }
}
