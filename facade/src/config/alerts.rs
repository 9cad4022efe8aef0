//! `alerts`: thresholds, and rules over rolling windows.

use std::time::Duration;

use jsonc_parser::ast::{ObjectProp, Value};
use toolweir_metrics::{Condition, Figure, Quantile, Rule, Severity as Urgency, Window};

use super::diagnostics::Severity;
use super::policies::DAY;
use super::pools::unknown;
use super::servers::Server;
use super::suggest::nearest;
use super::walk::{Fields, Walk, clean, span};

/// When to raise an alert; what is not given keeps its default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Alerts {
    /// `highLatencyMs`: of one call.
    pub high_latency: Option<Duration>,
    /// `errorsInLast100`: of a server's calls.
    pub errors_in_last_100: Option<u32>,
    /// `errorRate`: from 0 to 1.
    pub error_rate: Option<f64>,
    /// `latencyP99Ms`.
    pub latency_p99: Option<Duration>,
    /// `latencyP50Ms`.
    pub latency_p50: Option<Duration>,
    /// `rules`: at most [`toolweir_metrics::Alerts::MAX_RULES`].
    pub rules: Vec<Rule>,
}

impl Alerts {
    /// Whether all but the rules is as in `other`.
    pub(super) fn is_as_in(&self, other: &Self) -> bool {
        let bare = |alerts: &Self| Self { rules: Vec::new(), ..alerts.clone() };
        bare(self) == bare(other)
    }
}

pub(super) fn read(walk: &mut Walk<'_>, value: &Value<'_>, servers: &[Server]) -> Alerts {
    let Some(object) = walk.object(value, "alerts") else { return Alerts::default() };
    let mut fields = Fields::new(object);
    let mut millis = |key| fields.get(key).and_then(|value| walk.millis(value, key, 1..=DAY));
    let (high_latency, latency_p99, latency_p50) =
        (millis("highLatencyMs"), millis("latencyP99Ms"), millis("latencyP50Ms"));
    let alerts = Alerts {
        high_latency,
        errors_in_last_100: fields
            .get("errorsInLast100")
            .and_then(|value| walk.integer(value, "errorsInLast100", 0..=99))
            .and_then(|errors| u32::try_from(errors).ok()),
        error_rate: fields
            .get("errorRate")
            .and_then(|value| walk.number(value, "errorRate", 0.0..=1.0)),
        latency_p99,
        latency_p50,
        rules: fields.get("rules").map(|value| rules(walk, value, servers)).unwrap_or_default(),
    };
    fields.finish(walk, Severity::Error, "`alerts`");
    alerts
}

fn rules(walk: &mut Walk<'_>, value: &Value<'_>, servers: &[Server]) -> Vec<Rule> {
    const MAX: usize = toolweir_metrics::Alerts::MAX_RULES;
    let Some(object) = walk.object(value, "alerts.rules") else { return Vec::new() };
    if let Some(beyond) = object.properties.get(MAX) {
        walk.error(span(&beyond.name), format!("there can be {MAX} rules at most"))
            .help("remove some: a rule without `servers` is for each of them");
    }
    object.properties.iter().filter_map(|property| rule(walk, property, servers)).collect()
}

/// What a rule looks at.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    ErrorRate,
    Latency,
    BurnRate,
    Figure(Figure),
}

const KINDS: [(&str, Kind); 6] = [
    ("errorRate", Kind::ErrorRate),
    ("latency", Kind::Latency),
    ("burnRate", Kind::BurnRate),
    ("inFlight", Kind::Figure(Figure::InFlight)),
    ("score", Kind::Figure(Figure::Score)),
    ("operationsPerSecond", Kind::Figure(Figure::OperationsPerSecond)),
];

/// The windows that are kept.
const WINDOWS: [(&str, Window); 3] =
    [("1m", Window::Minute), ("5m", Window::FiveMinutes), ("1h", Window::Hour)];

const URGENCIES: [(&str, Urgency); 2] =
    [("warning", Urgency::Warning), ("critical", Urgency::Critical)];

const PERCENTILES: [(f64, Quantile); 5] = [
    (50.0, Quantile::P50),
    (90.0, Quantile::P90),
    (95.0, Quantile::P95),
    (99.0, Quantile::P99),
    (99.9, Quantile::P999),
];

impl Kind {
    /// The keys that say what has to be the case.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::ErrorRate => &["abovePercent", "window", "minOperations"],
            Self::Latency => &["aboveMs", "percentile", "window", "minOperations"],
            Self::BurnRate => {
                &["objectivePercent", "above", "longWindow", "shortWindow", "minOperations"]
            }
            Self::Figure(_) => &["above", "below"],
        }
    }
}

fn rule(walk: &mut Walk<'_>, property: &ObjectProp<'_>, servers: &[Server]) -> Option<Rule> {
    let (name, at) = (property.name.as_str(), span(&property.name));
    let what = format!("alerts.rules.{}", clean(name));
    let object = walk.object(&property.value, &what)?;
    if name.is_empty() || name.len() > 100 {
        walk.error(at.clone(), "the name of a rule must have from 1 to 100 bytes")
            .help("name what is wrong when it fires, as in `slow`");
    }
    let mut fields = Fields::new(object);
    let kind = fields.get("kind").and_then(|value| one_of(walk, value, "kind", &KINDS));
    let given = Given::read(walk, &mut fields);
    let severity = fields.get("severity");
    let severity = severity.and_then(|value| one_of(walk, value, "severity", &URGENCIES));
    let waits = fields.get("forMs").and_then(|value| walk.millis(value, "forMs", 0..=DAY));
    let clear = fields.get("clearPercent");
    let clear = clear.and_then(|value| walk.number(value, "clearPercent", 0.0..=100.0));
    let least = fields.get("minOperations");
    let least = least.and_then(|value| walk.integer(value, "minOperations", 1..=1_000_000_000));
    let names = fields.get("servers").map(|value| named(walk, value, servers));
    if fields.get("kind").is_none() {
        let kinds = KINDS.map(|(name, _)| name).join("`, `");
        walk.error(at.clone(), format!("the rule `{}` has no `kind`", clean(name)))
            .help(format!("add one of `{kinds}`"));
    }
    let condition = kind.and_then(|(word, kind)| {
        for key in CONDITIONS.iter().filter(|key| !kind.keys().contains(key)) {
            if let Some(at) = fields.key(key) {
                walk.error(at, format!("`{key}` means nothing to a rule of kind `{word}`"))
                    .help(format!("known here: {}", kind.keys().join(", ")));
            }
        }
        let condition = given.condition(kind);
        let (needed, is_there) = given.needed(kind, &mut fields);
        if !is_there {
            walk.error(at, format!("the rule `{}` does not say from when on", clean(name)))
                .help(format!("add {needed}"));
        }
        if let Some(key) = given.contradiction(kind, &fields) {
            walk.error(key, "`shortWindow` must be shorter than `longWindow`")
                .help("the usual pair is `1h` and `5m`");
            return None;
        }
        condition
    });
    fields.finish(walk, Severity::Error, &format!("`{what}`"));
    let usual = match kind {
        Some((_, Kind::BurnRate)) => Urgency::Critical,
        _ => Urgency::Warning,
    };
    let mut rule = Rule::new(name, severity.map_or(usual, |(_, severity)| severity), condition?);
    rule = rule.holds_for(waits.unwrap_or_default());
    rule.clear = clear.map_or(rule.clear, |percent| percent / 100.0);
    rule.min_operations = least.unwrap_or(rule.min_operations);
    rule.servers = names.unwrap_or_default();
    Some(rule)
}

/// The keys of all kinds of conditions.
const CONDITIONS: [&str; 10] = [
    "abovePercent",
    "aboveMs",
    "percentile",
    "objectivePercent",
    "above",
    "below",
    "window",
    "longWindow",
    "shortWindow",
    "minOperations",
];

/// What is given of a condition, whatever its kind.
#[derive(Default)]
struct Given {
    above_percent: Option<f64>,
    above_ms: Option<f64>,
    percentile: Option<Quantile>,
    objective: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    window: Option<Window>,
    long: Option<Window>,
    short: Option<Window>,
}

impl Given {
    fn read(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>) -> Self {
        let mut number = |key, range| {
            let value = fields.get(key)?;
            walk.number(value, key, range)
        };
        let mut given = Self {
            above_percent: number("abovePercent", 0.0001..=100.0),
            above_ms: number("aboveMs", 0.001..=86_400_000.0),
            objective: number("objectivePercent", 0.0..=99.9999),
            above: number("above", 0.0..=1e12),
            below: number("below", 0.0..=1e12),
            ..Self::default()
        };
        given.percentile = fields.get("percentile").and_then(|value| percentile(walk, value));
        let mut window = |key| {
            let value = fields.get(key)?;
            one_of(walk, value, key, &WINDOWS).map(|(_, window)| window)
        };
        given.window = window("window");
        given.long = window("longWindow");
        given.short = window("shortWindow");
        given
    }

    /// What has to be the case, where enough is given.
    fn condition(&self, kind: Kind) -> Option<Condition> {
        let window = self.window.unwrap_or(Window::FiveMinutes);
        Some(match kind {
            Kind::ErrorRate => Condition::ErrorRate { window, above: self.above_percent? / 100.0 },
            Kind::Latency => {
                let quantile = self.percentile.unwrap_or(Quantile::P99);
                Condition::Latency { window, quantile, above_ms: self.above_ms? }
            }
            // The fastest of the pairs in the Site Reliability Workbook (chapter 5): a fiftieth of a month's share of
            // failures within an hour. Slower ones need longer windows than are kept.
            Kind::BurnRate => Condition::BurnRate {
                objective: self.objective? / 100.0,
                above: self.above.unwrap_or(14.4),
                long: self.long.unwrap_or(Window::Hour),
                short: self.short.unwrap_or(Window::FiveMinutes),
            },
            Kind::Figure(figure) => {
                let (above, below) = (self.above, self.below);
                (above.is_some() != below.is_some()).then_some(Condition::Threshold {
                    figure,
                    above,
                    below,
                })?
            }
        })
    }

    /// The key without which a condition of this kind says nothing, and whether it is there, right or wrong.
    fn needed(&self, kind: Kind, fields: &mut Fields<'_, '_>) -> (&'static str, bool) {
        match kind {
            Kind::ErrorRate => {
                ("`abovePercent`: the share of failures", fields.get("abovePercent").is_some())
            }
            Kind::Latency => ("`aboveMs`: how long one may take", fields.get("aboveMs").is_some()),
            Kind::BurnRate => (
                "`objectivePercent`: the share of successes that is promised",
                fields.get("objectivePercent").is_some(),
            ),
            Kind::Figure(_) => (
                "either `above` or `below`",
                fields.get("above").is_some() != fields.get("below").is_some(),
            ),
        }
    }

    /// Where a burn rate's two windows do not fit.
    fn contradiction(&self, kind: Kind, fields: &Fields<'_, '_>) -> Option<std::ops::Range<usize>> {
        let place = |window| WINDOWS.iter().position(|(_, known)| *known == window);
        let (long, short) =
            (self.long.unwrap_or(Window::Hour), self.short.unwrap_or(Window::FiveMinutes));
        let is_wrong = kind == Kind::BurnRate && place(short) >= place(long);
        let key = || fields.key("shortWindow").or_else(|| fields.key("longWindow"));
        is_wrong.then(key).flatten()
    }
}

/// One of a few words.
fn one_of<T: Copy>(
    walk: &mut Walk<'_>,
    value: &Value<'_>,
    what: &str,
    known: &[(&'static str, T)],
) -> Option<(&'static str, T)> {
    let text = walk.filled(value, what)?;
    let found = known.iter().find(|(word, _)| *word == text.value()).copied();
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        // Of words as short as `5m` each is near to any other.
        let help = match nearest(text.value(), &words).filter(|word| word.len() > 2) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write one of `{}`", words.join("`, `")),
        };
        walk.error(span(value), format!("`{what}` cannot be `{}`", clean(text.value()))).help(help);
    }
    found
}

fn percentile(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Quantile> {
    let number = walk.number(value, "percentile", 50.0..=99.9)?;
    let found = PERCENTILES.iter().find(|(known, _)| (known - number).abs() < 1e-9);
    if found.is_none() {
        walk.error(span(value), "`percentile` is not one of those that are kept")
            .help("write 50, 90, 95, 99 or 99.9");
    }
    found.map(|(_, quantile)| *quantile)
}

/// The servers that a rule is for, each of which is one.
fn named(walk: &mut Walk<'_>, value: &Value<'_>, servers: &[Server]) -> Vec<String> {
    let Some(list) = walk.list(value, "servers") else { return Vec::new() };
    if list.is_empty() {
        walk.error(span(value), "a rule for no server never fires")
            .help("name one, or remove `servers`: then it is for each of them");
    }
    let mut names = Vec::with_capacity(list.len());
    for element in list {
        let Some(text) = walk.filled(element, "servers[]") else { continue };
        if servers.iter().any(|server| server.name == text.value()) {
            names.push(text.value().to_owned());
        } else {
            let known = servers.iter().map(|server| server.name.as_str());
            unknown(walk, element, text.value(), known);
        }
    }
    names
}
