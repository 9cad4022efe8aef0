//! The servers, as clients name them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use jsonc_parser::ast::{ObjectProp, Value};
use toolweir_core::Hints;

use super::diagnostics::Severity;
use super::policies::{self, DAY, Policies, RateLimit, Setting, positive};
use super::source::Place;
use super::transport::{self, Transport};
use super::walk::{Fields, Walk, clean, span};

/// One server's entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Server {
    /// Its key in `mcpServers`.
    pub name: String,
    /// How it is reached; where the entry does not say, the server is registered but unreachable.
    pub transport: Option<Transport>,
    /// `capabilities`: what it can be asked for.
    pub capabilities: Vec<String>,
    /// `prefix`: stands before its tools' names; the server's own name where it is not given, nothing where it is empty.
    pub prefix: String,
    /// `trusted`: what it says of its tools is believed.
    pub trusted: bool,
    /// `isolate`: each client has a child, or an upstream session, of its own.
    pub isolate: Option<Isolate>,
    /// `zone`: where it stands; everywhere where it is not given.
    pub zone: Option<Zone>,
    /// `disabled`: as if it were not there.
    pub disabled: bool,
    /// What holds for this server alone; see [`Config::policies`](super::Config::policies).
    pub policies: Policies,
    /// `tools`: what is known of single tools, by the names that the server gives them.
    pub tools: Vec<(String, ToolPolicy)>,
    /// Where its name stands.
    pub place: Place,
}

/// The zone of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// What the configuration says of one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ToolPolicy {
    /// `hints`: believed whatever the server says.
    pub hints: Hints,
    /// `ttlMs`: its results are kept for so long.
    pub ttl: Option<Duration>,
    /// `rateLimit`: of all calls of it.
    pub rate_limit: Setting<RateLimit>,
    /// `rateLimitPerUser`: of each user's calls of it.
    pub rate_limit_per_user: Setting<RateLimit>,
}

/// What `isolate` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Isolate {
    /// `max`: how many clients may have one at once.
    pub max: Option<NonZeroU32>,
    /// `idleMs`: it ends when it was not used for so long.
    pub idle: Option<Duration>,
}

impl Server {
    /// The name under which clients see this server's `tool`: `prefix__tool`.
    #[must_use]
    pub fn exposed(&self, tool: &str) -> String {
        if self.prefix.is_empty() { tool.to_owned() } else { format!("{}__{tool}", self.prefix) }
    }
}

/// Reads `mcpServers` and `servers`.
pub(super) fn read(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    let mut seen: HashMap<String, Place> = HashMap::new();
    for key in ["mcpServers", "servers"] {
        let Some(object) = fields.get(key).and_then(|value| walk.object(value, key)) else {
            continue;
        };
        for property in &object.properties {
            let Some(server) = server(walk, property) else { continue };
            match seen.get(&server.name) {
                // Of a key given twice within one object has been told already.
                Some(first) if key == "servers" => {
                    let first = first.clone();
                    walk.error(
                        span(&property.name),
                        format!("the server `{}` is given twice", clean(&server.name)),
                    )
                    .and_at(first, "first here")
                    .help("remove one of the two, or give it another name");
                }
                _ => servers.push(server),
            }
        }
        seen = servers.iter().map(|server| (server.name.clone(), server.place.clone())).collect();
    }
    servers
}

fn server(walk: &mut Walk<'_>, property: &ObjectProp<'_>) -> Option<Server> {
    let name = property.name.as_str();
    let at = span(&property.name);
    let object = walk.object(&property.value, &clean(name))?;
    let mut fields = Fields::new(object);
    let disabled = flag(walk, &mut fields, "disabled");
    if disabled {
        walk.unset = Severity::Warning;
    }
    let given = fields.get("prefix").is_some();
    let prefix = fields.get("prefix").and_then(|value| prefix(walk, value));
    if !given && !is_prefix(name) {
        walk.error(
            at.clone(),
            format!("the name `{}` cannot stand before the names of tools", clean(name)),
        )
        .help("use letters, digits, `_`, `.` and `-` only, or add a `prefix`");
    }
    let server = Server {
        name: name.to_owned(),
        transport: transport::read(walk, &mut fields, name, at.clone()),
        capabilities: fields
            .get("capabilities")
            .and_then(|value| walk.names(value, "capabilities"))
            .unwrap_or_default(),
        prefix: prefix.unwrap_or_else(|| name.to_owned()),
        trusted: flag(walk, &mut fields, "trusted"),
        isolate: fields.get("isolate").and_then(|value| isolate(walk, value)),
        zone: fields.get("zone").and_then(|value| zone(walk, value)),
        disabled,
        policies: Policies::read_own(walk, &mut fields),
        tools: fields.get("tools").map(|value| tools(walk, value)).unwrap_or_default(),
        place: walk.place(at),
    };
    if let (Some(Transport::Http(_)), Some(_), Some(at)) =
        (&server.transport, server.policies.idle_stop, fields.key("idleStopMs"))
    {
        walk.warn(at, "`idleStopMs` has no effect on a server that is a URL").help("remove it");
    }
    if server.isolate.is_some() {
        let kept = server.tools.iter().any(|(_, policy)| policy.ttl.is_some());
        let useless = [("cache", matches!(server.policies.cache, Setting::On(_))), ("tools", kept)];
        for (key, _) in useless.into_iter().filter(|(_, is_given)| *is_given) {
            let Some(at) = fields.key(key) else { continue };
            walk.warn(at, format!("with `isolate`, `{key}` keeps no reply"))
                .help("one client's reply is never another's there: remove it, or `isolate`");
        }
    }
    fields.finish(walk, Severity::Warning, &format!("the server `{}`", clean(name)));
    walk.unset = Severity::Error;
    Some(server)
}

fn zone(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Zone> {
    let name = walk.filled(value, "zone")?.value().to_owned();
    Some(Zone { name, place: walk.place(span(value)) })
}

/// Tells of zones that count for nothing, because nobody says where the gateway is.
pub(super) fn check_zones(walk: &mut Walk<'_>, servers: &[Server]) {
    for zone in servers.iter().filter_map(|server| server.zone.as_ref()) {
        let at = zone.place.bytes.clone();
        walk.warn(at, "`zone` has no effect: it is not said which zone the gateway is in")
            .help(format!("add `\"zone\": \"{}\"` to `toolweir`, or remove it", clean(&zone.name)));
    }
}

fn flag(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>, key: &'static str) -> bool {
    fields.get(key).and_then(|value| walk.boolean(value, key)).unwrap_or_default()
}

pub(super) fn is_prefix(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn prefix(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<String> {
    let text = walk.text(value, "prefix")?;
    if !text.value().is_empty() && !is_prefix(text.value()) {
        walk.error(span(value), "this cannot stand before the names of tools")
            .help("use letters, digits, `_`, `.` and `-` only, or \"\" for no prefix");
        return None;
    }
    Some(text.value().to_owned())
}

/// `"client"`, or an object that says so and sets the bounds.
fn isolate(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Isolate> {
    if value.as_string_lit().is_some() {
        let text = walk.text(value, "isolate")?;
        return by_client(walk, value, text.value()).then(Isolate::default);
    }
    let Some(object) = value.as_object() else {
        walk.error(span(value), "`isolate` must be \"client\", or an object with its bounds")
            .help("write `\"client\"`, or `{ \"by\": \"client\", \"max\": 16 }`");
        return None;
    };
    let mut fields = Fields::new(object);
    let by = fields.get("by");
    let text = by.and_then(|by| Some((by, walk.text(by, "by")?)));
    let is_known = text.is_some_and(|(by, text)| by_client(walk, by, text.value()));
    if by.is_none() {
        walk.error(span(value), "`isolate` does not say what has an instance of its own")
            .help("add `\"by\": \"client\"`");
    }
    let isolate = Isolate {
        max: fields.get("max").and_then(|value| positive(walk, value, "max", 1_000)),
        idle: fields.get("idleMs").and_then(|value| walk.millis(value, "idleMs", 1..=DAY)),
    };
    fields.finish(walk, Severity::Error, "`isolate`");
    is_known.then_some(isolate)
}

fn by_client(walk: &mut Walk<'_>, value: &Value<'_>, text: &str) -> bool {
    if text != "client" {
        walk.error(span(value), "only clients can have instances of their own")
            .help("write `\"client\"`, or remove `isolate`");
    }
    text == "client"
}

fn tools(walk: &mut Walk<'_>, value: &Value<'_>) -> Vec<(String, ToolPolicy)> {
    let Some(object) = walk.object(value, "tools") else { return Vec::new() };
    let mut tools = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let name = property.name.as_str();
        let Some(object) = walk.object(&property.value, &format!("tools.{}", clean(name))) else {
            continue;
        };
        let mut fields = Fields::new(object);
        let policy = ToolPolicy {
            hints: fields.get("hints").map(|value| hints(walk, value)).unwrap_or_default(),
            ttl: fields.get("ttlMs").and_then(|value| walk.millis(value, "ttlMs", 1..=365 * DAY)),
            rate_limit: policies::of_tool(walk, &mut fields),
            rate_limit_per_user: policies::per_user(walk, &mut fields),
        };
        fields.finish(walk, Severity::Error, &format!("`tools.{}`", clean(name)));
        tools.push((name.to_owned(), policy));
    }
    tools
}

fn hints(walk: &mut Walk<'_>, value: &Value<'_>) -> Hints {
    let mut hints = Hints::default();
    let Some(object) = walk.object(value, "hints") else { return hints };
    let mut fields = Fields::new(object);
    let mut hint = |key| fields.get(key).and_then(|value| walk.boolean(value, key));
    hints.read_only = hint("readOnly");
    hints.idempotent = hint("idempotent");
    hints.destructive = hint("destructive");
    hints.open_world = hint("openWorld");
    fields.finish(walk, Severity::Error, "`hints`");
    hints
}
