//! `breaker`, `rateLimit`, `cache`, `timeoutMs`: for all, and for one server over that.

use std::time::Duration;

use serde_json::json;
use toolweir::Readiness;
use toolweir::core::Kind;

use super::upstream::Upstream;
use super::{FIVE_SECONDS, at_url, call, call_with, later, one, read, started};

const DEAD: &str = r#""command":"/nonexistent/toolweir-test""#;

/// How many calls fail at a server that is not there before the breaker refuses, of 12; and for how long it does.
async fn until_open(entry: &str, settings: &str) -> Option<(usize, Duration)> {
    let comma = if entry.is_empty() { "" } else { "," };
    let orchestrator = started(&one(&format!("{DEAD}{comma}{entry}"), settings), "").await;
    let mut opened = None;
    for count in 0..12 {
        match call(&orchestrator, "s__x").await.unwrap_err().kind() {
            Kind::Unreachable => {}
            Kind::CircuitOpen { retry_after } => {
                opened = Some((count, retry_after));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let has_one = orchestrator.servers()[0].breaker.is_some();
    assert_eq!(has_one, opened.is_some());
    orchestrator.shutdown(Duration::from_secs(5)).await;
    opened
}

async fn failures(entry: &str, settings: &str) -> Option<usize> {
    until_open(entry, settings).await.map(|(failures, _)| failures)
}

async fn cooldown(entry: &str, settings: &str) -> u64 {
    until_open(entry, settings).await.unwrap().1.as_secs()
}

#[tokio::test]
pub(super) async fn the_breaker_can_be_off() {
    assert_eq!(failures("", "").await, Some(5));
    assert_eq!(failures("", r#""breaker":true"#).await, Some(5));
    assert_eq!(failures("", r#""breaker":false"#).await, None);
}

#[tokio::test]
pub(super) async fn a_server_can_do_without_its_breaker() {
    assert_eq!(failures(r#""breaker":false"#, "").await, None);
    assert_eq!(failures(r#""breaker":true"#, r#""breaker":false"#).await, Some(5));
}

#[tokio::test]
pub(super) async fn the_failures_hold() {
    assert_eq!(failures("", r#""breaker":{"failures":2}"#).await, Some(2));
    assert_eq!(failures("", r#""breaker":{"failures":4}"#).await, Some(4));
}

#[tokio::test]
pub(super) async fn a_servers_own_failures_hold() {
    assert_eq!(
        failures(r#""breaker":{"failures":3}"#, r#""breaker":{"failures":2}"#).await,
        Some(3)
    );
}

#[tokio::test]
pub(super) async fn the_cooldown_holds() {
    assert!((50..=60).contains(&cooldown("", "").await));
    assert!((900..=1_000).contains(&cooldown("", r#""breaker":{"cooldownMs":1000000}"#).await));
}

#[tokio::test]
pub(super) async fn a_servers_own_cooldown_holds() {
    let settings = r#""breaker":{"cooldownMs":1000000}"#;
    let own = cooldown(r#""breaker":{"cooldownMs":9000000}"#, settings).await;
    assert!((8_900..=9_000).contains(&own), "{own}");
}

#[tokio::test]
pub(super) async fn a_single_tool_may_fail_so_often() {
    /// How many calls of a tool that never answers reach the server before they are refused.
    async fn tried(entry: &str, settings: &str) -> usize {
        let upstream = Upstream::start().await;
        let comma = if entry.is_empty() { "" } else { "," };
        let entry = format!(r#""timeoutMs":150{comma}{entry}"#); // enough to reach it on a busy machine
        let orchestrator = started(&at_url(&entry, settings), &upstream.url()).await;
        while call(&orchestrator, "s__hang").await.unwrap_err().kind() == Kind::Timeout {}
        orchestrator.shutdown(FIVE_SECONDS).await;
        upstream.calls()
    }
    assert_eq!(tried("", "").await, 3);
    assert_eq!(tried("", r#""breaker":{"toolFailures":2}"#).await, 2);
    assert_eq!(
        tried(r#""breaker":{"toolFailures":4}"#, r#""breaker":{"toolFailures":2}"#).await,
        4
    );
    // The server's own is left.
    assert_eq!(tried("", r#""breaker":{"toolFailures":0}"#).await, 5);
}

/// How many of 12 calls are answered before one is refused, and when that may be made again.
async fn until_limited(entry: &str, settings: &str) -> (usize, Option<Duration>) {
    let upstream = Upstream::start().await;
    let orchestrator = started(&at_url(entry, settings), &upstream.url()).await;
    let mut limited = (12, None);
    for count in 0..12 {
        let Err(error) = call(&orchestrator, "s__plain").await else { continue };
        let Kind::RateLimited { retry_after } = error.kind() else { panic!("{error}") };
        limited = (count, Some(retry_after));
        break;
    }
    assert_eq!(upstream.calls(), limited.0);
    orchestrator.shutdown(Duration::from_secs(5)).await;
    limited
}

const SLOW: &str = r#""rateLimit":{"requestsPerSecond":0.01,"burst":1,"maxWaitMs":0}"#;

async fn answered(entry: &str, settings: &str) -> usize {
    until_limited(entry, settings).await.0
}

async fn pause(entry: &str, settings: &str) -> u64 {
    until_limited(entry, settings).await.1.unwrap().as_secs()
}

#[tokio::test]
pub(super) async fn the_limit_can_be_off() {
    assert_eq!(answered("", SLOW).await, 1);
    assert_eq!(answered("", r#""rateLimit":false"#).await, 12);
    assert_eq!(answered("", "").await, 12);
}

#[tokio::test]
pub(super) async fn a_server_can_do_without_a_limit() {
    assert_eq!(answered(r#""rateLimit":false"#, SLOW).await, 12);
    assert_eq!(answered(SLOW, "").await, 1);
}

#[tokio::test]
pub(super) async fn the_burst_holds() {
    let burst = |burst| {
        format!(r#""rateLimit":{{"requestsPerSecond":0.01,"burst":{burst},"maxWaitMs":0}}"#)
    };
    assert_eq!(answered("", &burst(2)).await, 2);
    assert_eq!(answered("", &burst(5)).await, 5);
}

#[tokio::test]
pub(super) async fn a_servers_own_burst_holds() {
    assert_eq!(answered(r#""rateLimit":{"burst":3}"#, SLOW).await, 3);
}

#[tokio::test]
pub(super) async fn the_rate_holds() {
    let rate =
        |rate| format!(r#""rateLimit":{{"requestsPerSecond":{rate},"burst":1,"maxWaitMs":0}}"#);
    assert!((80..=100).contains(&pause("", &rate(0.01)).await));
    assert!((800..=1_000).contains(&pause("", &rate(0.001)).await));
}

#[tokio::test]
pub(super) async fn a_servers_own_rate_holds() {
    let own = pause(r#""rateLimit":{"requestsPerSecond":0.001}"#, SLOW).await;
    assert!((800..=1_000).contains(&own), "{own}");
}

fn waits(most: u32) -> String {
    format!(r#""rateLimit":{{"requestsPerSecond":50,"burst":1,"maxWaitMs":{most}}}"#)
}

/// How many of 6 calls at once are answered.
async fn answered_at_once(entry: &str, settings: &str) -> usize {
    let upstream = Upstream::start().await;
    let orchestrator = started(&at_url(entry, settings), &upstream.url()).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let orchestrator = orchestrator.clone();
        calls.spawn(async move { call(&orchestrator, "s__plain").await.is_ok() });
    }
    let answered = calls.join_all().await.into_iter().filter(|answered| *answered).count();
    orchestrator.shutdown(Duration::from_secs(5)).await;
    answered
}

#[tokio::test]
pub(super) async fn the_wait_holds() {
    assert!(answered_at_once("", &waits(0)).await < 6);
    assert_eq!(answered_at_once("", &waits(20_000)).await, 6);
}

#[tokio::test]
pub(super) async fn a_servers_own_wait_holds() {
    assert_eq!(answered_at_once(&waits(20_000), &waits(0)).await, 6);
    assert_eq!(answered_at_once(r#""rateLimit":{"maxWaitMs":20000}"#, &waits(0)).await, 6);
}

/// How many of the calls of `tool` reach the server: with each of ten arguments, and again five seconds later.
async fn fetched(tool: &str, entry: &str, settings: &str) -> usize {
    let upstream = Upstream::start().await;
    let comma = if entry.is_empty() { "" } else { "," };
    let entry = format!(r#""trusted":true{comma}{entry}"#);
    let orchestrator = started(&at_url(&entry, settings), &upstream.url()).await;
    for round in 0..2 {
        if round == 1 {
            later(FIVE_SECONDS).await;
        }
        for number in 0..10 {
            call_with(&orchestrator, &format!("s__{tool}"), json!({ "n": number })).await.unwrap();
        }
    }
    orchestrator.shutdown(Duration::from_secs(5)).await;
    upstream.calls()
}

const MINUTE: &str = r#""cache":{"ttlMs":60000}"#;

#[tokio::test]
pub(super) async fn the_ttl_holds() {
    assert_eq!(fetched("read", "", "").await, 20, "without a TTL nothing is kept");
    assert_eq!(fetched("read", "", MINUTE).await, 10);
    assert_eq!(fetched("read", "", r#""cache":{"ttlMs":4000}"#).await, 20);
    assert_eq!(fetched("plain", "", MINUTE).await, 20, "what may change something is not kept");
}

#[tokio::test]
pub(super) async fn the_cache_can_be_off() {
    let kept = r#""tools":{"read":{"ttlMs":60000}}"#;
    assert_eq!(fetched("read", kept, "").await, 10);
    assert_eq!(fetched("read", kept, r#""cache":false"#).await, 20);
}

#[tokio::test]
pub(super) async fn a_server_can_do_without_the_cache() {
    assert_eq!(fetched("read", r#""cache":false"#, MINUTE).await, 20);
    assert_eq!(fetched("read", r#""cache":true"#, MINUTE).await, 10);
}

#[tokio::test]
pub(super) async fn a_servers_own_ttl_holds() {
    assert_eq!(fetched("read", MINUTE, "").await, 10);
    assert_eq!(fetched("read", r#""cache":{"ttlMs":4000}"#, MINUTE).await, 20);
}

#[tokio::test]
pub(super) async fn the_cache_holds_so_many_entries() {
    assert_eq!(fetched("read", "", r#""cache":{"ttlMs":60000,"maxEntries":10}"#).await, 10);
    let calls = fetched("read", "", r#""cache":{"ttlMs":60000,"maxEntries":2}"#).await;
    assert!((16..=20).contains(&calls), "{calls}");
}

#[tokio::test]
pub(super) async fn the_cache_holds_so_many_bytes() {
    assert_eq!(fetched("large", "", r#""cache":{"ttlMs":60000,"maxBytes":1000000}"#).await, 10);
    let calls = fetched("large", "", r#""cache":{"ttlMs":60000,"maxBytes":30000}"#).await;
    assert!((16..=20).contains(&calls), "{calls}");
}

#[test]
pub(super) fn the_size_of_the_cache_is_no_servers_matter() {
    for key in ["maxEntries", "maxBytes", "staleIfErrorMs"] {
        let refused = read(&at_url(&format!(r#""cache":{{"{key}":5}}"#), ""), "http://h/mcp");
        assert!(refused.unwrap_err().to_string().contains("all share one cache"));
    }
}

/// Whether a call that nobody answers ends by itself, within a time that is long enough.
async fn ends(entry: &str, settings: &str) -> bool {
    let upstream = Upstream::start().await;
    let orchestrator = started(&at_url(entry, settings), &upstream.url()).await;
    let patience = Duration::from_secs(2);
    let ended = tokio::time::timeout(patience, call(&orchestrator, "s__hang")).await;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    ended.is_ok_and(|result| result.unwrap_err().kind() == Kind::Timeout)
}

#[tokio::test]
pub(super) async fn the_timeout_holds() {
    assert!(ends("", r#""timeoutMs":50"#).await);
    assert!(!ends("", r#""timeoutMs":50000"#).await);
}

#[tokio::test]
pub(super) async fn a_servers_own_timeout_holds() {
    assert!(ends(r#""timeoutMs":50"#, r#""timeoutMs":50000"#).await);
}

#[tokio::test]
pub(super) async fn a_server_may_take_so_long_to_be_there() {
    // Takes connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    for (millis, expected) in [(50, Readiness::Unhealthy), (50_000, Readiness::Starting)] {
        let text = at_url("", &format!(r#""connectTimeoutMs":{millis}"#));
        let config = read(&text, &url).unwrap();
        let orchestrator = toolweir::Builder::from_config(&config).unwrap().start().unwrap();
        let servers = orchestrator.ready(Duration::from_secs(2)).await;
        assert_eq!(servers[0].health_status, expected, "{millis}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}
