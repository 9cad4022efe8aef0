//! The tools of a pool, from what its members list.

use std::collections::BTreeMap;
use std::sync::Arc;

use toolweir_core::{Hints, RawJson, ServerId};

use super::equivalent::Way;
use super::schema::{Arguments, shown};
use super::{Equivalent, Pool, PooledTool};
use crate::catalogue::{Item, Kind, Source};

/// The ways of one pooled tool.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub(crate) pool: Arc<str>,
    pub(crate) sticky: bool,
    pub(crate) hides_members: bool,
    pub(crate) ways: Vec<Way>,
}

impl Pooled {
    pub(crate) fn way(&self, server: ServerId) -> Option<&Way> {
        self.ways.iter().find(|way| way.server == server)
    }
}

/// A pooled tool for the catalogue.
#[derive(Debug)]
pub(crate) struct Joined {
    /// `POOL__tool`.
    pub(crate) name: Arc<str>,
    /// What clients are told of it; nothing as long as nothing is known.
    pub(crate) definition: Option<RawJson>,
    /// What is believed of it at all members that list it.
    pub(crate) hints: Hints,
    pub(crate) pooled: Pooled,
}

/// A member, if it is there.
type Member<'a, 's> = &'a Source<'s>;

/// The tools of `pool`, and what is wrong with them.
pub(crate) fn join(pool: &Pool, sources: &[Source<'_>], problems: &mut Vec<String>) -> Vec<Joined> {
    let of = |name: &Arc<str>| sources.iter().find(|source| source.server_name == &**name);
    let members: Vec<Member<'_, '_>> = pool.servers.iter().filter_map(of).collect();
    let mut joined = Vec::new();
    for tool in &pool.tools {
        joined.extend(declared(pool, tool, &members, problems));
    }
    let is_declared = |source: Member<'_, '_>, item: &Item| {
        let is_it = |(server, how): &(Arc<str>, Equivalent)| {
            **server == *source.server_name && how.tool == item.name
        };
        pool.tools.iter().any(|tool| tool.name == item.name || tool.members.iter().any(is_it))
    };
    automatic(pool, &members, &is_declared, problems, &mut joined);
    joined
}

/// A tool of which the pool says what it is at each member.
fn declared(
    pool: &Pool,
    tool: &PooledTool,
    members: &[Member<'_, '_>],
    problems: &mut Vec<String>,
) -> Option<Joined> {
    let name: Arc<str> = format!("{}__{}", pool.name, tool.name).into();
    let mut misfit = |how: &Equivalent, server: &str, what: &str| {
        let place = how.place.0.as_ref().map_or_else(String::new, |place| format!("{place}: "));
        problems.push(format!("{place}`{name}` leaves `{server}` out: {what}"));
    };
    let mut listed: Vec<(Member<'_, '_>, &Equivalent, &Item)> = Vec::new();
    let mut awaited: Vec<(Member<'_, '_>, &Equivalent)> = Vec::new();
    for (server, how) in &tool.members {
        let Some(member) = members.iter().find(|member| *member.server_name == **server) else {
            continue;
        };
        let item = member.listing.of(Kind::Tool).iter().find(|item| item.name == how.tool);
        match item {
            Some(item) => listed.push((member, how, item)),
            None => {
                if member.is_listed {
                    misfit(how, server, &format!("it has no tool `{}`", how.tool));
                }
                if member.may_have_more {
                    awaited.push((member, how));
                }
            }
        }
    }
    let told = tool.definition.as_ref();
    let has_schema = told.is_some_and(|told| told.member("inputSchema").is_some());
    // What callers give: as the definition says, else as the first member does that fits itself.
    let mut definition = told.filter(|_| has_schema).cloned();
    let mut sure = has_schema;
    let mut fitting: Vec<(Member<'_, '_>, &Equivalent, &Item)> = Vec::new();
    for (member, how, item) in listed {
        let seen = definition.clone().or_else(|| shown(&item.json, how));
        let callers = Arguments::of(seen.as_ref().unwrap_or(&RawJson::NULL));
        let is_first =
            tool.members.first().is_some_and(|(server, _)| *member.server_name == **server);
        let sure_here = sure || (definition.is_none() && is_first);
        match Arguments::of(&item.json).misfit(&callers, sure_here, how) {
            None => {
                sure = sure_here;
                definition = definition.or(seen);
                fitting.push((member, how, item));
            }
            Some(what) => misfit(how, member.server_name, &what),
        }
    }
    if fitting.is_empty() && awaited.is_empty() {
        return None;
    }
    let first = fitting.first().and_then(|(_, how, item)| shown(&item.json, how));
    let definition = match (first, told) {
        (Some(first), Some(told)) => overlaid(&first, told),
        (Some(first), None) => Some(first),
        (None, told) => told.filter(|_| has_schema).cloned(),
    };
    let items: Vec<&Item> = fitting.iter().map(|(_, _, item)| *item).collect();
    let definition = definition.map(|definition| guarded(definition, told, &items));
    let hints = common(fitting.iter().map(|(member, _, item)| (member.hints)(item)));
    let mut ways: Vec<Way> = Vec::new();
    for (member, how, _) in fitting {
        ways.push(Way { server: member.server, how: Arc::new(how.clone()), hints });
    }
    let has_listed = !ways.is_empty();
    for (member, how) in awaited {
        let item = Item { name: how.tool.clone(), json: RawJson::NULL, claimed: Hints::default() };
        let own = (member.hints)(&item);
        let hints = if has_listed { common([hints, own].into_iter()) } else { own };
        ways.push(Way { server: member.server, how: Arc::new(how.clone()), hints });
    }
    let hints = if has_listed { hints } else { common(ways.iter().map(|way| way.hints)) };
    Some(Joined { name, definition, hints, pooled: pooled(pool, ways) })
}

/// The tools that several members have under one name and with the same arguments. A member that is not listed yet is
/// taken to have what the others have, so that it is not missed.
fn automatic(
    pool: &Pool,
    members: &[Member<'_, '_>],
    is_declared: &dyn Fn(Member<'_, '_>, &Item) -> bool,
    problems: &mut Vec<String>,
    joined: &mut Vec<Joined>,
) {
    let awaited = members.iter().filter(|member| !member.is_listed).count();
    let mut by_name: BTreeMap<&str, Vec<(Member<'_, '_>, &Item)>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for member in members {
        for item in member.listing.of(Kind::Tool).iter().filter(|item| !is_declared(member, item)) {
            let all = by_name.entry(&item.name).or_default();
            if all.is_empty() {
                order.push(&item.name);
            }
            if !all.iter().any(|(known, _)| known.server == member.server) {
                all.push((member, item)); // a second of one name is told of where the lists are merged
            }
        }
    }
    for name in order {
        let all = &by_name[name];
        let equal = |to: &Item| -> Vec<(Member<'_, '_>, &Item)> {
            all.iter().filter(|(_, item)| same(&item.json, &to.json)).copied().collect()
        };
        let mut groups = all.iter().map(|(_, item)| equal(item));
        let Some(group) = groups.find(|group| group.len() + awaited > 1) else {
            if all.len() > 1 {
                let servers: Vec<&str> = all.iter().map(|(member, _)| member.server_name).collect();
                problems.push(format!(
                    "{}: `{name}` takes other arguments at each of {}: to pool it, say under `tools` what it is at each",
                    pool.name,
                    servers.join(", "),
                ));
            }
            continue;
        };
        let is_in = |server| group.iter().any(|(member, _)| member.server == server);
        for (member, _) in all.iter().filter(|(member, _)| !is_in(member.server)) {
            problems.push(format!(
                "{}: `{name}` of {} takes other arguments than that of {}, and is left out: to pool it, say under `tools` what it is there",
                pool.name, member.server_name, group[0].0.server_name,
            ));
        }
        let items: Vec<&Item> = group.iter().map(|(_, item)| *item).collect();
        let hints = common(group.iter().map(|(member, item)| (member.hints)(item)));
        let how = Arc::new(Equivalent::new(name));
        let way = |(member, _): &(Member<'_, '_>, &Item)| Way {
            server: member.server,
            how: how.clone(),
            hints,
        };
        joined.push(Joined {
            name: format!("{}__{name}", pool.name).into(),
            definition: Some(guarded(items[0].json.clone(), None, &items)),
            hints,
            pooled: pooled(pool, group.iter().map(way).collect()),
        });
    }
}

fn pooled(pool: &Pool, ways: Vec<Way>) -> Pooled {
    Pooled { pool: pool.name.clone(), sticky: pool.sticky, hides_members: pool.hides_members, ways }
}

/// Whether two tools take the same arguments.
pub(crate) fn same(one: &RawJson, other: &RawJson) -> bool {
    let schema = |tool: &RawJson| tool.member("inputSchema").map(|schema| schema.to_json());
    match (schema(one), schema(other)) {
        (Some(one), Some(other)) => {
            let read = |schema: &RawJson| schema.get::<serde_json::Value>().ok();
            one == other || read(&one).is_some_and(|one| Some(one) == read(&other))
        }
        (None, None) => true,
        _ => false,
    }
}

fn overlaid(definition: &RawJson, told: &RawJson) -> Option<RawJson> {
    let mut edit = definition.edit();
    for member in told.members() {
        edit = edit.set(member.key.into_owned(), &member.value.to_json());
    }
    edit.finish().ok()
}

/// The definition without what does not hold at all members: it claims of the tool's effects what all claim, and has a
/// schema of results only where all have this one.
fn guarded(definition: RawJson, told: Option<&RawJson>, items: &[&Item]) -> RawJson {
    let is_told = |key| told.is_some_and(|told| told.member(key).is_some());
    let mut item = Item { name: "".into(), json: definition, claimed: Hints::default() };
    if !is_told("annotations") {
        let all = |claim: fn(&Hints) -> Option<bool>, worst: bool| {
            let claims: Vec<_> = items.iter().map(|item| claim(&item.claimed)).collect();
            let differ = claims.windows(2).any(|pair| pair[0] != pair[1]);
            differ.then_some(worst)
        };
        let mut worst = Hints::default();
        worst.read_only = all(|hints| hints.read_only, false);
        worst.idempotent = all(|hints| hints.idempotent, false);
        worst.destructive = all(|hints| hints.destructive, true);
        worst.open_world = all(|hints| hints.open_world, true);
        item.annotate(worst);
    }
    let results: Vec<_> = items
        .iter()
        .map(|item| item.json.member("outputSchema").map(|schema| schema.to_json()))
        .collect();
    if !is_told("outputSchema")
        && results.windows(2).any(|pair| pair[0] != pair[1])
        && let Ok(json) = item.json.edit().remove("outputSchema").finish()
    {
        item.json = json;
    }
    item.json
}

/// What holds for all.
fn common(mut all: impl Iterator<Item = Hints>) -> Hints {
    let first = all.next().unwrap_or_default();
    all.fold(first, crate::catalogue::both)
}
