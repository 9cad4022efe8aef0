//! What an entry says of single tools.

use std::time::Duration;

use serde_json::{Value, json};
use toolweir::core::{Call, Error, Kind, Method, RawJson, Reply};

use super::upstream::Upstream;
use super::{FIVE_SECONDS, PATIENCE, at_url, call, later, started};

/// How many of two calls of `plain`, five seconds apart, reach the server.
async fn fetched(tools: &str, settings: &str) -> usize {
    let upstream = Upstream::start().await;
    let entry = format!(r#""tools":{{{tools}}}"#);
    let orchestrator = started(&at_url(&entry, settings), &upstream.url()).await;
    call(&orchestrator, "s__plain").await.unwrap();
    later(FIVE_SECONDS).await;
    call(&orchestrator, "s__plain").await.unwrap();
    orchestrator.shutdown(Duration::from_secs(5)).await;
    upstream.calls()
}

const MINUTE: &str = r#""cache":{"ttlMs":60000}"#;

#[tokio::test]
pub(super) async fn only_reads_are_cached() {
    assert_eq!(fetched("", MINUTE).await, 2);
    assert_eq!(fetched(r#""plain":{"hints":{"readOnly":true}}"#, MINUTE).await, 1);
    assert_eq!(fetched(r#""plain":{"hints":{"readOnly":false}}"#, MINUTE).await, 2);
    assert_eq!(fetched(r#""other":{"hints":{"readOnly":true}}"#, MINUTE).await, 2);
}

#[tokio::test]
pub(super) async fn a_tools_own_ttl_holds() {
    assert_eq!(fetched(r#""plain":{"hints":{"readOnly":true}}"#, "").await, 2);
    assert_eq!(fetched(r#""plain":{"hints":{"readOnly":true},"ttlMs":60000}"#, "").await, 1);
    assert_eq!(fetched(r#""plain":{"hints":{"readOnly":true},"ttlMs":4000}"#, MINUTE).await, 2);
}

/// What clients are told of the tool `read`, which says of itself that it only reads.
async fn annotations(hints: &str) -> Value {
    let upstream = Upstream::start().await;
    let entry = format!(r#""tools":{{"read":{{"hints":{{{hints}}}}}}}"#);
    let orchestrator = started(&at_url(&entry, ""), &upstream.url()).await;
    let list = orchestrator.call(&Call::new(Method::TOOLS_LIST, None)).await.unwrap();
    orchestrator.shutdown(Duration::from_secs(5)).await;
    let list: Value = list.result.get().unwrap();
    let tools = list["tools"].as_array().unwrap();
    let read = tools.iter().find(|tool| tool["name"] == "s__read").unwrap();
    assert_eq!(read["inputSchema"], json!({ "type": "object" }), "the rest stays as it is");
    read["annotations"].clone()
}

#[tokio::test]
pub(super) async fn a_tool_can_be_described() {
    assert_eq!(annotations("").await, json!({ "readOnlyHint": true }));
    assert_eq!(
        annotations(r#""readOnly":false,"idempotent":true"#).await,
        json!({ "readOnlyHint": false, "idempotentHint": true })
    );
}

#[tokio::test]
pub(super) async fn destructive_is_told_to_clients() {
    assert_eq!(
        annotations(r#""destructive":true"#).await,
        json!({ "readOnlyHint": true, "destructiveHint": true })
    );
}

#[tokio::test]
pub(super) async fn open_world_is_told_to_clients() {
    assert_eq!(
        annotations(r#""openWorld":false"#).await,
        json!({ "readOnlyHint": true, "openWorldHint": false })
    );
}

/// Routes a call to two servers of which the first to be asked never answers.
async fn routed(hints: &str) -> (Result<Reply, Error>, usize) {
    let pair = Upstream::pair().await;
    let server = |index: usize| {
        format!(
            r#""{index}":{{"url":"{}","capabilities":["work"],"timeoutMs":100,"tools":{{"hang_once":{{"hints":{{{hints}}}}}}}}}"#,
            pair[index].url()
        )
    };
    let text = format!(
        r#"{{"mcpServers":{{{},{}}},"toolweir":{{"routes":{{"work":["work"]}}}}}}"#,
        server(0),
        server(1)
    );
    let orchestrator = started(&text, "").await;
    let arguments = RawJson::from(json!({ "tool": "hang_once" }));
    let routed = tokio::time::timeout(PATIENCE, orchestrator.route("work", &arguments)).await;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    (routed.unwrap(), pair[0].calls() + pair[1].calls())
}

#[tokio::test]
pub(super) async fn an_idempotent_call_is_made_again_elsewhere() {
    let (result, calls) = routed("").await;
    assert_eq!((result.unwrap_err().kind(), calls), (Kind::Timeout, 1), "it may have happened");
    let (result, calls) = routed(r#""idempotent":true"#).await;
    assert!(result.is_ok() && calls == 2);
    let (result, calls) = routed(r#""idempotent":false"#).await;
    assert!(result.is_err() && calls == 1);
}
