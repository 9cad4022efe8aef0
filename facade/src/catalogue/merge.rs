//! The lists of all servers as one, and back from a client's name to the server's own.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use toolweir_core::{Hints, InvalidJson, RawJson, ServerId};

use super::holds::Holds;
use super::item::{Item, Kind};
use super::listing::Listing;
use crate::pools::{Joined, Pool, Pooled, Way, join, same};

/// The longest name that all clients take; longer ones are served all the same.
const NAME_MAX: usize = 64;

/// How many entries a page of a list has at most, and how many bytes, but for an entry that is larger.
const PAGE_ITEMS: usize = 1_000;
const PAGE_SIZE: usize = 2 << 20;

/// How many problems are told of.
const PROBLEMS_MAX: usize = 100;

/// One server's contribution.
pub(crate) struct Source<'a> {
    pub(crate) server: ServerId,
    pub(crate) server_name: &'a str,
    /// Stands before tools' and prompts' names, with `__`; nothing where it is empty.
    pub(crate) prefix: &'a str,
    pub(crate) listing: &'a Listing,
    /// Whether its lists are known, from now or from before.
    pub(crate) is_listed: bool,
    /// Whether it may have what its lists lack.
    pub(crate) may_have_more: bool,
    /// What is to be believed of a tool.
    pub(crate) hints: &'a dyn Fn(&Item) -> Hints,
}

/// Where something is found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The servers that have it, in the order of the configuration: more than one where they are equivalent.
    pub(crate) servers: Vec<ServerId>,
    /// The server's own name for it.
    pub(crate) name: Arc<str>,
    /// What is believed of it at all of them.
    pub(crate) hints: Hints,
    /// As the first of them lists it, by which equivalent ones are known.
    json: RawJson,
    /// The ways to a pool's members, where the name is a pool's.
    pub(crate) pooled: Option<Arc<Pooled>>,
}

/// Everything that is offered, in the order of the configuration; immutable, replaced as a whole.
#[derive(Debug)]
pub(crate) struct Catalogue {
    names: [HashMap<Arc<str>, Found>; 4],
    /// The pages of the four lists, encoded already; each list has one at least.
    lists: [Vec<RawJson>; 4],
    /// How long each of them holds: no longer than any server's part.
    holds: [Holds; 4],
    /// The names of the pools' tools, in their order.
    pooled: Vec<Arc<str>>,
    /// Whose lists are in it.
    listed: Vec<ServerId>,
    /// What is withheld or unusual, for people.
    problems: Vec<String>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::merge(&[], &[])
    }
}

impl Catalogue {
    /// Puts the lists together, the pools' tools behind the servers' own. Of two things with one name the first stays.
    pub(crate) fn merge(sources: &[Source<'_>], pools: &[Pool]) -> Self {
        let mut problems = Vec::new();
        let mut names: [HashMap<Arc<str>, Found>; 4] = Default::default();
        let pooled: Vec<Joined> =
            pools.iter().flat_map(|pool| join(pool, sources, &mut problems)).collect();
        let hidden = hidden(&pooled);
        let lists = Kind::ALL.map(|kind| {
            let mut list = Vec::new();
            let names = &mut names[kind.index()];
            for source in sources {
                for item in source.listing.of(kind) {
                    if kind != Kind::Tool || !hidden.contains(&(source.server, &item.name)) {
                        add(kind, source, item, names, &mut list, &mut problems);
                    }
                }
            }
            if kind == Kind::Tool {
                for joined in &pooled {
                    add_pooled(joined, names, &mut list, &mut problems);
                }
            }
            pages(kind, &list)
        });
        if problems.len() > PROBLEMS_MAX {
            let more = problems.len() - PROBLEMS_MAX;
            problems.truncate(PROBLEMS_MAX);
            problems.push(format!("and {more} more"));
        }
        let holds = Kind::ALL.map(|kind| {
            let all = sources.iter().filter_map(|source| source.listing.holds(kind));
            all.reduce(Holds::and).unwrap_or_default()
        });
        let listed = sources.iter().filter(|source| source.is_listed);
        let listed = listed.map(|source| source.server).collect();
        let tools = &names[Kind::Tool.index()];
        let is_pooled = |name: &Arc<str>| tools.get(name).is_some_and(|it| it.pooled.is_some());
        let pooled = pooled.iter().map(|joined| joined.name.clone()).filter(is_pooled).collect();
        Self { names, lists, holds, pooled, listed, problems }
    }

    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<&Found> {
        self.names[kind.index()].get(name)
    }

    /// The servers with a template that `uri` could come from, those with the longest literal beginning first.
    pub(crate) fn find_templates(&self, uri: &str) -> Vec<ServerId> {
        let literal = |template: &str| template.split('{').next().map_or(0, str::len);
        let templates = self.names[Kind::Template.index()].iter();
        let mut fitting: Vec<(&Arc<str>, &Found)> = templates
            .filter(|(template, _)| uri.starts_with(&template[..literal(template)]))
            .collect();
        fitting.sort_by_key(|(template, _)| {
            (std::cmp::Reverse(literal(template)), (*template).clone())
        });
        let mut servers = Vec::new();
        for server in fitting.iter().flat_map(|(_, found)| &found.servers) {
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        servers
    }

    /// The result of a list's method: its first page.
    pub(crate) fn list(&self, kind: Kind) -> &RawJson {
        &self.pages(kind)[0]
    }

    /// The page that a cursor stands for; `None` where the list is not the one that it was given with.
    pub(crate) fn page(&self, kind: Kind, cursor: &str) -> Option<&RawJson> {
        let (_, number) = cursor.split_once('-')?;
        let number: usize = number.parse().ok()?;
        let before = self.pages(kind).get(number.checked_sub(1)?)?;
        let given = before.member("nextCursor")?;
        (given.string()? == cursor).then(|| self.pages(kind).get(number)).flatten()
    }

    /// How long a list holds.
    pub(crate) fn holds(&self, kind: Kind) -> Holds {
        self.holds[kind.index()]
    }

    pub(crate) fn pages(&self, kind: Kind) -> &[RawJson] {
        &self.lists[kind.index()]
    }

    /// The pools' tools by their names, in order.
    pub(crate) fn pooled(&self) -> impl Iterator<Item = (&Arc<str>, &Pooled)> {
        self.pooled.iter().filter_map(|name| {
            let found = self.find(Kind::Tool, name)?;
            Some((name, found.pooled.as_deref()?))
        })
    }

    /// The way to `server` of a pool's tool of this name, or of one that another member has under it and with the
    /// arguments that callers give.
    pub(crate) fn equivalent(&self, server: ServerId, name: &str) -> Option<&Way> {
        let is_it = |way: &Way| *way.how.tool == *name && way.how.is_plain();
        self.pooled().find_map(|(shown, pooled)| {
            let is_meant = **shown == *name || pooled.ways.iter().any(is_it);
            pooled.way(server).filter(|_| is_meant)
        })
    }

    /// Whether the lists of a server are in it.
    pub(crate) fn has_lists_of(&self, server: ServerId) -> bool {
        self.listed.contains(&server)
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All names of a kind, with their servers.
    pub(crate) fn names(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, &Found)> {
        self.names[kind.index()].iter()
    }
}

/// Cuts a list into pages. A cursor is the mark of the whole list and a page's number: it holds while the list stays as
/// it is, whatever else changes.
fn pages(kind: Kind, items: &[RawJson]) -> Vec<RawJson> {
    let mut cuts = vec![0];
    let mut size = 0;
    for (place, item) in items.iter().enumerate() {
        let begun = cuts.last().copied().unwrap_or_default();
        let is_full = place - begun >= PAGE_ITEMS || size + item.len() > PAGE_SIZE;
        if place > begun && is_full {
            cuts.push(place);
            size = 0;
        }
        size += item.len();
    }
    let mark = (cuts.len() > 1).then(|| {
        let mut hasher = DefaultHasher::new();
        items.hash(&mut hasher);
        hasher.finish()
    });
    let ends = cuts.iter().copied().skip(1).chain([items.len()]);
    let pages = cuts.iter().zip(ends).zip(1_usize..).map(|((begin, end), number)| {
        let mut page = Vec::from(format!(r#"{{"{}":["#, kind.member()));
        for (place, item) in items[*begin..end].iter().enumerate() {
            if place > 0 {
                page.push(b',');
            }
            page.extend_from_slice(item.as_bytes());
        }
        page.push(b']');
        if let Some(mark) = mark.filter(|_| end < items.len()) {
            page.extend_from_slice(format!(r#","nextCursor":"{mark:016x}-{number}""#).as_bytes());
        }
        page.push(b'}');
        RawJson::new(page).unwrap_or(RawJson::NULL) // put together from valid parts
    });
    pages.collect()
}

fn add(
    kind: Kind,
    source: &Source<'_>,
    item: &Item,
    names: &mut HashMap<Arc<str>, Found>,
    list: &mut Vec<RawJson>,
    problems: &mut Vec<String>,
) {
    let shown =
        if kind.is_prefixed() { shown(source.prefix, &item.name) } else { item.name.clone() };
    let server = source.server_name;
    if item.name.is_empty() {
        problems.push(format!("{server}: lists something without a name, which is withheld"));
        return;
    }
    if kind.is_prefixed() {
        unusual(server, &shown, problems);
    }
    let hints = if kind == Kind::Tool { (source.hints)(item) } else { Hints::read() };
    if let Some(first) = names.get_mut(&shown) {
        if first.servers.contains(&source.server) {
            problems.push(format!("{server}: lists `{shown}` twice; the second is withheld"));
        } else if !kind.is_prefixed()
            || (!source.prefix.is_empty() && same(&first.json, &item.json))
        {
            // The same URI, or the same tool of servers that were given one prefix: any of them can answer.
            first.servers.push(source.server);
            first.hints = both(first.hints, hints);
        } else if source.prefix.is_empty() {
            problems.push(format!("{server}: `{shown}` is another server's already, and withheld; give one of them a `prefix`"));
        } else {
            problems.push(format!("{server}: `{shown}` takes other arguments than that of another server with the same `prefix`, and is withheld"));
        }
        return;
    }
    let json = match named(&item.json, kind, &shown) {
        Ok(json) => json,
        Err(error) => {
            problems.push(format!("{server}: `{shown}` is withheld: {error}"));
            return;
        }
    };
    list.push(json);
    let found = Found {
        servers: vec![source.server],
        name: item.name.clone(),
        hints,
        json: item.json.clone(),
        pooled: None,
    };
    names.insert(shown, found);
}

/// The name under which clients see a server's tool or prompt.
pub(crate) fn shown(prefix: &str, name: &Arc<str>) -> Arc<str> {
    if prefix.is_empty() { name.clone() } else { format!("{prefix}__{name}").into() }
}

/// A pool's tool.
fn add_pooled(
    joined: &Joined,
    names: &mut HashMap<Arc<str>, Found>,
    list: &mut Vec<RawJson>,
    problems: &mut Vec<String>,
) {
    let Joined { name, definition, hints, pooled } = joined;
    let Some(first) = pooled.ways.first() else { return };
    if names.contains_key(name) {
        let text = "is another tool's name already, and withheld; give the pool another name";
        problems.push(format!("{}: `{name}` {text}", pooled.pool));
        return;
    }
    unusual(&pooled.pool, name, problems);
    if let Some(definition) = definition {
        match named(definition, Kind::Tool, name) {
            Ok(json) => list.push(json),
            Err(error) => {
                problems.push(format!("{}: `{name}` is withheld: {error}", pooled.pool));
                return;
            }
        }
    }
    let found = Found {
        servers: pooled.ways.iter().map(|way| way.server).collect(),
        name: first.how.tool.clone(),
        hints: *hints,
        json: definition.clone().unwrap_or(RawJson::NULL),
        pooled: Some(Arc::new(pooled.clone())),
    };
    names.insert(name.clone(), found);
}

/// The members' tools that are offered under their pool's name alone.
fn hidden(pooled: &[Joined]) -> HashSet<(ServerId, &Arc<str>)> {
    let hiding = pooled.iter().filter(|joined| joined.pooled.hides_members);
    let ways = hiding.flat_map(|joined| &joined.pooled.ways);
    ways.map(|way| (way.server, &way.how.tool)).collect()
}

/// Tells of a name that many clients refuse.
fn unusual(whose: &str, shown: &str, problems: &mut Vec<String>) {
    if !shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        problems
            .push(format!("{whose}: the name `{shown}` has characters that many clients refuse"));
    }
    if shown.len() > NAME_MAX {
        problems.push(format!(
            "{whose}: the name `{shown}` is over {NAME_MAX} characters; many clients refuse it"
        ));
    }
}

/// An entry under the name that clients see.
fn named(json: &RawJson, kind: Kind, shown: &str) -> Result<RawJson, InvalidJson> {
    if json.member(kind.key()).and_then(|name| name.string()).as_deref() == Some(shown) {
        return Ok(json.clone());
    }
    json.edit().set(kind.key(), &RawJson::of(shown)?).finish()
}

/// What holds for both of two equivalent tools.
pub(crate) fn both(one: Hints, other: Hints) -> Hints {
    let agreed = |one: Option<bool>, other: Option<bool>| if one == other { one } else { None };
    let mut hints = Hints::default();
    hints.read_only = agreed(one.read_only, other.read_only);
    hints.idempotent = agreed(one.idempotent, other.idempotent);
    hints.destructive = agreed(one.destructive, other.destructive);
    hints.open_world = agreed(one.open_world, other.open_world);
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(names: &[&str]) -> Listing {
        let items: Vec<Item> = names
            .iter()
            .filter_map(|name| {
                let json = RawJson::from(serde_json::json!({ "name": name, "x": 1 }));
                Item::read(Kind::Tool, json)
            })
            .collect();
        Listing::with_tools(items)
    }

    fn merge(sources: &[(&str, &Listing)]) -> Catalogue {
        let sources: Vec<Source<'_>> = sources
            .iter()
            .zip(0..)
            .map(|((prefix, listing), id)| Source {
                server: ServerId::new(id),
                server_name: "s",
                prefix,
                listing,
                is_listed: true,
                may_have_more: false,
                hints: &|_| Hints::default(),
            })
            .collect();
        Catalogue::merge(&sources, &[])
    }

    #[test]
    fn a_name_leads_back_to_its_server() {
        let (a, b) = (tools(&["read", "write"]), tools(&["read"]));
        let catalogue = merge(&[("a", &a), ("b", &b)]);
        assert_eq!(
            catalogue.list(Kind::Tool).as_str(),
            r#"{"tools":[{"name":"a__read","x":1},{"name":"a__write","x":1},{"name":"b__read","x":1}]}"#,
        );
        let found = catalogue.find(Kind::Tool, "b__read").unwrap();
        assert_eq!((&found.servers[..], &*found.name), (&[ServerId::new(1)][..], "read"));
        assert!(catalogue.problems().is_empty());
    }

    #[test]
    fn of_two_with_one_name_the_first_stays_and_it_is_said() {
        let (a, b) = (tools(&["read"]), tools(&["read", "other"]));
        let catalogue = merge(&[("", &a), ("", &b)]);
        assert_eq!(catalogue.find(Kind::Tool, "read").unwrap().servers, [ServerId::new(0)]);
        assert!(catalogue.find(Kind::Tool, "other").is_some());
        assert_eq!(catalogue.problems().len(), 1);
    }

    #[test]
    fn servers_of_one_prefix_are_equivalent_where_their_tools_are() {
        let (a, b) = (tools(&["read"]), tools(&["read", "other"]));
        let catalogue = merge(&[("pool", &a), ("pool", &b)]);
        assert_eq!(catalogue.find(Kind::Tool, "pool__read").unwrap().servers.len(), 2);
        assert_eq!(catalogue.find(Kind::Tool, "pool__other").unwrap().servers, [ServerId::new(1)]);
        assert!(catalogue.problems().is_empty());
        let schema = serde_json::json!({ "name": "read", "inputSchema": { "type": "object" } });
        let other =
            Listing::with_tools(vec![Item::read(Kind::Tool, RawJson::from(schema)).unwrap()]);
        let catalogue = merge(&[("pool", &a), ("pool", &other)]);
        assert_eq!(catalogue.find(Kind::Tool, "pool__read").unwrap().servers, [ServerId::new(0)]);
        assert_eq!(catalogue.problems().len(), 1);
    }

    #[test]
    fn pages_are_bounded_by_count_and_size_and_hold_every_entry_once() {
        let entry = |size: usize| RawJson::from(serde_json::json!({ "name": "x".repeat(size) }));
        let cases = [
            (vec![], vec![0]),
            (vec![1; 1_000], vec![1_000]),
            (vec![1; 2_001], vec![1_000, 1_000, 1]),
            (vec![PAGE_SIZE, 1, 1, PAGE_SIZE, 1], vec![1, 2, 1, 1]),
        ];
        for (sizes, expected) in cases {
            let items: Vec<_> = sizes.iter().map(|size| entry(*size)).collect();
            let pages = pages(Kind::Tool, &items);
            let parts: Vec<_> =
                pages.iter().map(|page| page.member("tools").unwrap().to_json()).collect();
            let counts: Vec<_> = parts.iter().map(|part| part.items().count()).collect();
            assert_eq!(counts, expected);
            let all: Vec<_> =
                parts.iter().flat_map(RawJson::items).map(|it| it.to_json()).collect();
            assert_eq!(all, items);
            let (last, others) = pages.split_last().unwrap();
            assert!(last.member("nextCursor").is_none());
            assert!(others.iter().all(|page| page.member("nextCursor").is_some()));
        }
    }

    #[test]
    fn long_and_odd_names_are_served_and_warned_of() {
        for name in [&*"x".repeat(80), "search the web", "größe"] {
            let listing = tools(&[name]);
            let catalogue = merge(&[("", &listing)]);
            assert!(catalogue.find(Kind::Tool, name).is_some());
            let [problem] = catalogue.problems() else { panic!("{:?}", catalogue.problems()) };
            assert!(problem.contains(name) && problem.contains("many clients refuse"), "{problem}");
        }
    }
}
