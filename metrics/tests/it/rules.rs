//! Configured rules, and a server's score.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolweir_core::{Call, CallStart, Clock, Event, Observer, RawJson, ServerId, ServerRef};
use toolweir_metrics::{AlertEvent, Alerts, Condition, Config, Figure, Operation, Rule, Severity};

use crate::{failed, ok, recorder};

fn rules(json: &serde_json::Value) -> Config {
    let alerts: Alerts = serde_json::from_value(json!({"rules": [json]})).unwrap();
    Config::default().alerts(alerts)
}

#[test]
fn an_error_rate_waits_for_its_time_and_ends_well_below() {
    let (recorder, clock) = recorder(rules(&json!({
        "name": "errors", "severity": "critical", "forMs": 10_000,
        "when": {"errorRate": {"window": "minute", "above": 0.5}}
    })));
    let raised = || recorder.active_alerts().iter().any(|alert| alert.rule.is_some());
    (0..9).for_each(|_| recorder.record(failed(1)));
    assert!(!raised());
    clock.advance(Duration::from_secs(20));
    assert!(!raised(), "nine operations are too few");
    recorder.record(failed(1));
    assert!(!raised());
    clock.advance(Duration::from_secs(9));
    assert!(!raised(), "not for ten seconds yet");
    clock.advance(Duration::from_secs(1));
    assert!(raised());
    let alert = serde_json::to_value(&recorder.dashboard().active_alerts[0]).unwrap();
    assert_eq!(
        alert,
        json!({"type": "rule", "severity": "critical", "server": "a", "rule": "errors",
            "value": 1.0, "threshold": 0.5})
    );
    (0..10).for_each(|_| recorder.record(ok(1)));
    assert!(raised(), "half is not well below half");
    (0..10).for_each(|_| recorder.record(ok(1)));
    assert!(!raised());
    assert_eq!(recorder.alert_history().len(), 2);
}

#[test]
fn a_rule_ends_when_nothing_happens_any_more() {
    let (recorder, clock) = recorder(rules(&json!({
        "name": "slow", "severity": "warning", "minOperations": 1,
        "when": {"latency": {"window": "minute", "quantile": "p50", "aboveMs": 100}}
    })));
    recorder.record(ok(50));
    assert_eq!(recorder.active_alerts().len(), 0);
    (0..2).for_each(|_| recorder.record(ok(200)));
    assert_eq!(recorder.active_alerts().len(), 1);
    clock.advance(Duration::from_secs(120));
    recorder.evaluate();
    let history = recorder.alert_history();
    assert!(matches!(history[..], [AlertEvent::Raised(_), AlertEvent::Resolved(_)]));
}

#[test]
fn a_burn_rate_needs_both_windows() {
    let (recorder, clock) = recorder(rules(&json!({
        "name": "budget", "severity": "critical",
        "when": {"burnRate": {"objective": 0.99, "above": 5}}
    })));
    // 10 % of failures use up the budget of 1 % ten times too fast.
    let hour = |server: &'static str, failing: std::ops::Range<u64>| {
        for minute in 0..55 {
            for n in 0..20 {
                let success = !(failing.contains(&minute) && n < 2);
                recorder.record(Operation { server, success, ..ok(1) });
            }
            clock.advance(Duration::from_secs(60));
            recorder.evaluate();
        }
    };
    hour("a", 0..55);
    assert_eq!(recorder.active_alerts().len(), 1);
    clock.advance(Duration::from_secs(7_200));
    // A burst is too little for the hour.
    hour("b", 50..55);
    assert_eq!(recorder.alert_history().len(), 2, "only of a");
    assert!(recorder.active_alerts().is_empty());
}

#[test]
fn a_score_says_why() {
    let (recorder, clock) = recorder(Config::default());
    let name: Arc<str> = Arc::from("a");
    let server = ServerRef { id: ServerId::new(1), name: &name };
    let score = || serde_json::to_value(recorder.score("a").unwrap()).unwrap();
    assert_eq!(recorder.score("a"), None);
    let tell = |event: &Event<'_>| recorder.on_event(event, clock.now());
    tell(&Event::Health { server, healthy: true, reason: "" });
    let reasons = json!([{"type": "no_data", "points": 0}]);
    assert_eq!(score(), json!({"score": 100, "reasons": reasons}));
    (0..19).for_each(|_| recorder.record(ok(1)));
    assert_eq!(score(), json!({"score": 100, "reasons": []}));
    recorder.record(failed(1));
    let errors = recorder.score("a").unwrap();
    assert_eq!((errors.score, errors.reasons.len()), (80, 1)); // four points for each of 5 %
    (0..30).for_each(|_| recorder.record(ok(6_000)));
    tell(&Event::Breaker { server, state: "half_open" });
    let found = score();
    let kinds: Vec<_> =
        found["reasons"].as_array().unwrap().iter().map(|r| r["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["breaker_half_open", "errors", "slow_p99", "slow_p50"]);
    assert_eq!(found["score"], 100 - 30 - 8 - 20 - 20);
    tell(&Event::Health { server, healthy: false, reason: "gone" });
    assert_eq!(score()["score"], 0);
}

#[test]
fn a_threshold_looks_at_one_figure_on_one_side() {
    let (recorder, clock) = recorder(rules(&json!({
        "name": "sick", "severity": "critical", "servers": ["a"],
        "when": {"threshold": {"figure": "score", "below": 70}}
    })));
    (0..80).for_each(|_| recorder.record(ok(1)));
    (0..20).for_each(|_| recorder.record(Operation { server: "b", ..failed(1) }));
    let rule = || {
        let active = recorder.active_alerts();
        active.into_iter().find(|alert| alert.rule.is_some())
    };
    assert_eq!(rule(), None, "not for b");
    (0..6).for_each(|_| recorder.record(failed(1)));
    assert_eq!(rule(), None, "four points for each of 6.98 % leave 72");
    (0..3).for_each(|_| recorder.record(failed(1)));
    let alert = rule().unwrap();
    assert_eq!((&*alert.server, alert.value, alert.threshold), ("a", Some(59.0), Some(70.0)));
    clock.advance(Duration::from_secs(400));
    recorder.record(ok(1));
    assert_eq!(rule(), None, "a hundred is well above seventy");
}

#[test]
fn calls_in_flight_and_operations_a_second_have_thresholds() {
    let condition =
        |figure, above| Condition::Threshold { figure, above: Some(above), below: None };
    let alerts = Alerts::default()
        .rule(Rule::new("queue", Severity::Warning, condition(Figure::InFlight, 2.0)))
        .rule(Rule::new("busy", Severity::Warning, condition(Figure::OperationsPerSecond, 1.0)));
    let (recorder, clock) = recorder(Config::default().alerts(alerts));
    let name: Arc<str> = Arc::from("a");
    let server = ServerRef { id: ServerId::new(1), name: &name };
    let call = Call::tool("t", &RawJson::EMPTY_OBJECT).unwrap();
    let active = || -> Vec<String> {
        recorder.active_alerts().iter().filter_map(|a| Some(a.rule.as_ref()?.to_string())).collect()
    };
    let start = || {
        recorder.on_event(&Event::CallStart(CallStart { server, call: &call }), clock.now());
    };
    (0..2).for_each(|_| start());
    assert_eq!(active(), [""; 0]);
    start();
    assert_eq!(active(), ["queue"]);
    (0..60).for_each(|_| recorder.record(ok(1)));
    assert_eq!(active(), ["queue"]);
    recorder.record(ok(1));
    assert_eq!(active(), ["queue", "busy"]);
    clock.advance(Duration::from_secs(60));
    assert_eq!(active(), ["queue"]);
}

#[test]
fn burn_rates_have_windows_of_their_own() {
    let (recorder, clock) = recorder(rules(&json!({
        "name": "budget", "severity": "critical",
        "when": {"burnRate": {"objective": 0.9, "above": 2, "long": "fiveMinutes", "short": "minute"}}
    })));
    let firing = || recorder.active_alerts().iter().any(|alert| alert.rule.is_some());
    (0..10).for_each(|_| recorder.record(failed(1)));
    assert!(firing(), "ten times too fast in both");
    clock.advance(Duration::from_secs(60));
    (0..10).for_each(|_| recorder.record(ok(1)));
    assert!(!firing(), "no longer in the short one");
}

#[test]
fn other_rules_take_the_place_of_those_that_are_gone() {
    let rule = |name: &str, above: f64| {
        let condition =
            Condition::Threshold { figure: Figure::InFlight, above: Some(above), below: None };
        Rule::new(name, Severity::Warning, condition)
    };
    let alerts = Alerts::default().rule(rule("kept", 0.0)).rule(rule("gone", 0.0));
    let (recorder, _) = recorder(Config::default().alerts(alerts));
    let call = Call::tool("t", &RawJson::EMPTY_OBJECT).unwrap();
    let name = Arc::from("a");
    let server = ServerRef { id: ServerId::new(0), name: &name };
    recorder.on_event(
        &Event::CallStart(CallStart { call: &call, server }),
        toolweir_core::Instant::from_nanos(0),
    );
    let active = || -> Vec<String> {
        let name = |alert: &toolweir_metrics::Alert| alert.rule.as_deref().unwrap().to_owned();
        recorder.active_alerts().iter().map(name).collect()
    };
    assert_eq!(active(), ["kept", "gone"]);
    recorder.set_rules(vec![rule("new", 0.0), rule("kept", 0.0)]).unwrap();
    assert_eq!(active(), ["kept", "new"], "what is as before goes on");
    let told: Vec<String> = recorder.alert_history().iter().map(ToString::to_string).collect();
    assert_eq!(told.iter().filter(|line| line.contains(r#"rule="kept""#)).count(), 1, "{told:?}");
    assert!(
        told.iter().any(|line| line.starts_with("resolved") && line.contains("gone")),
        "{told:?}"
    );
    let error = recorder.set_rules(vec![rule("", 0.0)]).unwrap_err();
    assert_eq!(error.to_string(), "rules[0].name: 0 is not between 1 and 100");
    assert!(recorder.set_rules(vec![rule("x", 0.0); Alerts::MAX_RULES + 1]).is_err());
    assert_eq!(active(), ["kept", "new"], "a mistake changes nothing");
}
