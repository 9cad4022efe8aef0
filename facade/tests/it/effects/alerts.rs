//! `alerts`: when one is raised, and when the health has an issue.

use std::time::Duration;

use serde_json::Value;

use super::upstream::Upstream;
use super::{at_url, call, later, started};

/// The active alerts and the issues after two calls that fail, and two that are answered after 800 ms each.
async fn told(alerts: &str) -> (Vec<String>, Vec<String>) {
    let upstream = Upstream::start().await;
    let text = at_url(r#""timeoutMs":4000,"breaker":false"#, &format!(r#""alerts":{{{alerts}}}"#));
    let orchestrator = started(&text, &upstream.url()).await;
    for _ in 0..2 {
        let slowly = upstream.during(later(Duration::from_millis(800)));
        tokio::join!(call(&orchestrator, "s__gated"), slowly).0.unwrap();
        assert!(call(&orchestrator, "s__fail").await.unwrap().is_error);
    }
    let standing = serde_json::to_value(orchestrator.standing()).unwrap();
    orchestrator.shutdown(Duration::from_secs(5)).await;
    let types = |list: &Value| {
        let entries = list.as_array().unwrap();
        entries.iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect()
    };
    (types(&standing["active_alerts"]), types(&standing["health"]["issues"]))
}

async fn raised(alerts: &str) -> Vec<String> {
    told(alerts).await.0
}

async fn issues(alerts: &str) -> Vec<String> {
    told(alerts).await.1
}

/// Nothing of this is an issue, whatever the machine.
const CALM: &str = r#""errorRate":1,"latencyP50Ms":60000,"latencyP99Ms":60000"#;

fn calm_but(key: &str, value: &str) -> String {
    let calm: Vec<&str> = CALM.split(',').filter(|part| !part.contains(key)).collect();
    format!(r#"{},"{key}":{value}"#, calm.join(","))
}

#[tokio::test]
pub(super) async fn a_slow_call_raises_one() {
    assert!(raised("").await.is_empty());
    assert_eq!(raised(r#""highLatencyMs":500"#).await, ["high_latency"]);
}

#[tokio::test]
pub(super) async fn errors_raise_one() {
    assert!(raised(r#""errorsInLast100":2"#).await.is_empty());
    assert_eq!(raised(r#""errorsInLast100":1"#).await, ["high_error_rate"]);
}

#[tokio::test]
pub(super) async fn the_error_rate_is_checked() {
    assert!(issues(CALM).await.is_empty());
    assert_eq!(issues(&calm_but("errorRate", "0.4")).await, ["high_error_rate"]);
}

#[tokio::test]
pub(super) async fn the_slowest_are_checked() {
    assert_eq!(issues(&calm_but("latencyP99Ms", "500")).await, ["high_latency_p99"]);
}

#[tokio::test]
pub(super) async fn the_median_is_checked() {
    assert_eq!(issues(&calm_but("latencyP50Ms", "500")).await, ["high_latency_p50"]);
}
