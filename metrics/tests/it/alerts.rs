//! Alerts are raised once and resolved once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolweir_metrics::{AlertEvent, AlertKind, Alerts, Channel, Config, Log, Operation, Recorder};

use crate::{failed, ok, recorder};

/// Events as text: `+` raised, `-` resolved.
fn listen(recorder: &Recorder) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = heard.clone();
    assert!(recorder.add_sink(move |event: &AlertEvent| {
        let (sign, alert) = match event {
            AlertEvent::Raised(alert) => ('+', alert),
            AlertEvent::Resolved(alert) => ('-', alert),
            _ => return,
        };
        let kind = serde_json::to_string(&alert.kind).unwrap();
        sink.lock().unwrap().push(format!("{sign}{} {}", kind.trim_matches('"'), alert.server));
    }));
    heard
}

/// Plays a script (`.` success, `x` failure, `S` slow success) and compares what was heard.
fn check(script: &str, expected: &[&str]) {
    let (recorder, _) = recorder(Config::default());
    let heard = listen(&recorder);
    for step in script.chars() {
        recorder.record(match step {
            '.' => ok(10),
            'x' => failed(10),
            'X' => failed(6_000),
            _ => ok(5_001),
        });
    }
    assert_eq!(*heard.lock().unwrap(), expected, "{script}");
    let raised = expected.iter().filter(|event| event.starts_with('+')).count();
    let resolved = expected.len() - raised;
    assert_eq!(recorder.active_alerts().len(), raised - resolved, "{script}");
    assert_eq!(recorder.alert_history().len(), expected.len());
}

#[test]
fn an_alert_is_raised_once_and_resolved_once() {
    let (slow, slow_over) = ("+high_latency a", "-high_latency a");
    let (errors, errors_over) = ("+high_error_rate a", "-high_error_rate a");
    let dots = |n| ".".repeat(n);
    check(&dots(500), &[]);
    check("S", &[slow]);
    check("SSSSS", &[slow]);
    check(&format!("S{}", dots(9)), &[slow]);
    check(&format!("S{}", dots(10)), &[slow, slow_over]);
    check(&format!("S{}S{}", dots(9), dots(9)), &[slow]);
    check(&format!("S{}S{}", dots(10), dots(30)), &[slow, slow_over, slow, slow_over]);
    // A slow failure is no slow success, and says nothing of speed.
    check("X", &[]);
    check(&format!("S{}X.", dots(9)), &[slow, slow_over]);
    // More than ten, not ten.
    check(&"x".repeat(10), &[]);
    check(&"x".repeat(11), &[errors]);
    check(&"x".repeat(1_000), &[errors]);
    // Eleven failures leave the last hundred one by one: five are left after 95 successes.
    check(&format!("{}{}", "x".repeat(11), dots(94)), &[errors]);
    check(&format!("{}{}", "x".repeat(11), dots(95)), &[errors, errors_over]);
    // Ten in any hundred never raise it.
    check(&format!("{}{}", "x".repeat(10), dots(90)).repeat(5), &[]);
    check(&format!("{}{}{}", dots(1_000), "x".repeat(10), "Sx"), &[slow, errors]);
}

#[test]
fn a_latency_alert_ends_when_nothing_was_slow_for_five_minutes() {
    let (recorder, clock) = recorder(Config::default());
    let heard = listen(&recorder);
    recorder.record(ok(6_000));
    clock.advance(Duration::from_secs(299));
    assert_eq!(recorder.active_alerts().len(), 1);
    recorder.record(ok(6_000));
    clock.advance(Duration::from_secs(299));
    assert_eq!(recorder.dashboard().active_alerts.len(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(recorder.dashboard().active_alerts.len(), 0);
    recorder.record(ok(6_000));
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[test]
fn alerts_are_bounded_and_the_dashboard_shows_the_last_ten() {
    let (recorder, _) = recorder(Config::default().max_operations(100).max_servers(4));
    for n in 0..5_000 {
        let (name, server) = (format!("tool{n}"), format!("server{}", n % 4));
        recorder.record(Operation { name: &name, server: &server, ..ok(9_000) });
    }
    assert_eq!(recorder.active_alerts().len(), 104); // 4 × 25 names and 4 × `_other`
    assert_eq!(recorder.alert_history().len(), 100);
    let shown = recorder.dashboard().active_alerts;
    assert_eq!(shown.len(), 10);
    assert_eq!(shown.last().unwrap().operation.as_deref(), Some("_other"));
}

#[test]
fn one_server_says_nothing_of_another() {
    let (recorder, _) = recorder(Config::default());
    for n in 0..200 {
        let server = if n % 2 == 0 { "a" } else { "b" };
        recorder.record(Operation { server, success: n % 2 == 0, ..ok(1) });
    }
    let alerts = recorder.active_alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!((&*alerts[0].server, alerts[0].kind), ("b", AlertKind::HighErrorRate));
    assert_eq!(alerts[0].error_count, Some(11));
}

#[test]
fn thresholds_are_the_configured_ones() {
    let mut alerts = Alerts::default();
    alerts.latency_ms = 20;
    alerts.latency_clear_after = 1;
    alerts.errors = 0;
    alerts.errors_clear = 0;
    let (recorder, _) = recorder(Config::default().alerts(alerts));
    let heard = listen(&recorder);
    recorder.record(ok(20));
    recorder.record(ok(21));
    recorder.record(ok(20));
    recorder.record(failed(1));
    (0..100).for_each(|_| recorder.record(ok(1)));
    let expected =
        ["+high_latency a", "-high_latency a", "+high_error_rate a", "-high_error_rate a"];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn sinks_are_bounded_and_may_use_the_recorder() {
    let (recorder, _) = recorder(Config::default());
    let inner = recorder.clone();
    let added = (0..20).filter(|_| {
        let inner = inner.clone();
        recorder.add_sink(move |_: &AlertEvent| {
            let _ = inner.dashboard();
            inner.record(Operation { name: "other", ..ok(1) });
        })
    });
    assert_eq!(added.count(), 16);
    recorder.record(ok(6_000));
    assert_eq!(recorder.records().len(), 17);
}

/// A writer that several hold.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_has_a_line_for_each_event() {
    let (recorder, _) = recorder(Config::default());
    let written = Shared::default();
    assert!(recorder.add_sink(Log::new(written.clone())));
    recorder.record(Operation { name: "a \"b\"\n", ..ok(6_000) });
    (0..11).for_each(|_| recorder.record(failed(10)));
    (0..10).for_each(|_| recorder.record(Operation { name: "a \"b\"\n", ..ok(1) }));
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let slow = r#"severity=warning server="a" operation="a \"b\"\n" duration_ms=6000"#;
    let lines = [
        format!("alert raised high_latency {slow}"),
        r#"alert raised high_error_rate severity=critical server="a" error_count=11"#.to_owned(),
        format!("alert resolved high_latency {slow}"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_channel_takes_what_it_has_room_for() {
    let (recorder, _) = recorder(Config::default());
    let (channel, events) = Channel::new(2);
    let channel = Arc::new(channel);
    assert!(recorder.add_sink(channel.clone()));
    for name in ["one", "two", "three"] {
        recorder.record(Operation { name, ..ok(6_000) });
    }
    let names: Vec<_> = events
        .try_iter()
        .map(|event| match event {
            AlertEvent::Raised(alert) => alert.operation.unwrap().to_string(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!((names, channel.dropped()), (vec!["one".to_owned(), "two".to_owned()], 1));
    drop(events);
    recorder.record(Operation { name: "four", ..ok(6_000) });
    assert_eq!(channel.dropped(), 2);
}

/// Sinks were told by whichever thread had raised or resolved, so that an end could overtake its beginning.
#[test]
fn sinks_hear_in_order_whichever_threads_raise_and_resolve() {
    let mut alerts = Alerts::default();
    alerts.latency_clear_after = 1;
    let (recorder, _) = recorder(Config::default().alerts(alerts));
    let heard = listen(&recorder);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // No more events than may wait to be told: beyond that the oldest are not.
                for _ in 0..120 {
                    recorder.record(ok(6_000));
                    recorder.record(ok(1));
                }
            });
        }
    });
    recorder.evaluate();
    let heard = heard.lock().unwrap();
    assert!(!heard.is_empty());
    for (index, event) in heard.iter().enumerate() {
        let sign = if index % 2 == 0 { '+' } else { '-' };
        assert!(event.starts_with(sign), "event {index} is {event}");
    }
    assert_eq!(heard.len() % 2, recorder.active_alerts().len());
}

#[test]
fn a_sink_that_panics_harms_neither_the_caller_nor_the_others() {
    let (recorder, _) = recorder(Config::default());
    recorder.add_sink(|_: &AlertEvent| std::panic::resume_unwind(Box::new("broken")));
    let heard = listen(&recorder);
    recorder.record(ok(6_000));
    (0..10).for_each(|_| recorder.record(ok(1)));
    assert_eq!(*heard.lock().unwrap(), ["+high_latency a", "-high_latency a"]);
}

/// A success of no duration at all was not looked at while an alert waited for its end.
#[test]
fn a_success_that_took_no_time_is_a_fast_one() {
    let (recorder, _) = recorder(Config::default());
    recorder.record(ok(6_000));
    (0..10).for_each(|_| recorder.record(ok(0)));
    assert!(recorder.active_alerts().is_empty());
}
