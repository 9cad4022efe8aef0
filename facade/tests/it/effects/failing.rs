//! What is done where a server fails or is slow: `retry`, `hedge`, `cache.staleIfErrorMs`.

use std::time::Duration;

use toolweir::core::{Freshness, Kind};

use super::broken::Broken;
use super::upstream::Upstream;
use super::{at_url, call, later, read, started};

const READS: &str = r#""tools":{"x":{"hints":{"readOnly":true}}},"breaker":false"#;

/// How often a server that answers every call with 502 is asked, of one call of a tool that reads.
async fn asked(entry: &str, settings: &str) -> usize {
    let server = Broken::start().await;
    let comma = if entry.is_empty() { "" } else { "," };
    let text = at_url(&format!("{READS}{comma}{entry}"), settings);
    let orchestrator = started(&text, &server.url()).await;
    let error = call(&orchestrator, "s__x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Status { status: 502 });
    orchestrator.shutdown(Duration::from_secs(5)).await;
    server.calls()
}

#[tokio::test]
pub(super) async fn the_attempts_hold() {
    assert_eq!(asked("", "").await, 3);
    assert_eq!(asked("", r#""retry":false"#).await, 1);
    assert_eq!(asked("", r#""retry":{"attempts":2}"#).await, 2);
    assert_eq!(asked("", r#""retry":{"budgetPercent":0}"#).await, 1);
}

#[tokio::test]
pub(super) async fn a_server_can_do_without_a_second_attempt() {
    assert_eq!(asked(r#""retry":false"#, "").await, 1);
    assert_eq!(asked(r#""retry":{"budgetPercent":0}"#, r#""retry":{"attempts":2}"#).await, 1);
}

#[tokio::test]
pub(super) async fn a_servers_own_attempts_hold() {
    assert_eq!(asked(r#""retry":{"attempts":2}"#, r#""retry":{"attempts":4}"#).await, 2);
}

/// Whether a read that hangs at one of two equal servers is answered by the other.
async fn is_answered(entry: &str, settings: &str) -> bool {
    let servers = Upstream::pair().await;
    let comma = if entry.is_empty() { "" } else { "," };
    let one = |server: &Upstream| {
        let tools = r#""tools":{"hang_once":{"hints":{"readOnly":true}}}"#;
        format!(r#"{{"url":"{}","prefix":"s",{tools}{comma}{entry}}}"#, server.url())
    };
    let text = format!(
        r#"{{"mcpServers":{{"one":{},"two":{}}},"toolweir":{{{settings}}}}}"#,
        one(&servers[0]),
        one(&servers[1])
    );
    let orchestrator = started(&text, "").await;
    for server in ["one", "two"] {
        for _ in 0..30 {
            // What is usual there.
            orchestrator.metrics().record(toolweir_metrics::Operation {
                name: "hang_once",
                server,
                success: true,
                ..Default::default()
            });
        }
    }
    let patience = Duration::from_secs(2);
    let answered = tokio::time::timeout(patience, call(&orchestrator, "s__hang_once")).await;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    answered.is_ok_and(|answered| answered.is_ok())
}

#[tokio::test]
pub(super) async fn a_slow_server_is_not_waited_for() {
    assert!(is_answered("", "").await);
    assert!(!is_answered("", r#""hedge":false"#).await);
    assert!(!is_answered("", r#""hedge":{"budgetPercent":0}"#).await);
}

#[tokio::test]
pub(super) async fn a_server_can_do_without_a_second() {
    assert!(!is_answered(r#""hedge":false"#, "").await);
    assert!(is_answered(r#""hedge":{"budgetPercent":5}"#, r#""hedge":false"#).await);
    assert!(!is_answered(r#""hedge":{"budgetPercent":0}"#, "").await);
}

/// Whether what was read once is given again, two minutes later, where the server is gone.
async fn stands_in(cache: &str) -> bool {
    let upstream = Upstream::start().await;
    let settings = format!(r#""cache":{{"ttlMs":60000{cache}}}"#);
    let orchestrator = started(&at_url(r#""trusted":true"#, &settings), &upstream.url()).await;
    call(&orchestrator, "s__read").await.unwrap();
    upstream.shutdown().await;
    later(Duration::from_secs(120)).await;
    let reply = call(&orchestrator, "s__read").await;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    reply.is_ok_and(|reply| reply.freshness == Freshness::Stale)
}

#[tokio::test]
pub(super) async fn an_old_reply_stands_in_for_so_long() {
    assert!(!stands_in("").await);
    assert!(stands_in(r#","staleIfErrorMs":3600000"#).await);
    assert!(!stands_in(r#","staleIfErrorMs":1000"#).await);
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for settings in [
        r#""retry":{"attempts":0}"#,
        r#""retry":{"attempts":11}"#,
        r#""retry":{"budgetPercent":101}"#,
        r#""hedge":{"budgetPercent":-1}"#,
        r#""hedge":{"percent":5}"#,
        r#""cache":{"staleIfErrorMs":"1h"}"#,
    ] {
        assert!(read(&at_url("", settings), "http://h/mcp").is_err(), "{settings}");
    }
}
