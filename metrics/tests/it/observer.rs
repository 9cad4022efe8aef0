//! What is heard through `Observer`.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    Answer, CacheUse, Call, CallEnd, CallStart, Clock, Event, Kind, Method, Observer, Outcome,
    RawJson, ServerId, ServerRef,
};
use toolweir_metrics::{Config, Recorder};

use crate::recorder;

struct Stage {
    recorder: Recorder,
    clock: Arc<toolweir_core::ManualClock>,
    name: Arc<str>,
}

impl Stage {
    fn new() -> Self {
        let (recorder, clock) = recorder(Config::default());
        Self { recorder, clock, name: Arc::from("github") }
    }
    fn server(&self) -> ServerRef<'_> {
        ServerRef { id: ServerId::new(7), name: &self.name }
    }
    fn tell(&self, event: &Event<'_>) {
        self.recorder.on_event(event, self.clock.now());
    }
    fn start(&self, call: &Call) {
        self.tell(&Event::CallStart(CallStart { server: self.server(), call }));
    }
    fn end(&self, call: &Call, outcome: Outcome) {
        let elapsed = Duration::from_millis(5);
        let server = self.server();
        self.tell(&Event::CallEnd(CallEnd {
            server,
            call,
            outcome,
            elapsed,
            reply_size: 42,
            error: None,
        }));
    }
}

fn tool() -> Call {
    Call::tool("create_issue", &RawJson::EMPTY_OBJECT).unwrap()
}

#[test]
fn a_call_succeeds_only_with_a_result_that_is_no_error() {
    let stage = Stage::new();
    for (outcome, label) in [
        (Outcome::OK, None),
        (Outcome::Answered(Answer::ToolError), Some("tool_error")),
        (Outcome::Answered(Answer::Protocol(-32603)), Some("protocol_error")),
        (Outcome::Throttled { retry_after: None }, Some("throttled")),
        (Outcome::Ambiguous(Kind::Timeout), Some("timeout")),
        (Outcome::NotSent(Kind::Unreachable), Some("unreachable")),
    ] {
        stage.start(&tool());
        stage.end(&tool(), outcome);
        let record = stage.recorder.records().pop().unwrap();
        assert_eq!((&*record.server_name, &*record.operation_name), ("github", "create_issue"));
        assert_eq!((record.success, record.error_message.as_deref()), (label.is_none(), label));
        assert_eq!((record.duration_ms, record.response_size_bytes), (5.0, 42));
        assert!(record.request_size_bytes > 0);
    }
    let statistics = stage.recorder.statistics(Some("github")).unwrap();
    assert_eq!((statistics.successful, statistics.failed), (1, 5));
    let events = stage.recorder.server_events("github").unwrap();
    assert!(events.errors.contains(&("timeout", 1)) && events.errors.len() == 5);
}

#[test]
fn an_abandoned_call_is_no_failure() {
    let stage = Stage::new();
    (0..50).for_each(|_| {
        stage.start(&tool());
        stage.end(&tool(), Outcome::Abandoned);
    });
    assert_eq!(stage.recorder.statistics(None), None);
    assert!(stage.recorder.active_alerts().is_empty());
    let events = stage.recorder.server_events("github").unwrap();
    assert_eq!((events.abandoned, events.in_flight), (50, 0));
}

#[test]
fn calls_in_flight_are_those_that_did_not_end() {
    let stage = Stage::new();
    let in_flight = || stage.recorder.server_events("github").unwrap().in_flight;
    (0..3).for_each(|_| stage.start(&tool()));
    assert_eq!(in_flight(), 3);
    stage.end(&tool(), Outcome::OK);
    stage.end(&tool(), Outcome::Abandoned);
    assert_eq!(in_flight(), 1);
}

#[test]
fn a_resource_counts_under_its_method() {
    let stage = Stage::new();
    for n in 0..100 {
        let call = Call::new(Method::RESOURCES_READ, None).target(format!("file:///{n}"));
        stage.end(&call, Outcome::OK);
    }
    let record = stage.recorder.records().pop().unwrap();
    assert_eq!(&*record.operation_name, "resources/read");
    let statistics = stage.recorder.operation_statistics("github", "resources/read").unwrap();
    assert_eq!(statistics.total_operations, 100);
}

#[test]
fn breaker_health_limits_and_cache_are_counted() {
    let stage = Stage::new();
    let server = stage.server();
    assert_eq!(stage.recorder.server_events("github"), None);
    for state in ["open", "half_open", "open", "half_open", "closed", "nonsense"] {
        stage.tell(&Event::Breaker { server, state });
    }
    stage.tell(&Event::Health { server, healthy: true, reason: "" });
    let events = stage.recorder.server_events("github").unwrap();
    assert_eq!((events.up, events.breaker), (Some(true), Some("closed")));
    assert_eq!(events.breaker_transitions, [("closed", 1), ("open", 2), ("half_open", 2)]);
    stage.tell(&Event::Health { server, healthy: false, reason: "exit status 1" });
    stage.tell(&Event::Limited { server, scope: "server", retry_after: Duration::from_secs(1) });
    let events = stage.recorder.server_events("github").unwrap();
    for scope in ["user", "user", "nonsense"] {
        stage.tell(&Event::Limited { server, scope, retry_after: Duration::ZERO });
    }
    assert_eq!(events.up, Some(false));
    assert_eq!(events.limited, [("server", 1), ("tool", 0), ("user", 0)]);
    let limited = stage.recorder.server_events("github").unwrap().limited;
    assert_eq!(limited, [("server", 1), ("tool", 0), ("user", 2)]);
    let uses =
        [CacheUse::Hit, CacheUse::Miss, CacheUse::Stale, CacheUse::Coalesced, CacheUse::Bypass];
    for (times, result) in (1..).zip(uses) {
        (0..times).for_each(|_| stage.tell(&Event::Cache { result }));
    }
    let cache = stage.recorder.cache_counts();
    assert_eq!((cache.hit, cache.miss, cache.stale), (1, 2, 3));
    assert_eq!((cache.coalesced, cache.bypass), (4, 5));
}
