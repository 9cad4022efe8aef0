//! The JSON that users of the dashboard rely on, key by key.

use serde_json::{Value, json};
use toolweir_metrics::{Config, Operation, Recorder};

use crate::{failed, ok, recorder};

fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap()
}

#[test]
fn an_empty_recorder_has_no_data() {
    let (recorder, _) = recorder(Config::default());
    assert_eq!(recorder.statistics(None), None);
    assert_eq!(recorder.statistics(Some("a")), None);
    assert_eq!(value(&recorder.health()), json!({"status": "no_data"}));
    assert_eq!(
        value(&recorder.dashboard()),
        json!({"timestamp": "2026-11-22T12:00:00.000Z", "total_operations": 0, "servers": {},
            "active_alerts": [], "system_health": "unknown"})
    );
}

#[test]
fn the_dashboard_has_the_sketch_s_keys() {
    let (recorder, _) = recorder(Config::default());
    recorder.record(ok(6_000));
    (0..11).for_each(|_| recorder.record(Operation { server: "b", ..failed(20) }));
    assert_eq!(
        value(&recorder.dashboard()),
        json!({
            "timestamp": "2026-11-22T12:00:00.000Z",
            "total_operations": 12,
            "servers": {
                "a": {"total_operations": 1, "successful": 1, "failed": 0, "success_rate": 1.0,
                    "avg_duration_ms": 6000.0, "p50_duration_ms": 6000.0, "p90_duration_ms": 6000.0,
                    "p95_duration_ms": 6000.0, "p99_duration_ms": 6000.0, "p999_duration_ms": 6000.0,
                    "min_duration_ms": 6000.0, "max_duration_ms": 6000.0},
                "b": {"total_operations": 11, "successful": 0, "failed": 11, "success_rate": 0.0,
                    "avg_duration_ms": 20.0, "p50_duration_ms": 20.0, "p90_duration_ms": 20.0,
                    "p95_duration_ms": 20.0, "p99_duration_ms": 20.0, "p999_duration_ms": 20.0,
                    "min_duration_ms": 20.0, "max_duration_ms": 20.0}
            },
            "active_alerts": [
                {"type": "high_latency", "severity": "warning", "operation": "call", "server": "a",
                    "duration_ms": 6000.0},
                {"type": "high_error_rate", "severity": "critical", "server": "b", "error_count": 11}
            ],
            "system_health": "poor"
        })
    );
}

#[test]
fn health_names_each_crossed_threshold() {
    let (recorder, _) = recorder(Config::default());
    recorder.record(ok(1_000));
    assert_eq!(
        value(&recorder.health()),
        json!({"status": "healthy", "issues": [], "timestamp": "2026-11-22T12:00:00.000Z"})
    );
    (0..2).for_each(|_| recorder.record(ok(1_001)));
    recorder.record(failed(5_001));
    assert_eq!(
        value(&recorder.health()),
        json!({
            "status": "unhealthy",
            "issues": [
                {"type": "high_error_rate", "value": 0.75, "threshold": 0.95},
                {"type": "high_latency_p99", "value": 5001.0, "threshold": 5000.0},
                {"type": "high_latency_p50", "value": 1001.0, "threshold": 1000.0}
            ],
            "timestamp": "2026-11-22T12:00:00.000Z"
        })
    );
}

#[test]
fn health_in_one_word_follows_the_success_rate() {
    for (failures, word) in [
        (0, "excellent"),
        (1, "excellent"),
        (2, "good"),
        (5, "good"),
        (6, "fair"),
        (10, "fair"),
        (11, "poor"),
        (100, "poor"),
    ] {
        let (recorder, _) = recorder(Config::default());
        (0..100).for_each(|n| recorder.record(if n < failures { failed(1) } else { ok(1) }));
        assert_eq!(value(&recorder.dashboard())["system_health"], word, "{failures}");
    }
}

#[test]
fn a_record_has_the_sketch_s_keys() {
    let (recorder, _) = recorder(Config::default());
    recorder.record(Operation { request_bytes: 3, response_bytes: 1 << 40, ..failed(234) });
    let timestamp = Some(toolweir_metrics::Timestamp::from_unix_nanos(1_000_000));
    recorder.record(Operation { timestamp, ..ok(1) });
    assert_eq!(
        value(&recorder.records()),
        json!([
            {"operation_name": "call", "server_name": "a", "duration_ms": 1.0, "success": true,
                "error_message": null, "timestamp": "1970-01-01T00:00:00.001Z",
                "request_size_bytes": 0, "response_size_bytes": 0},
            {"operation_name": "call", "server_name": "a", "duration_ms": 234.0, "success": false,
                "error_message": "timeout", "timestamp": "2026-11-22T12:00:00.000Z",
                "request_size_bytes": 3, "response_size_bytes": 1_u64 << 40}
        ])
    );
}

#[test]
fn the_default_recorder_stamps_with_the_system_s_time() {
    let recorder = Recorder::default();
    recorder.record(ok(1));
    let stamp = recorder.records()[0].timestamp;
    assert!(stamp.as_unix_nanos() > 1_700_000_000_000_000_000, "{stamp}");
    assert!(stamp <= recorder.dashboard().timestamp);
}
