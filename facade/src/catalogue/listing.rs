//! Asking one server for everything that it lists.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use toolweir_core::{
    Call, Clock, Error, Hints, Instant, Kind as ErrorKind, Method, RawJson, Server, ServerInfo,
    TokioClock,
};

use super::holds::Holds;
use super::item::{Item, Kind};
use crate::endpoint::bounded;

/// How many pages of one list are asked for.
const PAGES_MAX: usize = 1_000;
/// How many entries of one list are kept.
const ITEMS_MAX: usize = 10_000;
/// JSON-RPC's code for a method that the server does not have.
const METHOD_NOT_FOUND: i64 = -32601;

/// What one server lists, in its own order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listing {
    items: [Arc<[Item]>; 4],
    /// How long each of them holds; `None` where the server has no such list.
    holds: [Option<Holds>; 4],
}

impl Default for Listing {
    /// Of a server that has not been listed: it may have anything, soon.
    fn default() -> Self {
        Self { items: Default::default(), holds: [Some(Holds::default()); 4] }
    }
}

impl Listing {
    pub(crate) fn of(&self, kind: Kind) -> &[Item] {
        &self.items[kind.index()]
    }

    /// How long this list holds; `None` where the server has none.
    pub(crate) fn holds(&self, kind: Kind) -> Option<Holds> {
        self.holds[kind.index()]
    }

    /// When the first list is over of whose changes the server does not tell.
    pub(crate) fn over(&self, info: &ServerInfo) -> Option<Instant> {
        let untold = Kind::ALL.into_iter().filter(|kind| !info.tells_of(kind.capability()));
        untold.filter_map(|kind| self.holds(kind)?.until()).min()
    }

    pub(crate) fn has(&self, kind: Kind, name: &str) -> bool {
        self.of(kind).iter().any(|item| &*item.name == name)
    }

    /// Replaces annotations of tools where `hints` says anything of them.
    pub(crate) fn annotate(&mut self, hints: impl Fn(&str) -> Hints) {
        let tools = &mut self.items[Kind::Tool.index()];
        if tools.iter().all(|tool| hints(&tool.name) == Hints::default()) {
            return;
        }
        let mut annotated = tools.to_vec();
        annotated.iter_mut().for_each(|tool| tool.annotate(hints(&tool.name)));
        *tools = annotated.into();
    }

    /// Lists that were kept; `None` where one is missing or holds what it cannot.
    pub(crate) fn read(list: impl Fn(Kind) -> Option<RawJson>) -> Option<Self> {
        let mut listing = Self::default();
        for kind in Kind::ALL {
            let items = list(kind)?;
            let items = items.items().map(|item| Item::read(kind, item.to_json()));
            listing.items[kind.index()] = items.collect::<Option<Vec<_>>>()?.into();
        }
        Some(listing)
    }

    /// The same, without what the tools' annotations claim.
    pub(crate) fn without_claims(&self) -> Self {
        let mut listing = self.clone();
        let tools = &mut listing.items[Kind::Tool.index()];
        if tools.iter().any(|tool| tool.claimed != Hints::default()) {
            let unclaimed =
                tools.iter().map(|tool| Item { claimed: Hints::default(), ..tool.clone() });
            *tools = unclaimed.collect();
        }
        listing
    }

    #[cfg(test)]
    pub(crate) fn with_tools(items: Vec<Item>) -> Self {
        let mut listing = Self::default();
        listing.items[Kind::Tool.index()] = items.into();
        listing
    }

    /// Asks `server` for all pages of every list that it says it has. A list that fails keeps what `last` knew of it.
    pub(crate) async fn fetch(
        server: &dyn Server,
        info: &ServerInfo,
        last: &Self,
        deadline: Instant,
    ) -> Fetched {
        let mut listing = last.clone();
        let mut failure = None;
        let mut has_tools = true;
        for kind in Kind::ALL {
            if info.capabilities.member(kind.capability()).is_none() {
                listing.items[kind.index()] = Arc::default();
                listing.holds[kind.index()] = None;
                continue;
            }
            match fetch(server, kind, deadline).await {
                Ok((items, holds)) => {
                    listing.items[kind.index()] = items.into();
                    listing.holds[kind.index()] = Some(holds);
                }
                Err(error) => {
                    has_tools &= kind != Kind::Tool;
                    failure = Some(error);
                }
            }
        }
        Fetched { listing, has_tools, failure }
    }
}

/// What a round of lists brought.
pub(crate) struct Fetched {
    pub(crate) listing: Listing,
    /// Whether the list of tools came, or is known not to exist.
    pub(crate) has_tools: bool,
    /// The last failure, where a list failed.
    pub(crate) failure: Option<Error>,
}

async fn fetch(
    server: &dyn Server,
    kind: Kind,
    deadline: Instant,
) -> Result<(Vec<Item>, Holds), Error> {
    let (mut items, mut holds) = (Vec::new(), None);
    let mut cursor: Option<RawJson> = None;
    let (hasher, mut cursors) = (RandomState::new(), HashSet::new());
    for _ in 0..PAGES_MAX {
        let params = match &cursor {
            Some(cursor) => {
                let params = RawJson::EMPTY_OBJECT.edit().set("cursor", cursor).finish();
                Some(params.map_err(|error| Error::new(ErrorKind::Internal).caused_by(error))?)
            }
            None => None,
        };
        let call = Call::new(kind.method(), params).deadline(deadline);
        let page = match bounded(deadline, async { server.call(&call).await }).await {
            Ok(reply) => {
                let of_page = Holds::of(&reply, TokioClock.now());
                holds = Some(holds.map_or(of_page, |holds: Holds| holds.and(of_page)));
                reply.result
            }
            Err(error) if error.kind() == (ErrorKind::Protocol { code: METHOD_NOT_FOUND }) => {
                return Ok((items, holds.unwrap_or_default()));
            }
            Err(error) => return Err(error),
        };
        if let Some(list) = page.member(kind.member()).map(|part| part.to_json()) {
            items.extend(list.items().filter_map(|item| Item::read(kind, item.to_json())));
        }
        if items.len() > ITEMS_MAX {
            tracing::warn!(list = %kind.method(), "more than {ITEMS_MAX} entries; the rest is left out");
            items.truncate(ITEMS_MAX);
            return Ok((items, holds.unwrap_or_default()));
        }
        let next = page
            .member("nextCursor")
            .map(|part| part.to_json())
            .filter(|next| *next != RawJson::NULL);
        match next {
            // A server that gives a cursor again would never end.
            Some(next) if cursors.insert(hasher.hash_one(&next)) => cursor = Some(next),
            _ => return Ok((items, holds.unwrap_or_default())),
        }
    }
    tracing::warn!(list = %kind.method(), "more than {PAGES_MAX} pages; the rest is left out");
    Ok((items, holds.unwrap_or_default()))
}

/// The list that a `list_changed` notification speaks of.
pub(crate) fn is_list_changed(method: &Method) -> bool {
    Kind::ALL.iter().any(|kind| kind.changed() == *method)
}
