//! Rules fire and end while nobody looks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolweir::config::Config;
use toolweir::core::Kind;
use toolweir::{Member, Orchestrator};
use toolweir_metrics::{AlertEvent, Alerts, Condition, Rule, Severity, Window};

use super::scripted::{Does, Scripted};
use super::{call, started};

#[tokio::test(start_paused = true)]
async fn a_rule_fires_after_its_time_and_ends_with_its_window() {
    let server = Scripted::new("s", &["work"]);
    let condition = Condition::ErrorRate { window: Window::Minute, above: 0.5 };
    let rule = Rule::new("errors", Severity::Warning, condition).holds_for(Duration::from_secs(10));
    let metrics = toolweir_metrics::Config::default().alerts(Alerts::default().rule(rule));
    let member = Member::new("s", server.clone()).breaker(None);
    let orchestrator = started(Orchestrator::builder().member(member).metrics(metrics)).await;
    let begun = tokio::time::Instant::now();
    let heard: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
    let writes = heard.clone();
    orchestrator.metrics().add_sink(move |event: &AlertEvent| {
        let seconds = tokio::time::Instant::now().duration_since(begun).as_secs();
        writes.lock().unwrap().push((seconds, event.to_string()));
    });
    server.fails(Kind::Disconnected);
    for _ in 0..10 {
        assert!(call(&orchestrator, "s__work").await.is_err());
    }
    server.does(Does::Answer);
    tokio::time::sleep(Duration::from_secs(9)).await;
    let rules = || -> Vec<(u64, String)> {
        let heard = heard.lock().unwrap();
        heard.iter().filter(|(_, line)| line.contains("rule=")).cloned().collect()
    };
    assert_eq!(rules(), [], "not for ten seconds yet");
    tokio::time::sleep(Duration::from_secs(111)).await;
    let [(raised, first), (resolved, last)] = &rules()[..] else { panic!("{:?}", rules()) };
    assert!(
        first.starts_with(r#"raised rule severity=warning server="s" rule="errors""#),
        "{first}"
    );
    assert!((10..=15).contains(raised), "{raised} s");
    assert!(last.starts_with(r#"resolved rule severity=warning server="s""#), "{last}");
    assert!((55..=65).contains(resolved), "the window is a minute: {resolved} s");
    orchestrator.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_other_rules() {
    let config = |rules: &str, more: &str| {
        let text = format!(
            r#"{{"mcpServers":{{"s":{{"capabilities":[]}}}},
                "toolweir":{{"stateDir":false,"alerts":{{"rules":{{{rules}}}{more}}}}}}}"#
        );
        Config::from_str(&text, "test.jsonc", &|_| None).unwrap().0
    };
    let kept = r#""kept":{"kind":"operationsPerSecond","below":1}"#;
    let gone = r#""gone":{"kind":"operationsPerSecond","below":2}"#;
    let new = r#""new":{"kind":"operationsPerSecond","below":3}"#;
    let first = config(&format!("{kept},{gone}"), "");
    let orchestrator = started(toolweir::Builder::from_config(&first).unwrap()).await;
    let active = || -> Vec<String> {
        let alerts = orchestrator.standing().dashboard.active_alerts;
        alerts.iter().filter_map(|alert| Some(alert.rule.as_ref()?.to_string())).collect()
    };
    assert_eq!(active(), ["kept", "gone"]);
    let second = config(&format!("{new},{kept}"), "");
    let reloaded = orchestrator.reload(&second).unwrap();
    assert_eq!(reloaded.to_string(), "changed the rules new, gone; 1 unchanged");
    assert_eq!(active(), ["kept", "new"]);
    assert!(first.fixed(&second).is_empty());
    assert_eq!(
        first.fixed(&config("", r#","errorRate":0.5"#)),
        ["alerts"],
        "that needs a new start"
    );
    assert_eq!(orchestrator.reload(&second).unwrap().to_string(), "1 unchanged");
    orchestrator.shutdown(Duration::from_secs(1)).await;
}
