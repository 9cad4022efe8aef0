//! Pages for people.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use toolweir_wire::{Access, Page, PagesListener};

use super::{Pair, within};
use crate::peer::client::Client;

#[tokio::test]
async fn pages_are_given_by_get_behind_the_gate() {
    let pages = |path: &str| match path {
        "/health" => Some(Page {
            content_type: "application/json",
            body: Bytes::from_static(b"{\"status\":\"ok\"}"),
        }),
        "/empty" => Some(Page { content_type: "text/plain", body: Bytes::new() }),
        "/panic" => panic!("as asked"),
        _ => None,
    };
    let access = Access::default().token("secret");
    let listener = PagesListener::bind("127.0.0.1:0", access, Arc::new(pages)).await.unwrap();
    let token = ("authorization", "Bearer secret");
    let cases: [(&str, &str, &[Pair], u16); 9] = [
        ("GET", "/health", &[token], 200),
        ("GET", "/health?full=1", &[token], 200),
        ("GET", "/empty", &[token], 200),
        ("GET", "/panic", &[token], 500),
        ("GET", "/mcp", &[token], 404),
        ("POST", "/health", &[token], 405),
        ("HEAD", "/health", &[token], 405),
        ("GET", "/health", &[], 401),
        ("GET", "/health", &[token, ("host", "evil.example")], 403),
    ];
    for (method, path, headers, status) in cases {
        let mut client = Client::connect(listener.local_addr()).await;
        let answer = client.send(method, path, headers, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        if status == 405 {
            assert_eq!(answer.header("allow").as_deref(), Some("GET"));
        }
        if path.starts_with("/health") && status == 200 {
            assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
            assert_eq!(answer.text().await, "{\"status\":\"ok\"}");
        }
    }
    let idle = Client::connect(listener.local_addr()).await;
    within(listener.shutdown(Duration::from_millis(20))).await;
    drop(idle);
}
