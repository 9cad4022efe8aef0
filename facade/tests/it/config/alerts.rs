//! `alerts.rules`: what is read, and what is said of mistakes.

use toolweir_metrics::{Condition, Figure, Quantile, Rule, Severity, Window};

use super::wrong::told;
use super::{S, right};

/// The rules of a file whose `alerts.rules` has this inside.
fn rules(inside: &str) -> Vec<Rule> {
    right(&format!(r#"{{{S},"toolweir":{{"alerts":{{"rules":{{{inside}}}}}}}}}"#))
        .settings
        .alerts
        .rules
}

#[test]
fn a_rule_needs_a_kind_and_one_figure() {
    let burn =
        |objective, above, long, short| Condition::BurnRate { objective, above, long, short };
    let figure = |figure, above, below| Condition::Threshold { figure, above, below };
    for (inside, severity, when) in [
        (
            r#""kind":"errorRate","abovePercent":5"#,
            Severity::Warning,
            Condition::ErrorRate { window: Window::FiveMinutes, above: 0.05 },
        ),
        (
            r#""kind":"errorRate","abovePercent":50,"window":"1m","severity":"critical""#,
            Severity::Critical,
            Condition::ErrorRate { window: Window::Minute, above: 0.5 },
        ),
        (
            r#""kind":"latency","aboveMs":800"#,
            Severity::Warning,
            Condition::Latency {
                window: Window::FiveMinutes,
                quantile: Quantile::P99,
                above_ms: 800.0,
            },
        ),
        (
            r#""kind":"latency","aboveMs":0.5,"percentile":99.9,"window":"1h""#,
            Severity::Warning,
            Condition::Latency { window: Window::Hour, quantile: Quantile::P999, above_ms: 0.5 },
        ),
        (
            r#""kind":"burnRate","objectivePercent":99"#,
            Severity::Critical,
            burn(0.99, 14.4, Window::Hour, Window::FiveMinutes),
        ),
        (
            r#""kind":"burnRate","objectivePercent":90,"above":2,"longWindow":"5m","shortWindow":"1m","severity":"warning""#,
            Severity::Warning,
            burn(0.9, 2.0, Window::FiveMinutes, Window::Minute),
        ),
        (
            r#""kind":"inFlight","above":100"#,
            Severity::Warning,
            figure(Figure::InFlight, Some(100.0), None),
        ),
        (
            r#""kind":"score","below":50"#,
            Severity::Warning,
            figure(Figure::Score, None, Some(50.0)),
        ),
        (
            r#""kind":"operationsPerSecond","below":0.1"#,
            Severity::Warning,
            figure(Figure::OperationsPerSecond, None, Some(0.1)),
        ),
    ] {
        let read = rules(&format!(r#""it":{{{inside}}}"#));
        assert_eq!(read, [Rule::new("it", severity, when)], "{inside}");
    }
    let read = rules(
        r#""a":{"kind":"latency","aboveMs":1,"forMs":60000,"clearPercent":50,"minOperations":3,"servers":["s"]},
           "b":{"kind":"inFlight","above":1}"#,
    );
    assert_eq!((read[0].for_ms, read[0].clear, read[0].min_operations), (60_000, 0.5, 3));
    assert_eq!(read[0].servers, ["s"]);
    assert_eq!((read[1].name.as_str(), read[1].for_ms, read[1].clear), ("b", 0, 0.8));
}

#[test]
fn each_mistake_in_a_rule_is_told_with_its_place() {
    // The inside of the rule, on a line of its own.
    for (inside, expected) in [
        ("", vec!["1:72 error the rule `it` has no `kind`"]),
        (r#""kind":"errorrate""#, vec!["2:8 error `kind` cannot be `errorrate`"]),
        (r#""kind":"errorRate""#, vec!["1:72 error the rule `it` does not say from when on"]),
        (
            r#""kind":"errorRate","abovePercent":0,"percentile":99,"window":"10m""#,
            vec![
                "2:35 error `abovePercent` must be a number from 0.0001 to 100",
                "2:37 error `percentile` means nothing to a rule of kind `errorRate`",
                "2:62 error `window` cannot be `10m`",
            ],
        ),
        (
            r#""kind":"latency","aboveMs":5,"percentile":98"#,
            vec!["2:43 error `percentile` is not one of those that are kept"],
        ),
        (
            r#""kind":"burnRate","objectivePercent":100,"shortWindow":"1h""#,
            vec![
                "2:38 error `objectivePercent` must be a number from 0 to 99.9999",
                "2:42 error `shortWindow` must be shorter than `longWindow`",
            ],
        ),
        (
            r#""kind":"burnRate","objectivePercent":99,"longWindow":"5m""#,
            vec!["2:41 error `shortWindow` must be shorter than `longWindow`"],
        ),
        (
            r#""kind":"inFlight","above":1,"below":2"#,
            vec!["1:72 error the rule `it` does not say from when on"],
        ),
        (
            r#""kind":"score","below":5,"minOperations":3,"forMs":-1,"clearPercent":101,"severity":"page","for":"5m""#,
            vec![
                "2:26 error `minOperations` means nothing to a rule of kind `score`",
                "2:52 error `forMs` must be a whole number from 0 to 86400000",
                "2:70 error `clearPercent` must be a number from 0 to 100",
                "2:85 error `severity` cannot be `page`",
                "2:92 error unknown key `for` in `alerts.rules.it`",
            ],
        ),
        (
            r#""kind":"inFlight","above":1,"servers":["t"]"#,
            vec!["2:40 error there is no server `t`"],
        ),
        (
            r#""kind":"inFlight","above":1,"servers":[]"#,
            vec!["2:39 error a rule for no server never fires"],
        ),
    ] {
        let text = format!(
            "{{{S},\"toolweir\":{{\"alerts\":{{\"rules\":{{    \"it\":{{\n{inside}}}}}}}}}}}"
        );
        assert_eq!(told(&text), expected, "{text}");
    }
    let rule = |n: usize| format!("\n\"{n}\":{{\"kind\":\"inFlight\",\"above\":1}}");
    let many = (0..40).map(rule).collect::<Vec<_>>().join(",");
    let text = format!("{{{S},\"toolweir\":{{\"alerts\":{{\"rules\":{{{many}}}}}}}}}");
    assert_eq!(told(&text), ["34:1 error there can be 32 rules at most"]);
}
