//! OpenMetrics text.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::alert::Severity;
use crate::events::{BREAKER_STATES, ServerEvents};
use crate::histogram::BOUNDS;
use crate::recorder::Recorder;
use crate::slot::{Family, OperationSlot};

/// The content type of what [`Recorder::render`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In which form everything is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exposition {
    /// OpenMetrics 1.0.
    #[default]
    OpenMetrics,
    /// Prometheus' own text format, 0.0.4, which more programs read.
    Prometheus,
}

impl Exposition {
    /// What to answer to an HTTP request with this `Accept` header: OpenMetrics where it is asked for.
    ///
    /// ```
    /// use toolweir_metrics::Exposition;
    ///
    /// let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    /// assert_eq!(Exposition::accepted(Some(asked)), Exposition::OpenMetrics);
    /// assert_eq!(Exposition::accepted(Some("*/*")), Exposition::Prometheus);
    /// assert_eq!(Exposition::accepted(None), Exposition::Prometheus);
    /// ```
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let wanted = accept.unwrap_or_default().split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().unwrap_or_default();
            named.eq_ignore_ascii_case("application/openmetrics-text")
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
        if wanted { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The content type of what [`Recorder::render_as`] returns.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => CONTENT_TYPE,
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The same in Prometheus' own format: there a counter's family is named as its lines are, and nothing marks the end.
fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
            continue;
        }
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let described = line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' '));
        if let Some((name, kind)) = described {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) =
                help.take().and_then(|line| line.strip_prefix("# HELP ")?.split_once(' '))
            {
                classic.extend(["# HELP ", name, suffix, " ", words, "\n"]);
            }
            classic.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else {
            classic.extend([line, "\n"]);
        }
    }
    classic
}

impl Recorder {
    /// Everything as text of this form.
    #[must_use]
    pub fn render_as(&self, form: Exposition) -> String {
        match form {
            Exposition::OpenMetrics => self.render(),
            Exposition::Prometheus => classic(&self.render()),
        }
    }

    /// Everything as OpenMetrics text, for Prometheus to scrape.
    #[must_use]
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        let written = encode(&mut text, &registry);
        debug_assert!(written.is_ok(), "writing to a string does not fail");
        text
    }
}

/// Labels of one line.
type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Lets a program export these figures beside its own: `registry.register_collector(Box::new(recorder))`.
impl Collector for Recorder {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let names = self.shared.table.names();
        durations(
            &mut encoder,
            "mcp_client_operation_duration_seconds",
            "Duration of requests to MCP servers",
            &names.operations,
            mcp_labels,
        )?;
        durations(
            &mut encoder,
            "toolweir_operation_duration_seconds",
            "Duration of operations",
            &names.operations,
            plain_labels,
        )?;
        let mut servers: Vec<_> =
            names.servers().map(|server| (&*server.name, server.state.events())).collect();
        servers.sort_by_key(|(name, _)| *name);
        upstreams(&mut encoder, &servers)?;
        breakers(&mut encoder, &servers)?;
        self.caches(&mut encoder)?;
        self.alerts(&mut encoder)
    }
}

/// Labels of what was observed, by OpenTelemetry's conventions for MCP.
fn mcp_labels(slot: &OperationSlot) -> Option<Labels<'_>> {
    let server = ("service_peer_name", &*slot.server.name);
    match slot.family {
        Family::Plain => None,
        Family::Method => Some(vec![("mcp_method_name", &*slot.name), server]),
        Family::Tool => {
            Some(vec![("mcp_method_name", "tools/call"), ("gen_ai_tool_name", &*slot.name), server])
        }
    }
}

/// Labels of what was recorded by name.
fn plain_labels(slot: &OperationSlot) -> Option<Labels<'_>> {
    let labels = || vec![("server", &*slot.server.name), ("operation", &*slot.name)];
    (slot.family == Family::Plain).then(labels)
}

fn durations(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    slots: &[Arc<OperationSlot>],
    labels: fn(&OperationSlot) -> Option<Labels<'_>>,
) -> fmt::Result {
    let mut lines: Vec<_> = slots
        .iter()
        .filter_map(|slot| Some((labels(slot)?, slot.cells.bounds())))
        .filter(|(_, (_, counts))| counts.iter().any(|count| *count > 0))
        .collect();
    lines.sort();
    if lines.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, (sum, counts)) in lines {
        let bounds = BOUNDS.iter().map(|nanos| *nanos as f64 / 1e9).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let labels = labels.as_slice();
        let mut metric = family.encode_family(&labels)?;
        let total = counts.iter().sum();
        metric.encode_histogram::<NoLabelSet>(sum as f64 / 1e9, total, &buckets, None)?;
    }
    Ok(())
}

/// Writes one family of whole numbers; nothing where there are no lines.
fn family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    lines: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let mut family: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in lines {
        let labels = labels.as_slice();
        let mut metric = family.encode_family(&labels)?;
        match kind {
            MetricType::Counter => metric.encode_counter::<NoLabelSet, u64, u64>(&value, None)?,
            _ => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?,
        }
    }
    Ok(())
}

type Servers<'a> = [(&'a str, ServerEvents)];

fn upstreams(encoder: &mut DescriptorEncoder<'_>, servers: &Servers<'_>) -> fmt::Result {
    let gauge = MetricType::Gauge;
    let each = |value: fn(&ServerEvents) -> u64| {
        servers.iter().map(move |(name, events)| (vec![("server", *name)], value(events)))
    };
    let up = servers
        .iter()
        .filter_map(|(name, events)| events.up.map(|up| (vec![("server", *name)], u64::from(up))));
    family(encoder, ("toolweir_upstream_up", "Whether the server can be called", gauge), up)?;
    let name = ("toolweir_upstream_inflight", "Calls that began and did not end", gauge);
    family(encoder, name, each(|events| events.in_flight))?;
    let name = ("toolweir_upstream_abandoned", "Calls that their caller left", MetricType::Counter);
    family(encoder, name, each(|events| events.abandoned))?;
    let errors = servers.iter().flat_map(|(name, events)| {
        let line = |(kind, count): &(&'static str, u64)| {
            (vec![("server", *name), ("error_type", *kind)], *count)
        };
        events.errors.iter().map(line)
    });
    let name = ("toolweir_upstream_errors", "Calls that failed, by how", MetricType::Counter);
    family(encoder, name, errors)?;
    let limited = servers.iter().flat_map(|(name, events)| {
        let line = |(scope, count): &(&'static str, u64)| {
            (vec![("decision", "refused"), ("scope", *scope), ("server", *name)], *count)
        };
        events.limited.iter().map(line)
    });
    let name = ("toolweir_ratelimit_decisions", "Calls that a limit refused", MetricType::Counter);
    family(encoder, name, limited)
}

fn breakers(encoder: &mut DescriptorEncoder<'_>, servers: &Servers<'_>) -> fmt::Result {
    let known = || servers.iter().filter(|(_, events)| events.breaker.is_some());
    let states = known().flat_map(|(name, events)| {
        BREAKER_STATES.into_iter().map(|state| {
            let labels = vec![("server", *name), ("state", state)];
            (labels, u64::from(events.breaker == Some(state)))
        })
    });
    let name = ("toolweir_breaker_state", "1 for the state that it is in", MetricType::Gauge);
    family(encoder, name, states)?;
    let transitions = known().flat_map(|(name, events)| {
        let line = |(state, count): &(&'static str, u64)| {
            (vec![("server", *name), ("state", *state)], *count)
        };
        events.breaker_transitions.iter().map(line)
    });
    let name = ("toolweir_breaker_transitions", "How often it went there", MetricType::Counter);
    family(encoder, name, transitions)
}

impl Recorder {
    fn caches(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let cache = self.cache_counts();
        let results = [
            ("hit", cache.hit),
            ("miss", cache.miss),
            ("stale", cache.stale),
            ("coalesced", cache.coalesced),
            ("bypass", cache.bypass),
        ];
        let lines = results.map(|(result, count)| (vec![("result", result)], count));
        let name = ("toolweir_cache_requests", "Looks into the cache", MetricType::Counter);
        family(encoder, name, lines)
    }

    fn alerts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let active = self.active_alerts();
        let lines = [("warning", Severity::Warning), ("critical", Severity::Critical)].map(
            |(name, severity)| {
                let count = active.iter().filter(|alert| alert.severity == severity).count();
                (vec![("severity", name)], count as u64)
            },
        );
        let name = ("toolweir_alerts_active", "Alerts that are not over", MetricType::Gauge);
        family(encoder, name, lines)
    }
}
