//! What Prometheus scrapes.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    CacheUse, Call, CallEnd, CallStart, Clock, Event, Kind, Observer, Outcome, RawJson, ServerId,
    ServerRef,
};
use toolweir_metrics::{Config, Operation};

use crate::{ok, recorder};

#[test]
fn an_empty_recorder_still_renders() {
    let (recorder, _) = recorder(Config::default());
    let text = recorder.render();
    assert!(text.contains("toolweir_alerts_active{severity=\"critical\"} 0\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_was_heard_is_rendered_under_the_conventions_names() {
    let (recorder, clock) = recorder(Config::default());
    let name: Arc<str> = Arc::from("github");
    let server = ServerRef { id: ServerId::new(1), name: &name };
    let call = Call::tool("create_issue", &RawJson::EMPTY_OBJECT).unwrap();
    let tell = |event: &Event<'_>| recorder.on_event(event, clock.now());
    for (outcome, millis) in
        [(Outcome::OK, 10), (Outcome::OK, 11), (Outcome::Ambiguous(Kind::Timeout), 400_000)]
    {
        tell(&Event::CallStart(CallStart { server, call: &call }));
        let elapsed = Duration::from_millis(millis);
        let end = CallEnd { server, call: &call, outcome, elapsed, reply_size: 0, error: None };
        tell(&Event::CallEnd(end));
    }
    tell(&Event::CallStart(CallStart { server, call: &call }));
    tell(&Event::Breaker { server, state: "open" });
    tell(&Event::Health { server, healthy: false, reason: "" });
    tell(&Event::Limited { server, retry_after: Duration::ZERO });
    tell(&Event::Cache { result: CacheUse::Hit });
    recorder.record(Operation { name: "a \"b\"\n", ..ok(3) });
    let text = recorder.render();
    let labels = r#"mcp_method_name="tools/call",gen_ai_tool_name="create_issue",service_peer_name="github""#;
    let histogram = "mcp_client_operation_duration_seconds";
    for line in [
        format!("# TYPE {histogram} histogram"),
        format!("{histogram}_sum{{{labels}}} 400.021"),
        format!("{histogram}_count{{{labels}}} 3"),
        format!("{histogram}_bucket{{le=\"0.01\",{labels}}} 1"),
        format!("{histogram}_bucket{{le=\"0.02\",{labels}}} 2"),
        format!("{histogram}_bucket{{le=\"300.0\",{labels}}} 2"),
        format!("{histogram}_bucket{{le=\"+Inf\",{labels}}} 3"),
        r#"toolweir_operation_duration_seconds_count{server="a",operation="a \"b\"\n"} 1"#.to_owned(),
        r#"toolweir_upstream_up{server="github"} 0"#.to_owned(),
        r#"toolweir_upstream_inflight{server="github"} 1"#.to_owned(),
        r#"toolweir_upstream_errors_total{server="github",error_type="timeout"} 1"#.to_owned(),
        r#"toolweir_breaker_state{server="github",state="open"} 1"#.to_owned(),
        r#"toolweir_breaker_state{server="github",state="closed"} 0"#.to_owned(),
        r#"toolweir_breaker_transitions_total{server="github",state="open"} 1"#.to_owned(),
        r#"toolweir_ratelimit_decisions_total{decision="refused",scope="server",server="github"} 1"#
            .to_owned(),
        r#"toolweir_cache_requests_total{result="hit"} 1"#.to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nnot in\n{text}");
    }
}

#[test]
fn ten_thousand_names_are_a_thousand_lines() {
    let (recorder, _) = recorder(Config::default());
    for n in 0..10_000 {
        let (name, server) = (format!("tool{n}"), format!("server{}", n % 1_000));
        recorder.record(Operation { name: &name, server: &server, ..ok(1) });
    }
    let text = recorder.render();
    let counts = text.lines().filter(|line| line.contains("_seconds_count{"));
    assert_eq!(counts.count(), 1_024 + 128 + 1);
}
