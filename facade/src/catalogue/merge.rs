//! The lists of all servers as one, and back from a client's name to the server's own.

use std::collections::HashMap;
use std::sync::Arc;

use toolweir_core::{Hints, RawJson, ServerId};

use super::item::{Item, Kind};
use super::listing::Listing;

/// The longest name that all clients take; longer ones are served all the same.
const NAME_MAX: usize = 64;

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
    pub(crate) server: ServerId,
    /// The server's own name for it.
    pub(crate) name: Arc<str>,
    pub(crate) hints: Hints,
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
        Self { names, lists, problems }
    }

    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<&Found> {
        self.names[kind.index()].get(name)
    }

    /// The server with a template that `uri` could come from: the one with the longest literal beginning.
    pub(crate) fn find_template(&self, uri: &str) -> Option<&Found> {
        let literal = |template: &str| template.split('{').next().map_or(0, str::len);
        self.names[Kind::Template.index()]
            .iter()
            .filter(|(template, _)| uri.starts_with(&template[..literal(template)]))
            .max_by_key(|(template, _)| literal(template))
            .map(|(_, found)| found)
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
    if let Some(first) = names.get(&shown) {
        if first.server == source.server {
            problems.push(format!("{server}: lists `{shown}` twice; the second is withheld"));
        } else {
            problems.push(format!("{server}: `{shown}` is another server's already, and withheld; give one of them a `prefix`"));
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
    let hints = if kind == Kind::Tool { (source.hints)(item) } else { Hints::read() };
    names.insert(shown, Found { server: source.server, name: item.name.clone(), hints });
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
        assert_eq!((found.server, &*found.name), (ServerId::new(1), "read"));
        assert!(catalogue.problems().is_empty());
    }

    #[test]
    fn of_two_with_one_name_the_first_stays_and_it_is_said() {
        let (a, b) = (tools(&["read"]), tools(&["read", "other"]));
        let catalogue = merge(&[("", &a), ("", &b)]);
        assert_eq!(catalogue.find(Kind::Tool, "read").unwrap().server, ServerId::new(0));
        assert!(catalogue.find(Kind::Tool, "other").is_some());
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
