//! What Prometheus scrapes.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    CacheUse, Call, CallEnd, CallStart, Clock, Event, Kind, Observer, Outcome, RawJson, ServerId,
    ServerRef,
};
use toolweir_metrics::{Config, Exposition, Operation};

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
    tell(&Event::Limited { server, scope: "server", retry_after: Duration::ZERO });
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

/// Prometheus' own format, line for line: as OpenMetrics, but for what the two name otherwise.
#[test]
fn the_classic_format_names_counters_as_their_lines() {
    let (recorder, _) = recorder(Config::default());
    recorder.record(ok(3));
    let (open, classic) =
        (recorder.render_as(Exposition::OpenMetrics), recorder.render_as(Exposition::Prometheus));
    assert_eq!(open, recorder.render());
    let samples = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(samples(&open), samples(&classic));
    let described = |text: &str| -> Vec<String> {
        let described = text.lines().filter(|line| line.starts_with("# "));
        described.map(|line| line.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect()
    };
    let mut expected = described(&open);
    assert_eq!(expected.pop().as_deref(), Some("# EOF"));
    let counters: Vec<String> = expected
        .iter()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned()))
        .collect();
    assert!(counters.contains(&"toolweir_cache_requests".to_owned()));
    for line in &mut expected {
        let words: Vec<&str> = line.split(' ').collect();
        if counters.iter().any(|name| name == words[2]) {
            *line = format!("# {} {}_total {}", words[1], words[2], words[3]);
        }
    }
    assert_eq!(described(&classic), expected);
    // Every sample's family is described before it.
    for line in samples(&classic) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = format!("# TYPE {} ", family.unwrap_or(name));
        assert!(classic.lines().any(|found| found.starts_with(&family)), "{family}");
    }
}

#[test]
fn the_format_is_what_is_accepted() {
    use Exposition::{OpenMetrics, Prometheus};
    for (accept, form) in [
        (None, Prometheus),
        (Some(""), Prometheus),
        (Some("text/plain;version=0.0.4"), Prometheus),
        (Some("text/html, application/openmetrics-text; version=1.0.0; q=0.5"), OpenMetrics),
        (Some("Application/OpenMetrics-Text"), OpenMetrics),
        (Some("application/openmetrics-text;q=0, text/plain"), Prometheus),
        (Some("application/openmetrics-text; version=1.0.0; q=0.0"), Prometheus),
        (Some("application/openmetrics-texts"), Prometheus),
    ] {
        assert_eq!(Exposition::accepted(accept), form, "{accept:?}");
    }
    assert!(OpenMetrics.content_type().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(Prometheus.content_type().starts_with("text/plain; version=0.0.4"));
}

/// A bound lies within a bucket of the histogram; how many of that bucket exceed it is counted apart.
#[test]
fn a_bound_counts_what_is_not_above_it_to_the_nanosecond() {
    let (recorder, _) = recorder(Config::default());
    let bounds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
    for bound in bounds {
        let bound = Duration::from_secs_f64(bound);
        let nanosecond = Duration::from_nanos(1);
        for duration in [bound - nanosecond, bound, bound + nanosecond] {
            recorder.record(Operation { duration, ..ok(0) });
        }
    }
    let text = recorder.render();
    for (place, bound) in bounds.iter().enumerate() {
        let found = text.lines().filter(|line| line.contains(&format!("le=\"{bound:?}\"")));
        let counts: Vec<_> = found.filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(counts, [(3 * place + 2).to_string()], "up to {bound} s");
    }
}
