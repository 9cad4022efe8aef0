//! FAULTS 31: more is sent at once than may be in flight.

use super::{Gateway, TERM, request};
use crate::effects::upstream::Upstream;
use crate::ledger::Holdings;

/// How many calls one server may have, and as many may wait.
fn places() -> usize {
    if crate::peer::full() { 12 } else { 8 }
}

/// Ten times as many.
fn clients() -> usize {
    10 * 2 * places()
}

/// What each sends.
fn size() -> usize {
    if crate::peer::full() { 96 << 10 } else { 64 << 10 }
}

const MEMORY_KIB: u64 = 256 << 10;

/// One call that is large; whether it was answered or refused.
async fn large(address: std::net::SocketAddr) -> bool {
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
        Mcp-Method: tools/call\r\nMcp-Name: s__gated";
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": {
        "name": "s__gated", "arguments": { "it": "x".repeat(size()) },
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                   "io.modelcontextprotocol/clientCapabilities": {} } } });
    let (status, answer) = request(address, head, &body.to_string()).await;
    let is_refused = answer.contains("overloaded");
    assert!(is_refused || status == 200 && answer.contains("gated "), "{status}: {answer}");
    !is_refused
}

#[tokio::test]
async fn ten_times_the_load_stays_within_its_memory() {
    let (places, clients) = (places(), clients());
    let upstream = Upstream::start().await;
    let config = format!(
        r#"{{ "mcpServers": {{ "s": {{ "url": "{}" }} }}, "toolweir": {{
            "listen": "127.0.0.1:0", "admin": "127.0.0.1:0",
            "concurrency": {{ "maxInFlight": {places}, "maxWaiting": {places}, "maxWaitMs": 60000 }} }} }}"#,
        upstream.url()
    );
    let gateway = Gateway::start(&config, &[]).await;
    gateway.told("s: ready").await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..clients {
        calls.spawn(large(gateway.endpoint));
    }
    // As many as have no place are refused while the others wait; then those are answered.
    let mut answered = 0;
    for ended in 0..clients {
        if ended == clients - 2 * places {
            upstream.open();
        }
        let was_answered = calls.join_next().await.unwrap().unwrap();
        assert_eq!(was_answered, ended >= clients - 2 * places, "the {ended}th to end");
        answered += usize::from(was_answered);
    }
    let held = Holdings::of(gateway.process()).unwrap();
    assert_eq!(gateway.end(TERM).await.exit, 0);
    upstream.shutdown().await;
    let figure = format!(
        "{clients} clients with {} KiB each, {answered} answered, {} MiB of memory at most",
        size() >> 10,
        held.peak >> 10
    );
    crate::peer::measured("31", &figure, held.peak <= MEMORY_KIB && answered == 2 * places);
}
