//! From what a client asks for to the servers that can answer, under their own names.

use std::sync::Arc;

use toolweir_core::{
    Call, Clock, Error, Hints, Kind as ErrorKind, Method, RawJson, Reply, ServerId, TokioClock,
};

use super::Orchestrator;
use super::untried::LIST_PATIENCE;
use super::view::View;
use crate::catalogue::Kind;
use crate::endpoint::{Endpoint, Status};
use crate::pools::{Pool, Pooled};
use crate::tasks::may_begin;

/// A call as its server knows it, and the servers that can answer it.
pub(super) struct Aim {
    pub(super) call: Call,
    pub(super) servers: Vec<Arc<Endpoint>>,
    /// The ways to a pool's members, where that is what was called.
    pub(super) pooled: Option<Arc<Pooled>>,
}

impl Aim {
    /// A call that is the same at all its servers.
    pub(super) fn new(call: Call, servers: Vec<Arc<Endpoint>>) -> Self {
        Self { call, servers, pooled: None }
    }

    /// The call as `endpoint` knows it.
    pub(super) fn call_for(&self, endpoint: &Endpoint) -> Result<Call, Error> {
        let way = self.pooled.as_ref().and_then(|pooled| pooled.way(endpoint.id));
        match way {
            Some(way) => way.call(&self.call).map_err(|error| error.server(endpoint.name.clone())),
            None => Ok(self.call.clone()),
        }
    }

    /// In words, how arguments become those of a pool's member, where they do not just pass.
    pub(super) fn mapping(&self, server: ServerId) -> Option<String> {
        let how = &self.pooled.as_ref()?.way(server)?.how;
        (!how.is_plain()).then(|| how.to_string())
    }

    pub(super) fn ids(&self) -> Vec<ServerId> {
        self.servers.iter().map(|endpoint| endpoint.id).collect()
    }
}

pub(super) enum Aimed {
    At(Aim),
    /// Answered without a server.
    Done(Reply),
}

impl Orchestrator {
    pub(super) async fn aim(&self, call: &Call) -> Result<Aimed, Error> {
        if let Some(kind) = Kind::listed_by(&call.method) {
            return self.list(call, kind).await.map(Aimed::Done);
        }
        match call.method.as_str() {
            "tools/call" => self.named(call, Kind::Tool).await,
            "prompts/get" => self.named(call, Kind::Prompt).await,
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                self.resource(call).await
            }
            "tasks/get"
            | "tasks/result"
            | "tasks/cancel"
            | "tasks/update"
            | "toolweir/tasks/watch"
            | "toolweir/tasks/unwatch" => self.task(call),
            "tasks/list" => self.task_list(call).await.map(Aimed::Done),
            "completion/complete" => self.completion(call).await,
            "logging/setLevel" => self.set_level(call).map(Aimed::Done),
            "ping" => Ok(Aimed::Done(Reply::new(RawJson::EMPTY_OBJECT))),
            _ => self.unknown(call).await,
        }
    }

    /// A page of a merged list.
    async fn list(&self, call: &Call, kind: Kind) -> Result<Reply, Error> {
        self.settled(LIST_PATIENCE, || false).await;
        let cursor = call.params.as_ref().and_then(|params| params.member("cursor"));
        let holds = self.view().catalogue.holds(kind);
        let held = |page: RawJson| {
            let mut reply = Reply::new(page);
            reply.ttl = Some(holds.ttl(TokioClock.now()));
            reply.scope = holds.scope();
            reply
        };
        if let Some(cursor) = cursor.filter(|cursor| cursor.as_bytes() != b"null") {
            let view = self.view();
            let page = cursor.string().and_then(|cursor| view.catalogue.page(kind, &cursor));
            return page.cloned().map(held).ok_or_else(|| {
                Error::new(ErrorKind::InvalidRequest).message(
                    "unknown cursor: it is none of this list, or the list has changed since; list again from the beginning",
                )
            });
        }
        Ok(held(self.view().catalogue.list(kind).clone()))
    }

    async fn named(&self, call: &Call, kind: Kind) -> Result<Aimed, Error> {
        let target = call.target.clone().ok_or_else(|| missing(kind.key()))?;
        if let Some(aim) = self.known(call, kind, &target) {
            return Ok(Aimed::At(aim));
        }
        // A server that has not been up listed nothing yet, or only before; its prefix tells whom to ask.
        if let Some((servers, name)) = self.by_prefix(kind, &target) {
            let mut call = call.clone().target(name);
            if let ([endpoint], false) = (&servers[..], may_begin(&call)) {
                call.hints = endpoint.rule(name).hints;
            }
            return Ok(Aimed::At(Aim::new(call, servers)));
        }
        // Servers that are still starting may have it.
        let patience = self.view().connect_timeout;
        self.tried(patience, || self.known(call, kind, &target).is_some()).await;
        if let Some(aim) = self.known(call, kind, &target) {
            return Ok(Aimed::At(aim));
        }
        Err(Error::new(ErrorKind::NotFound).message(format!("unknown {}: `{target}`", label(kind))))
    }

    fn known(&self, call: &Call, kind: Kind, target: &str) -> Option<Aim> {
        let view = self.view();
        let found = view.catalogue.find(kind, target)?;
        // What may become a task is nobody else's: it is not shared, hedged or sent again.
        let hints = if may_begin(call) { Hints::default() } else { found.hints };
        let mut call = call.clone().target(found.name.clone());
        call.hints = hints;
        let pooled = found.pooled.clone();
        Some(Aim { call, servers: view.endpoints(&found.servers), pooled })
    }

    /// The server, not listed yet or not since it was started, whose prefix `target` has, or the members of the pool
    /// whose name it has, likewise; the longest where several fit.
    fn by_prefix<'a>(&self, kind: Kind, target: &'a str) -> Option<(Vec<Arc<Endpoint>>, &'a str)> {
        let view = self.view();
        let rest = |prefix: &str| {
            let rest = target.strip_prefix(prefix)?.strip_prefix("__")?;
            (!prefix.is_empty() && !rest.is_empty()).then_some(rest)
        };
        let pools: &[Pool] = if kind == Kind::Tool { &view.pools } else { &[] };
        let is_hidden = |endpoint: &Endpoint| {
            pools.iter().any(|pool| pool.hides_members && pool.servers.contains(&endpoint.name))
        };
        let servers = view.endpoints.iter().filter(|it| it.may_have_more() && !is_hidden(it));
        let by_server = servers.filter_map(|endpoint| {
            let prefix = endpoint.settings.prefix.as_str();
            Some((prefix.len(), vec![endpoint.clone()], rest(prefix)?))
        });
        let by_pool = pools.iter().filter_map(|pool| {
            let rest = rest(&pool.name)?;
            let is_declared = pool.tools.iter().any(|tool| *tool.name == *rest);
            let members = pool.servers.iter().filter_map(|name| {
                view.endpoints.iter().find(|it| it.name == *name && it.may_have_more()).cloned()
            });
            let members: Vec<_> = members.collect();
            // What is declared is known without any list.
            (!is_declared && !members.is_empty()).then_some((pool.name.len(), members, rest))
        });
        let longest = by_server.chain(by_pool).max_by_key(|(length, _, _)| *length);
        longest.map(|(_, servers, rest)| (servers, rest))
    }

    /// A resource by its URI: the server that lists it, or whose template fits; else all that have resources, because
    /// a tool's result may name one that is listed nowhere.
    async fn resource(&self, call: &Call) -> Result<Aimed, Error> {
        let target = call.target.clone().ok_or_else(|| missing("uri"))?;
        self.settled(LIST_PATIENCE, || false).await;
        let servers = self.resource_servers(&target).ok_or_else(|| {
            Error::new(ErrorKind::NotFound).message(format!("unknown resource: `{target}`"))
        })?;
        let mut call = call.clone();
        if call.method == Method::RESOURCES_READ {
            call.hints = Hints::read();
        }
        Ok(Aimed::At(Aim::new(call, servers)))
    }

    /// The servers that may have the resource: those that are known to, else all that have any.
    pub(super) fn resource_servers(&self, uri: &str) -> Option<Vec<Arc<Endpoint>>> {
        let servers = self.known_resource(uri);
        let servers = if servers.is_empty() { self.with_resources() } else { servers };
        (!servers.is_empty()).then_some(servers)
    }

    /// The servers that are known to have the resource: those that list it, else the one that told of it in a result,
    /// else those with a template that fits.
    pub(super) fn known_resource(&self, uri: &str) -> Vec<Arc<Endpoint>> {
        let view = self.view();
        if let Some(found) = view.catalogue.find(Kind::Resource, uri) {
            return view.endpoints(&found.servers);
        }
        match self.0.links.find(uri).and_then(|id| view.endpoint(id)) {
            Some(origin) => vec![origin.clone()],
            None => view.endpoints(&view.catalogue.find_templates(uri)),
        }
    }

    fn with_resources(&self) -> Vec<Arc<Endpoint>> {
        let offers = |endpoint: &&Arc<Endpoint>| match endpoint.status() {
            Status::Up(info) => info.capabilities.member("resources").is_some(),
            Status::Resting => {
                let info = endpoint.vitals.info();
                info.is_some_and(|info| info.capabilities.member("resources").is_some())
            }
            _ => false,
        };
        self.view().endpoints.iter().filter(offers).cloned().collect()
    }

    async fn completion(&self, call: &Call) -> Result<Aimed, Error> {
        let target = call.target.clone().ok_or_else(|| missing("ref"))?;
        self.settled(LIST_PATIENCE, || false).await;
        let view = self.view();
        let found = [Kind::Prompt, Kind::Template, Kind::Resource]
            .into_iter()
            .find_map(|kind| view.catalogue.find(kind, &target))
            .ok_or_else(|| {
                Error::new(ErrorKind::NotFound).message(format!("unknown reference: `{target}`"))
            })?;
        let mut call = call.clone().target(found.name.clone());
        call.hints = Hints::read();
        Ok(Aimed::At(Aim::new(call, view.endpoints(&found.servers))))
    }
}

/// A routed request as a call of a tool that `endpoint` has, or of one that a pool says is an equivalent of it.
pub(super) fn handled(
    view: &View,
    endpoint: &Endpoint,
    request_type: &str,
    arguments: &serde_json::Map<String, serde_json::Value>,
) -> Result<Call, Error> {
    if let (false, Status::Down(error)) = (endpoint.is_listed(), endpoint.status()) {
        return Err(error.unsent()); // what tools it has nobody knows
    }
    let listing = endpoint.listing.load();
    let equivalent = |name: &str| view.catalogue.equivalent(endpoint.id, name);
    let has_tool = |name: &str| listing.has(Kind::Tool, name) || equivalent(name).is_some();
    let resolved = view.handlers.resolve(request_type, arguments, &has_tool).map_err(|error| {
        Error::new(ErrorKind::NotFound).message(error.to_string()).server(endpoint.name.clone())
    })?;
    let call = Call::tool(&resolved.tool, &resolved.arguments)
        .map_err(|error| Error::new(ErrorKind::Internal).caused_by(error).unsent())?;
    let own = listing.of(Kind::Tool).iter().find(|item| *item.name == *resolved.tool);
    match (own, equivalent(&resolved.tool)) {
        (Some(item), _) => Ok(call.hints(endpoint.hints(item))),
        (None, Some(way)) => Ok(way.how.call(&call)?.hints(way.hints)),
        (None, None) => Ok(call),
    }
}

fn missing(member: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest).message(format!("`{member}` is missing"))
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tool",
        Kind::Prompt => "prompt",
        Kind::Resource | Kind::Template => "resource",
    }
}
