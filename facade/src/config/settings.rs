//! The key `toolweir`: what clients' files do not have.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use jsonc_parser::ast::{Object, Value};

use super::alerts::{self, Alerts};
use super::diagnostics::Severity;
use super::policies::{DAY, Policies, Setting};
use super::pools;
use super::raw::Raw;
use super::secret::{Secret, Text};
use super::servers::Server;
use super::source::Place;
use super::walk::{Fields, Walk, clean, span};
use crate::handlers::Handlers;
use crate::pools::Pool;

/// Our own settings.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// `listen`: where MCP clients come in.
    pub listen: Option<SocketAddr>,
    /// `admin`: where health and metrics are served; nowhere if not given.
    pub admin: Option<SocketAddr>,
    /// `token`: what clients must present on both listeners.
    pub token: Option<Secret>,
    /// `allowedHosts`: further values of `Host` that are answered, in small letters.
    pub allowed_hosts: Vec<String>,
    /// `allowedOrigins`: values of `Origin` that are answered, in small letters.
    pub allowed_origins: Vec<String>,
    /// `routes`: over the default ones.
    pub routes: Vec<Route>,
    /// `defaultCapability`: what a request type without a route needs.
    pub default_capability: Option<String>,
    /// `handlers`: over the default ones.
    pub handlers: Vec<Handler>,
    /// `pools`: servers that stand in for each other.
    pub pools: Vec<Pool>,
    /// What holds for every server unless its entry says otherwise.
    pub policies: Policies,
    /// `connectTimeoutMs`: how long a server may take to be there.
    pub connect_timeout: Option<Duration>,
    /// `shutdownGraceMs`: how long calls in flight get once the gateway is told to end.
    pub shutdown_grace: Option<Duration>,
    /// `stateDir`: where what servers list is kept; `toolweir serve` has a folder of its own where it is not given.
    pub state_dir: Option<StateDir>,
    /// `alerts`: when to raise one.
    pub alerts: Alerts,
    /// `zone`: where the gateway stands; servers of another zone come behind those of this one.
    pub zone: Option<String>,
    /// `zoneSpillMs`: how long a server of the own zone may take and still come first.
    pub zone_spill: Option<Duration>,
    /// `slowStartMs`: how long a server that comes back takes to get its whole share of the calls.
    pub slow_start: Option<Duration>,
}

impl Settings {
    /// The keys of which a change takes effect when the gateway is started again, where `new` has another value.
    pub(super) fn fixed(&self, new: &Self) -> Vec<&'static str> {
        let size = |settings: &Self| match settings.policies.cache {
            Setting::On(cache) => Some((cache.max_entries, cache.max_bytes, cache.stale_if_error)),
            _ => None,
        };
        let keys = [
            ("listen", self.listen != new.listen),
            ("admin", self.admin != new.admin),
            ("token", self.token != new.token),
            ("allowedHosts", self.allowed_hosts != new.allowed_hosts),
            ("allowedOrigins", self.allowed_origins != new.allowed_origins),
            ("shutdownGraceMs", self.shutdown_grace != new.shutdown_grace),
            ("stateDir", self.state_dir != new.state_dir),
            ("alerts", !self.alerts.is_as_in(&new.alerts)),
            ("zone", self.zone != new.zone),
            ("zoneSpillMs", self.zone_spill != new.zone_spill),
            ("slowStartMs", self.slow_start != new.slow_start),
            ("cache", size(self).unwrap_or_default() != size(new).unwrap_or_default()),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// A request type, and the capabilities that a server needs for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The request type.
    pub request_type: String,
    /// At least one.
    pub capabilities: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

/// A request type, and how it becomes a call of a tool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handler {
    /// The request type.
    pub request_type: String,
    /// An object.
    pub handler: Raw,
    /// Where it stands.
    pub place: Place,
}

/// Where what servers list is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateDir {
    /// `false`: nowhere.
    Off,
    /// In this folder.
    At(Text),
}

/// Whether others than this machine's own programs can reach `address`, so that a token is due.
#[must_use]
pub fn needs_token(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

pub(super) fn read(walk: &mut Walk<'_>, object: &Object<'_>, servers: &[Server]) -> Settings {
    let mut fields = Fields::new(object);
    let settings = Settings {
        listen: fields.get("listen").and_then(|value| address(walk, value, "listen")),
        admin: fields.get("admin").and_then(|value| address(walk, value, "admin")),
        token: fields.get("token").and_then(|value| token(walk, value)),
        allowed_hosts: fields
            .get("allowedHosts")
            .map(|value| checked(walk, value, "allowedHosts", is_host))
            .unwrap_or_default(),
        allowed_origins: fields
            .get("allowedOrigins")
            .map(|value| checked(walk, value, "allowedOrigins", is_origin))
            .unwrap_or_default(),
        routes: fields.get("routes").map(|value| routes(walk, value)).unwrap_or_default(),
        default_capability: fields
            .get("defaultCapability")
            .and_then(|value| walk.filled(value, "defaultCapability"))
            .map(|text| text.value().to_owned()),
        handlers: fields.get("handlers").map(|value| handlers(walk, value)).unwrap_or_default(),
        pools: fields
            .get("pools")
            .map(|value| pools::read(walk, value, servers))
            .unwrap_or_default(),
        policies: Policies::read(walk, &mut fields),
        connect_timeout: fields
            .get("connectTimeoutMs")
            .and_then(|value| walk.millis(value, "connectTimeoutMs", 1..=DAY)),
        shutdown_grace: fields
            .get("shutdownGraceMs")
            .and_then(|value| walk.millis(value, "shutdownGraceMs", 0..=DAY)),
        state_dir: fields.get("stateDir").and_then(|value| state_dir(walk, value)),
        alerts: fields
            .get("alerts")
            .map(|value| alerts::read(walk, value, servers))
            .unwrap_or_default(),
        zone: fields
            .get("zone")
            .and_then(|value| walk.filled(value, "zone"))
            .map(|text| text.value().to_owned()),
        zone_spill: fields
            .get("zoneSpillMs")
            .and_then(|value| walk.millis(value, "zoneSpillMs", 1..=DAY)),
        slow_start: fields
            .get("slowStartMs")
            .and_then(|value| walk.millis(value, "slowStartMs", 0..=DAY)),
    };
    if let (None, Some(at)) = (fields.get("zone"), fields.key("zoneSpillMs")) {
        walk.warn(at, "`zoneSpillMs` has no effect without a `zone`")
            .help("say which zone the gateway is in, or remove it");
    }
    listeners(walk, &mut fields, &settings);
    fields.finish(walk, Severity::Error, "`toolweir`");
    settings
}

fn state_dir(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<StateDir> {
    match value {
        Value::BooleanLit(literal) if !literal.value => Some(StateDir::Off),
        Value::BooleanLit(_) => {
            walk.error(span(value), "`stateDir` must be a folder, or false")
                .help("name a folder, or remove it");
            None
        }
        value => walk.filled(value, "stateDir").map(StateDir::At),
    }
}

fn address(walk: &mut Walk<'_>, value: &Value<'_>, what: &str) -> Option<SocketAddr> {
    let text = walk.filled(value, what)?;
    let address = text.value().parse().ok();
    if address.is_none() {
        walk.error(span(value), format!("`{what}` must be an IP address and a port"))
            .help("write `127.0.0.1:8808` or `[::1]:8808`");
    }
    address
}

/// What the two listeners must be together.
fn listeners(walk: &mut Walk<'_>, fields: &mut Fields<'_, '_>, settings: &Settings) {
    let token_is_meant = fields.get("token").is_some();
    for (key, address) in [("listen", settings.listen), ("admin", settings.admin)] {
        let (Some(address), Some(value)) = (address, fields.get(key)) else { continue };
        if needs_token(address) && !token_is_meant {
            walk.error(
                span(value),
                format!("`{key}` can be reached from other machines, but there is no `token`"),
            )
            .help("listen on 127.0.0.1, or add `\"token\": \"${TOOLWEIR_TOKEN}\"`");
        }
    }
    if let (Some(listen), Some(admin)) = (fields.get("listen"), fields.get("admin"))
        && settings.listen.is_some_and(|address| address.port() != 0)
        && settings.listen == settings.admin
    {
        let first = walk.place(span(listen));
        walk.error(span(admin), "`listen` and `admin` are the same address")
            .and_at(first, "the same")
            .help("give `admin` another port");
    }
}

fn token(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Secret> {
    let secret = walk.secret(value, "token")?;
    if secret.expose().is_empty() || !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        walk.error(
            span(value),
            "`token` must be one word of visible ASCII characters, and not empty",
        )
        .help("take the output of `openssl rand -hex 32`, without a line end");
        return None;
    }
    Some(secret)
}

/// A list of strings for which `is_right` holds.
fn checked(
    walk: &mut Walk<'_>,
    value: &Value<'_>,
    what: &str,
    is_right: fn(&str) -> bool,
) -> Vec<String> {
    let Some(list) = walk.list(value, what) else { return Vec::new() };
    let mut strings = Vec::with_capacity(list.len());
    for element in list {
        let Some(text) = walk.filled(element, &format!("{what}[]")) else { continue };
        if is_right(text.value()) {
            strings.push(text.value().to_ascii_lowercase());
        } else if what == "allowedHosts" {
            walk.error(span(element), "this is not a host")
                .help("write `tools.example` or `tools.example:8808`");
        } else {
            walk.error(span(element), "this is not an origin")
                .help("write `https://app.example`, without a path");
        }
    }
    strings
}

fn is_host(text: &str) -> bool {
    // A pattern would never match: hosts are compared whole.
    let is_whole = !text.contains(['@', '*']);
    text.parse::<Authority>().is_ok_and(|authority| is_whole && !authority.host().is_empty())
}

fn is_origin(text: &str) -> bool {
    // A URI without a path is given the path "/", so the text itself is asked.
    let Some((scheme, host)) = text.split_once("://") else { return false };
    text.parse::<Uri>().is_ok_and(|uri| uri.query().is_none())
        && !scheme.is_empty()
        && !host.contains('/')
        && is_host(host)
}

fn routes(walk: &mut Walk<'_>, value: &Value<'_>) -> Vec<Route> {
    let Some(object) = walk.object(value, "routes") else { return Vec::new() };
    let mut routes = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let request_type = property.name.as_str();
        let Some(capabilities) =
            walk.names(&property.value, &format!("routes.{}", clean(request_type)))
        else {
            continue;
        };
        if capabilities.is_empty() {
            walk.error(span(&property.value), "a route needs at least one capability")
                .help("name it, or remove the route");
            continue;
        }
        let place = walk.place(span(&property.name));
        routes.push(Route { request_type: request_type.to_owned(), capabilities, place });
    }
    routes
}

fn handlers(walk: &mut Walk<'_>, value: &Value<'_>) -> Vec<Handler> {
    let Some(object) = walk.object(value, "handlers") else { return Vec::new() };
    let mut handlers = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let request_type = property.name.as_str();
        let what = format!("handlers.{}", clean(request_type));
        if walk.object(&property.value, &what).is_none() {
            continue;
        }
        let before = walk.count();
        let handler = Raw::read(walk, &property.value, &what);
        let place = walk.place(span(&property.name));
        // A part that could not be read would be told of twice.
        if walk.count() == before
            && let Err(mistake) = Handlers::default().with(request_type, handler.value())
        {
            let at = handler.key_place(&mistake.pointer).or(handler.place(&mistake.pointer));
            let at = at.filter(|_| !mistake.pointer.is_empty()).unwrap_or(&place);
            walk.error(at.bytes.clone(), format!("`{what}`: {}", mistake.what)).help(mistake.help);
        }
        handlers.push(Handler { request_type: request_type.to_owned(), handler, place });
    }
    handlers
}
