//! Configuration from JSON.

use toolweir_metrics::{Alerts, Config};

#[test]
fn defaults_are_those_of_the_sketch() {
    let config: Config = serde_json::from_str("{}").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.max_records, 10_000);
    let alerts: Alerts = serde_json::from_str("{}").unwrap();
    assert_eq!((alerts.latency_ms, alerts.errors), (5_000, 10));
    let thresholds = alerts.thresholds;
    assert_eq!(thresholds.error_rate, 0.05);
    assert_eq!((thresholds.latency_p99_ms, thresholds.latency_p50_ms), (5_000.0, 1_000.0));
}

#[test]
fn names_are_camel_case_and_unknown_ones_are_refused() {
    let alerts: Alerts = serde_json::from_str(
        r#"{"latencyMs": 100, "latencyClearAfter": 3, "latencyClearMs": 60000, "errors": 20,
            "errorsClear": 10, "thresholds": {"errorRate": 0.1, "latencyP99Ms": 50, "latencyP50Ms": 5}}"#,
    )
    .unwrap();
    assert_eq!((alerts.latency_ms, alerts.errors, alerts.errors_clear), (100, 20, 10));
    let error = serde_json::from_str::<Alerts>(r#"{"latency": 1}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `latency`"), "{error}");
    let config: Config = serde_json::from_str(r#"{"maxRecords": 5, "maxServers": 2}"#).unwrap();
    assert_eq!((config.max_records, config.max_servers), (5, 2));
}

#[test]
fn bad_values_are_refused_by_name() {
    for (json, field) in [
        (r#"{"maxRecords": 0}"#, "maxRecords"),
        (r#"{"maxServers": 0}"#, "maxServers"),
        (r#"{"maxOperations": 3}"#, "maxOperations"),
        (r#"{"alerts": {"latencyMs": 0}}"#, "alerts.latencyMs"),
        (r#"{"alerts": {"latencyClearAfter": 0}}"#, "alerts.latencyClearAfter"),
        (r#"{"alerts": {"latencyClearMs": 0}}"#, "alerts.latencyClearMs"),
        (r#"{"alerts": {"errors": 100}}"#, "alerts.errors"),
        (r#"{"alerts": {"errors": 3, "errorsClear": 4}}"#, "alerts.errorsClear"),
        (
            r#"{"alerts": {"rules": [{"name": "x", "severity": "warning",
                "when": {"burnRate": {"objective": 1, "above": 2}}}]}}"#,
            "alerts.rules[0].when.burnRate.objective",
        ),
        (
            r#"{"alerts": {"rules": [{"name": "x", "severity": "warning",
                "when": {"burnRate": {"objective": 0.9, "above": 2, "short": "hour"}}}]}}"#,
            "alerts.rules[0].when.burnRate.short",
        ),
        (
            r#"{"alerts": {"rules": [{"name": "x", "severity": "warning",
                "when": {"burnRate": {"objective": 0.9, "above": 2, "long": "lifetime"}}}]}}"#,
            "alerts.rules[0].when.burnRate.long",
        ),
        (
            r#"{"alerts": {"rules": [{"name": "x", "severity": "warning",
                "when": {"threshold": {"figure": "score"}}}]}}"#,
            "alerts.rules[0].when.threshold",
        ),
        (
            r#"{"alerts": {"rules": [{"name": "x", "severity": "warning",
                "when": {"threshold": {"figure": "score", "above": 1, "below": 2}}}]}}"#,
            "alerts.rules[0].when.threshold",
        ),
        (
            r#"{"alerts": {"rules": [{"name": "x", "severity": "warning",
                "when": {"threshold": {"figure": "inFlight", "above": -1}}}]}}"#,
            "alerts.rules[0].when.threshold.above",
        ),
        (r#"{"alerts": {"thresholds": {"errorRate": 1.5}}}"#, "alerts.thresholds.errorRate"),
        (r#"{"alerts": {"thresholds": {"latencyP99Ms": -1}}}"#, "alerts.thresholds.latencyP99Ms"),
        (r#"{"alerts": {"thresholds": {"latencyP50Ms": 1e99}}}"#, "alerts.thresholds.latencyP50Ms"),
    ] {
        let config: Config = serde_json::from_str(json).unwrap();
        let error = config.validate().unwrap_err();
        assert_eq!(error.field, field);
        assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
        assert_eq!(toolweir_metrics::Recorder::new(config).unwrap_err(), error);
    }
}
