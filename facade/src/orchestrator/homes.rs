//! Which member of a sticky pool a client is at home with.
//!
//! Members of such a pool keep state, so a client's calls stay with the one that answered the last of them, while that is
//! up. Where a client has none yet, a hash of it and the members' names decides: clients are spread evenly, and those of a
//! restarted gateway come back to the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use toolweir_core::{Client, Clock, Principal, RawJson, Reply, ServerId, TokioClock};

use super::Orchestrator;
use super::resolve::Aim;
use crate::endpoint::{Endpoint, Status};
use crate::isolated::is_modern;

/// How many clients' homes are remembered.
const MAX: usize = 10_000;
/// How many of those that were used longest ago make room at a time.
const ROOM: usize = MAX / 10;
/// What a reply says of the member that its client was at home with before.
const MOVED: &str = "toolweir/moved";

/// The homes of clients.
#[derive(Debug, Default)]
pub(super) struct Homes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    homes: HashMap<(Arc<str>, Whom), Home>,
    /// Counts the uses.
    uses: u64,
}

#[derive(Debug)]
struct Home {
    server: ServerId,
    last_used: u64,
    /// Where the client is one that can leave. As long as this is there, no other has its address.
    client: Option<Weak<Client>>,
}

/// Who stays with a member: a legacy session, by the address of its client, or a principal, whose requests each stand alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Session(usize),
    Principal(Principal),
}

impl Whom {
    fn of(client: &Arc<Client>) -> Self {
        match &client.protocol_version {
            Some(version) if !is_modern(version) => Self::Session(Arc::as_ptr(client).addr()),
            _ => Self::Principal(client.principal.clone()),
        }
    }

    fn key(&self, client: &Client) -> String {
        match self {
            Self::Session(address) => format!("{} {address}", client.principal.as_str()),
            Self::Principal(principal) => principal.as_str().to_owned(),
        }
    }
}

impl Homes {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, pool: &Arc<str>, client: &Arc<Client>) -> Option<ServerId> {
        let table = self.table();
        table.homes.get(&(pool.clone(), Whom::of(client))).map(|home| home.server)
    }

    /// Notes who answered; gives who did before, where that was another.
    fn note(&self, pool: &Arc<str>, client: &Arc<Client>, server: ServerId) -> Option<ServerId> {
        let whom = Whom::of(client);
        let weak = matches!(whom, Whom::Session(_)).then(|| Arc::downgrade(client));
        let mut table = self.table();
        table.uses += 1;
        let home = Home { server, last_used: table.uses, client: weak };
        if table.homes.len() >= MAX {
            table.make_room();
        }
        let before = table.homes.insert((pool.clone(), whom), home)?.server;
        (before != server).then_some(before)
    }
}

impl Table {
    /// Forgets clients that have left, or else those that were not seen for longest.
    fn make_room(&mut self) {
        let is_there = |home: &Home| home.client.as_ref().is_none_or(|it| it.strong_count() > 0);
        self.homes.retain(|_, home| is_there(home));
        if self.homes.len() > MAX - ROOM {
            let mut uses: Vec<u64> = self.homes.values().map(|home| home.last_used).collect();
            let (_, oldest, _) = uses.select_nth_unstable(ROOM);
            let oldest = *oldest;
            self.homes.retain(|_, home| home.last_used > oldest);
        }
    }
}

impl Orchestrator {
    /// The members of a sticky pool, the client's own first; and whether it has one, which is up.
    pub(super) fn at_home(&self, aim: &Aim, pool: &Arc<str>) -> (Vec<Arc<Endpoint>>, bool) {
        let client = &aim.call.client;
        let key = Whom::of(client).key(client);
        let ids = aim.ids();
        let mut order = self.0.router.rank_sticky_among_at(&ids, &key, TokioClock.now()).to_vec();
        let is_up = |id: &ServerId| {
            let endpoint = aim.servers.iter().find(|endpoint| endpoint.id == *id);
            endpoint.is_some_and(|endpoint| !matches!(endpoint.status(), Status::Down(_)))
        };
        let home = self.0.homes.find(pool, client).filter(is_up);
        if let Some(home) = home {
            order.retain(|id| *id != home);
            order.insert(0, home);
        }
        let endpoint = |id: &ServerId| aim.servers.iter().find(|it| it.id == *id).cloned();
        (order.iter().filter_map(endpoint).collect(), home.is_some())
    }

    /// Notes which member of a sticky pool answered. Where the client was at home with another, the reply says so.
    pub(super) fn settle_home(&self, aim: &Aim, pool: &Arc<str>, mut reply: Reply) -> Reply {
        let answered = reply
            .server
            .as_ref()
            .and_then(|name| aim.servers.iter().find(|endpoint| endpoint.name == *name));
        let Some(endpoint) = answered else { return reply };
        let Some(before) = self.0.homes.note(pool, &aim.call.client, endpoint.id) else {
            return reply;
        };
        let from = self.view().endpoint(before).map(|before| before.name.clone());
        let to = &endpoint.name;
        tracing::info!(
            pool = &**pool,
            from = from.as_deref(),
            to = &**to,
            "a client's calls go to another member"
        );
        let moved = serde_json::json!({ "pool": &**pool, "from": from.as_deref(), "to": &**to });
        reply.result = noted(reply.result, MOVED, &RawJson::from(moved));
        reply
    }
}

/// The result with one more member in its `_meta`.
pub(super) fn noted(result: RawJson, key: &'static str, value: &RawJson) -> RawJson {
    let meta = result.member("_meta").map(|meta| meta.to_json());
    let meta = meta.filter(RawJson::is_object).unwrap_or(RawJson::EMPTY_OBJECT);
    let meta = meta.edit().set(key, value).finish();
    meta.and_then(|meta| result.edit().set("_meta", &meta).finish()).unwrap_or(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: usize) -> Arc<Client> {
        let mut client = Client::new(Principal::new(format!("p{}", number % 7)));
        client.protocol_version = Some("2025-11-25".into());
        Arc::new(client)
    }

    #[test]
    fn who_is_remembered_is_bounded_and_who_left_goes_first() {
        let (homes, pool) = (Homes::default(), Arc::from("p"));
        let stays = session(0);
        assert_eq!(homes.note(&pool, &stays, ServerId::new(1)), None);
        for number in 0..3 * MAX {
            assert_eq!(homes.note(&pool, &session(number), ServerId::new(2)), None);
        }
        assert!(homes.table().homes.len() <= MAX);
        assert_eq!(homes.find(&pool, &stays), Some(ServerId::new(1)), "it is still there");
        let live: Vec<_> = (0..2 * MAX).map(session).collect();
        for client in &live {
            homes.note(&pool, client, ServerId::new(2));
        }
        assert!(homes.table().homes.len() <= MAX);
        assert_eq!(homes.find(&pool, &stays), None, "used longest ago");
        assert_eq!(homes.find(&pool, live.last().unwrap()), Some(ServerId::new(2)));
        assert_eq!(
            homes.note(&pool, live.last().unwrap(), ServerId::new(3)),
            Some(ServerId::new(2))
        );
        assert_eq!(homes.find(&Arc::from("other"), live.last().unwrap()), None);
    }
}
