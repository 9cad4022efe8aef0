//! The lists of all servers as one, and back from a client's name to the server's own.

use std::collections::HashMap;
use std::sync::Arc;

use toolweir_core::{Hints, RawJson, ServerId};

use super::item::{Item, Kind};
use super::listing::Listing;

/// The longest name that all clients take; longer ones are served all the same.
const NAME_MAX: usize = 64;

/// How many problems are told of.
const PROBLEMS_MAX: usize = 100;

/// One server's contribution.
pub(crate) struct Source<'a> {
    pub(crate) server: ServerId,
    pub(crate) server_name: &'a str,
    /// Stands before tools' and prompts' names, with `__`; nothing where it is empty.
    pub(crate) prefix: &'a str,
    pub(crate) listing: &'a Listing,
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
    /// What a tool takes, by which equivalent ones are known.
    schema: Option<RawJson>,
}

/// Everything that is offered, in the order of the configuration; immutable, replaced as a whole.
#[derive(Debug)]
pub(crate) struct Catalogue {
    names: [HashMap<Arc<str>, Found>; 4],
    /// The results of the four lists, encoded already.
    lists: [RawJson; 4],
    /// What is withheld or unusual, for people.
    problems: Vec<String>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::merge(&[])
    }
}

impl Catalogue {
    /// Puts the lists together. Of two things with one name the first stays.
    pub(crate) fn merge(sources: &[Source<'_>]) -> Self {
        let mut problems = Vec::new();
        let mut names: [HashMap<Arc<str>, Found>; 4] = Default::default();
        let lists = Kind::ALL.map(|kind| {
            let mut list = Vec::from(format!(r#"{{"{}":["#, kind.member()));
            let names = &mut names[kind.index()];
            for source in sources {
                for item in source.listing.of(kind) {
                    add(kind, source, item, names, &mut list, &mut problems);
                }
            }
            list.extend_from_slice(b"]}");
            RawJson::new(list).unwrap_or(RawJson::NULL) // put together from valid parts
        });
        if problems.len() > PROBLEMS_MAX {
            let more = problems.len() - PROBLEMS_MAX;
            problems.truncate(PROBLEMS_MAX);
            problems.push(format!("and {more} more"));
        }
        Self { names, lists, problems }
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

    /// The result of a list's method.
    pub(crate) fn list(&self, kind: Kind) -> &RawJson {
        &self.lists[kind.index()]
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All names of a kind, with their servers.
    pub(crate) fn names(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, &Found)> {
        self.names[kind.index()].iter()
    }
}

fn add(
    kind: Kind,
    source: &Source<'_>,
    item: &Item,
    names: &mut HashMap<Arc<str>, Found>,
    list: &mut Vec<u8>,
    problems: &mut Vec<String>,
) {
    let shown: Arc<str> = if kind.is_prefixed() && !source.prefix.is_empty() {
        format!("{}__{}", source.prefix, item.name).into()
    } else {
        item.name.clone()
    };
    let server = source.server_name;
    if item.name.is_empty() {
        problems.push(format!("{server}: lists something without a name, which is withheld"));
        return;
    }
    if kind.is_prefixed() {
        if !shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            problems.push(format!(
                "{server}: the name `{shown}` has characters that many clients refuse"
            ));
        }
        if shown.len() > NAME_MAX {
            problems.push(format!(
                "{server}: the name `{shown}` is over {NAME_MAX} characters; many clients refuse it"
            ));
        }
    }
    let hints = if kind == Kind::Tool { (source.hints)(item) } else { Hints::read() };
    let schema = item.json.member("inputSchema").map(|part| part.to_json());
    if let Some(first) = names.get_mut(&shown) {
        if first.servers.contains(&source.server) {
            problems.push(format!("{server}: lists `{shown}` twice; the second is withheld"));
        } else if !kind.is_prefixed() || (!source.prefix.is_empty() && first.schema == schema) {
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
    let json = if shown == item.name {
        item.json.clone()
    } else {
        let renamed =
            RawJson::of(&*shown).and_then(|name| item.json.edit().set(kind.key(), &name).finish());
        match renamed {
            Ok(json) => json,
            Err(error) => {
                problems.push(format!("{server}: `{shown}` is withheld: {error}"));
                return;
            }
        }
    };
    if !names.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(json.as_bytes());
    names.insert(
        shown,
        Found { servers: vec![source.server], name: item.name.clone(), hints, schema },
    );
}

/// What holds for both of two equivalent tools.
fn both(one: Hints, other: Hints) -> Hints {
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
                hints: &|_| Hints::default(),
            })
            .collect();
        Catalogue::merge(&sources)
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
    fn long_names_are_served_and_warned_of() {
        let long = "x".repeat(80);
        let listing = tools(&[&long]);
        let catalogue = merge(&[("", &listing)]);
        assert!(catalogue.find(Kind::Tool, &long).is_some());
        assert_eq!(catalogue.problems().len(), 1);
    }
}
