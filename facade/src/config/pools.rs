//! `pools`: servers that stand in for each other.

use jsonc_parser::ast::{ObjectProp, Value};
use toolweir_core::RawJson;

use super::diagnostics::Severity;
use super::raw::Raw;
use super::servers::{Server, is_prefix};
use super::suggest::nearest;
use super::walk::{Fields, Walk, clean, span};
use crate::pools::{Equivalent, Pool, PooledTool};

/// Reads `pools`; members are looked for among `servers`.
pub(super) fn read(walk: &mut Walk<'_>, value: &Value<'_>, servers: &[Server]) -> Vec<Pool> {
    let Some(object) = walk.object(value, "pools") else { return Vec::new() };
    let read = |property| pool(walk, property, servers);
    object.properties.iter().filter_map(read).collect()
}

fn pool(walk: &mut Walk<'_>, property: &ObjectProp<'_>, servers: &[Server]) -> Option<Pool> {
    let (name, at) = (property.name.as_str(), span(&property.name));
    let what = format!("pools.{}", clean(name));
    let object = walk.object(&property.value, &what)?;
    if !is_prefix(name) {
        walk.error(at.clone(), format!("`{}` cannot stand before the names of tools", clean(name)))
            .help("use letters, digits, `_`, `.` and `-` only");
    }
    let same = servers.iter().find(|server| server.prefix == name && !server.disabled);
    if let Some(server) = same {
        let (server, place) = (clean(&server.name), server.place.clone());
        walk.error(
            at.clone(),
            format!("the pool `{}` has the prefix of the server `{server}`", clean(name)),
        )
        .and_at(place, "this server")
        .help("give the pool another name: both would offer tools under one");
    }
    let mut fields = Fields::new(object);
    let mut pool = Pool::new(name, members(walk, fields.get("servers"), servers));
    if fields.get("servers").is_none() {
        walk.error(at, format!("the pool `{}` has no `servers`", clean(name)))
            .help(r#"add `"servers": ["one", "two"]`"#);
    }
    pool.sticky =
        fields.get("sticky").and_then(|value| walk.boolean(value, "sticky")).unwrap_or_default();
    pool.hides_members = fields
        .get("hideMembers")
        .and_then(|value| walk.boolean(value, "hideMembers"))
        .unwrap_or_default();
    if let Some(tools) = fields.get("tools").and_then(|value| walk.object(value, "tools")) {
        for property in &tools.properties {
            pool.tools.extend(tool(walk, property, &pool));
        }
    }
    fields.finish(walk, Severity::Error, &format!("`{what}`"));
    Some(pool)
}

/// The names of a pool's servers, each of which is one.
fn members(walk: &mut Walk<'_>, value: Option<&Value<'_>>, servers: &[Server]) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let Some(list) = walk.list(value, "servers") else { return Vec::new() };
    if list.is_empty() {
        walk.error(span(value), "a pool needs servers").help("name two at least");
    }
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for element in list {
        let Some(text) = walk.filled(element, "servers[]") else { continue };
        let name = text.value();
        let Some(server) = servers.iter().find(|server| server.name == name) else {
            unknown(walk, element, name, servers.iter().map(|server| server.name.as_str()));
            continue;
        };
        if names.iter().any(|known| known == name) {
            walk.error(span(element), format!("`{}` is a member twice", clean(name)))
                .help("name it once");
        } else if server.disabled {
            walk.warn(
                span(element),
                format!("`{}` is disabled, and no member meanwhile", clean(name)),
            )
            .help("nothing need be done: it is one again when it is not disabled any more");
        }
        names.push(name.to_owned());
    }
    if let [only] = &names[..]
        && list.len() == 1
    {
        walk.warn(span(value), format!("nobody stands in for `{}`", clean(only)))
            .help("name another server, too");
    }
    names
}

pub(super) fn unknown<'k>(
    walk: &mut Walk<'_>,
    at: &Value<'_>,
    name: &str,
    known: impl Iterator<Item = &'k str>,
) {
    let known: Vec<&str> = known.collect();
    let help = match nearest(name, &known) {
        Some(known) => format!("did you mean `{}`?", clean(known)),
        None => "name a server of `mcpServers`".to_owned(),
    };
    walk.error(span(at), format!("there is no server `{}`", clean(name))).help(help);
}

fn tool(walk: &mut Walk<'_>, property: &ObjectProp<'_>, pool: &Pool) -> Option<PooledTool> {
    let (name, at) = (property.name.as_str(), span(&property.name));
    let what = format!("tools.{}", clean(name));
    let object = walk.object(&property.value, &what)?;
    if !is_prefix(name) {
        walk.error(at.clone(), format!("`{}` cannot be the name of a tool", clean(name)))
            .help("use letters, digits, `_`, `.` and `-` only");
    }
    let mut fields = Fields::new(object);
    let mut tool = PooledTool::new(name);
    tool.definition = fields.get("definition").and_then(|value| definition(walk, value));
    match fields.get("members") {
        None => {
            walk.error(at, format!("`{what}` does not say what it is at the pool's servers"))
                .help(r#"add `"members": { "server": "its tool" }`"#);
        }
        Some(value) => {
            let members = walk.object(value, "members").map(|object| &object.properties);
            for member in members.into_iter().flatten() {
                let server = member.name.as_str();
                if !pool.servers.iter().any(|known| **known == *server) {
                    walk.error(
                        span(&member.name),
                        format!(
                            "`{}` is no server of the pool `{}`",
                            clean(server),
                            clean(&pool.name)
                        ),
                    )
                    .help("add it to the pool's `servers`, or remove it here");
                }
                let equivalent = equivalent(walk, member);
                tool.members.extend(equivalent.map(|how| (server.into(), how)));
            }
        }
    }
    fields.finish(walk, Severity::Error, &format!("`{what}`"));
    Some(tool)
}

/// What clients are told: an object, whose `name` is not its own.
fn definition(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<RawJson> {
    let object = walk.object(value, "definition")?;
    let name = object.properties.iter().find(|property| property.name.as_str() == "name");
    if let Some(name) = name {
        walk.error(span(&name.name), "a `definition` has no `name` of its own")
            .help("remove it: the name is made of the pool's and the tool's");
    }
    let schema = object.properties.iter().find(|it| it.name.as_str() == "inputSchema");
    if let Some(schema) = schema {
        walk.object(&schema.value, "inputSchema")?;
    }
    Some(RawJson::from(Raw::read(walk, value, "definition").value().clone()))
}

/// A member's tool: its name, or an object that says how arguments become its own.
fn equivalent(walk: &mut Walk<'_>, property: &ObjectProp<'_>) -> Option<Equivalent> {
    let (value, at) = (&property.value, span(&property.name));
    let place = walk.place(at.clone());
    let written = format!("{}:{place}", walk.file());
    if value.as_string_lit().is_some() {
        let tool = walk.filled(value, property.name.as_str())?;
        return Some(Equivalent::new(tool.value()).written(written));
    }
    let Some(object) = value.as_object() else {
        walk.error(span(value), "this must be a tool's name, or an object with its `tool`")
            .help(r#"write `"search"`, or `{ "tool": "search", "rename": { .. } }`"#);
        return None;
    };
    let mut fields = Fields::new(object);
    let tool = fields.get("tool").and_then(|value| walk.filled(value, "tool"));
    if fields.get("tool").is_none() {
        walk.error(at.clone(), "no `tool` is named").help("add the tool's name at this server");
    }
    let mut how = Equivalent::new(tool.as_ref().map_or("", |tool| tool.value())).written(written);
    if let Some(renames) = fields.get("rename").and_then(|value| walk.object(value, "rename")) {
        for rename in &renames.properties {
            let Some(own) = walk.filled(&rename.value, "rename") else { continue };
            how = how.rename(rename.name.as_str(), own.value());
        }
    }
    let dropped = fields.get("drop").and_then(|value| walk.names(value, "drop"));
    for name in dropped.unwrap_or_default() {
        how = how.without(name);
    }
    for (name, value) in values(walk, &mut fields, "set") {
        how = how.set(name, &value);
    }
    for (name, value) in values(walk, &mut fields, "defaults") {
        how = how.with_default(name, &value);
    }
    fields.finish(walk, Severity::Error, &format!("`{}`", clean(property.name.as_str())));
    if let Some(mistake) = how.mistake() {
        walk.error(at, mistake).help("decide for one of the two");
    }
    tool.map(|_| how)
}

fn values(
    walk: &mut Walk<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
) -> Vec<(String, serde_json::Value)> {
    let Some(value) = fields.get(key) else { return Vec::new() };
    let Some(object) = walk.object(value, key) else { return Vec::new() };
    let read = |property: &ObjectProp<'_>| {
        let raw = Raw::read(walk, &property.value, key);
        (property.name.as_str().to_owned(), raw.value().clone())
    };
    object.properties.iter().map(read).collect()
}
