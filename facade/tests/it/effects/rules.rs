//! `alerts.rules`: what each key of a rule changes, seen on paused time with operations that are recorded as if they had been.

use std::time::Duration;

use toolweir_metrics::Operation;

use super::{Builder, read};

/// So many operations, which took so many milliseconds, failed or not; then so many seconds pass.
type Step = (u64, u64, bool, u64);

/// What is active at the end, as `severity of server`, of a rule where the server `t` had
/// one operation, and `s` all others.
async fn active(rule: &str, script: &[Step]) -> Vec<String> {
    let text = format!(
        r#"{{"mcpServers":{{"s":{{"capabilities":[]}},"t":{{"capabilities":[]}}}},
            "toolweir":{{"alerts":{{"rules":{{"it":{{{rule}}}}}}}}}}}"#
    );
    let config = read(&text, "").unwrap_or_else(|errors| panic!("{errors}"));
    let orchestrator = Builder::from_config(&config).unwrap().start().unwrap();
    orchestrator.metrics().record(Operation {
        name: "work",
        server: "t",
        success: true,
        ..Operation::default()
    });
    for (count, millis, success, seconds) in script {
        for _ in 0..*count {
            orchestrator.metrics().record(Operation {
                name: "work",
                server: "s",
                duration: Duration::from_millis(*millis),
                success: *success,
                ..Operation::default()
            });
        }
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
    }
    let alerts = orchestrator.standing().dashboard.active_alerts;
    orchestrator.shutdown(Duration::from_secs(1)).await;
    let rules = alerts.iter().filter(|alert| alert.rule.as_deref() == Some("it"));
    rules.map(|alert| format!("{:?} of {}", alert.severity, alert.server)).collect()
}

async fn fires(rule: &str, script: &[Step]) -> bool {
    !active(rule, script).await.is_empty()
}

const FAILED: &[Step] = &[(10, 1, false, 0)];

#[tokio::test(start_paused = true)]
pub(super) async fn a_rule_raises_one() {
    assert_eq!(active(r#""kind":"errorRate","abovePercent":50"#, FAILED).await, ["Warning of s"]);
    assert!(!fires(r#""kind":"latency","aboveMs":50"#, FAILED).await, "another kind");
}

#[tokio::test(start_paused = true)]
pub(super) async fn more_than_its_share_has_to_fail() {
    let script = &[(5, 1, false, 0), (5, 1, true, 0)];
    assert!(fires(r#""kind":"errorRate","abovePercent":49"#, script).await);
    assert!(!fires(r#""kind":"errorRate","abovePercent":50"#, script).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn the_severity_is_said() {
    let rule = r#""kind":"errorRate","abovePercent":50,"severity":"critical""#;
    assert_eq!(active(rule, FAILED).await, ["Critical of s"]);
}

#[tokio::test(start_paused = true)]
pub(super) async fn it_has_to_hold_for_so_long() {
    let rule = r#""kind":"errorRate","abovePercent":50,"forMs":20000"#;
    assert!(!fires(rule, &[(10, 1, false, 15)]).await);
    assert!(fires(rule, &[(10, 1, false, 30)]).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn it_ends_below_a_share_of_its_threshold() {
    // 100 % of failures, looked at, then 25 %.
    let script = &[(10, 1, false, 10), (30, 1, true, 10)];
    assert!(fires(r#""kind":"errorRate","abovePercent":30"#, script).await, "not below 24 %");
    assert!(!fires(r#""kind":"errorRate","abovePercent":30,"clearPercent":90"#, script).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn fewer_operations_say_nothing() {
    let script = &[(3, 1, false, 0)];
    assert!(!fires(r#""kind":"errorRate","abovePercent":50"#, script).await);
    assert!(fires(r#""kind":"errorRate","abovePercent":50,"minOperations":3"#, script).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn it_is_for_the_servers_that_it_names() {
    let rule = |servers: &str| format!(r#""kind":"score","below":101,"servers":{servers}"#);
    assert_eq!(active(&rule(r#"["s"]"#), FAILED).await, ["Warning of s"]);
    assert_eq!(active(&rule(r#"["t"]"#), FAILED).await, ["Warning of t"]);
}

#[tokio::test(start_paused = true)]
pub(super) async fn it_looks_at_its_window() {
    // All failed two minutes ago.
    let script = &[(10, 1, false, 120), (10, 1, true, 0)];
    assert!(fires(r#""kind":"errorRate","abovePercent":30"#, script).await);
    assert!(
        !fires(r#""kind":"errorRate","abovePercent":30,"window":"1m","clearPercent":100"#, script)
            .await
    );
}

#[tokio::test(start_paused = true)]
pub(super) async fn one_may_take_so_long() {
    let script = &[(10, 100, true, 0)];
    assert!(fires(r#""kind":"latency","aboveMs":90"#, script).await);
    assert!(!fires(r#""kind":"latency","aboveMs":110"#, script).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn its_percentile_is_looked_at() {
    let script = &[(80, 1, true, 0), (20, 100, true, 0)];
    assert!(fires(r#""kind":"latency","aboveMs":50"#, script).await, "the 99th, unless said");
    assert!(fires(r#""kind":"latency","aboveMs":50,"percentile":90"#, script).await);
    assert!(!fires(r#""kind":"latency","aboveMs":50,"percentile":50"#, script).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn what_was_promised_may_be_used_up_so_fast() {
    let script = &[(20, 1, false, 0), (80, 1, true, 0)];
    assert!(fires(r#""kind":"burnRate","objectivePercent":99"#, script).await, "20 times as fast");
    assert!(!fires(r#""kind":"burnRate","objectivePercent":98"#, script).await, "10 times");
    assert!(fires(r#""kind":"burnRate","objectivePercent":98,"above":9"#, script).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn both_windows_count() {
    let rule = |more: &str| format!(r#""kind":"burnRate","objectivePercent":99{more}"#);
    // Bad ten minutes ago, good since.
    let over = &[(50, 1, false, 600), (50, 1, true, 0)];
    assert!(!fires(&rule(""), over).await, "the last five minutes are good");
    // Bad for a moment after a good while.
    let begun = &[(950, 1, true, 600), (50, 1, false, 0)];
    assert!(!fires(&rule(""), begun).await, "the last hour is not bad enough");
    assert!(fires(&rule(r#","longWindow":"5m","shortWindow":"1m""#), begun).await);
    // Bad three minutes ago.
    let lately = &[(50, 1, false, 180), (50, 1, true, 0)];
    assert!(fires(&rule(""), lately).await);
    assert!(!fires(&rule(r#","shortWindow":"1m","clearPercent":100"#), lately).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn a_figure_may_be_so_high() {
    assert!(fires(r#""kind":"operationsPerSecond","above":1"#, &[(120, 1, true, 0)]).await);
    assert!(!fires(r#""kind":"operationsPerSecond","above":3"#, &[(120, 1, true, 0)]).await);
}

#[tokio::test(start_paused = true)]
pub(super) async fn a_figure_may_be_so_low() {
    assert!(fires(r#""kind":"score","below":60"#, FAILED).await);
    assert!(!fires(r#""kind":"score","below":5"#, FAILED).await);
}
