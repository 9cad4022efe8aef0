//! The router: the table of servers, and the questions that are asked of it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use toolweir_core::{Call, Clock, Instant, MonotonicClock, RANKED_MAX, Ranked, ServerId};

use crate::attempt::Attempt;
use crate::cell::{Cell, Held};
use crate::errors::{NoCapableServer, RouteError, UnknownRoute};
use crate::explain::{self, Explanation};
use crate::hash;
use crate::picker::Picker;
use crate::pool::Pool;
use crate::random::Random;
use crate::rank::{self, Request};
use crate::registration::{Registration, sorted};
use crate::routing::Routing;
use crate::table::{Candidates, Slot, Table, Wanted};
use crate::{Config, InvalidConfig};

/// Ranks the servers that can answer a request.
///
/// Share it behind an [`Arc`]; every method takes `&self`. Ranking and feedback take no lock and allocate
/// nothing; adding or removing servers copies the table, so add many at once with [`extend`](Self::extend).
///
/// Methods that end in `_at` take the time as an argument; the others read the router's clock.
#[derive(Debug)]
pub struct Router {
    table: ArcSwap<Table>,
    pool: Arc<Pool>,
    random: Random,
    routing: ArcSwap<Routing>,
    clock: Arc<dyn Clock>,
    /// The next id; held while the table is changed.
    next: Mutex<u32>,
}

impl Router {
    /// A router without servers.
    ///
    /// # Errors
    /// The field of `config` that makes no sense.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self::of(config))
    }

    fn of(config: Config) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::default()),
            pool: Arc::new(Pool::new(&config)),
            random: Random::new(config.seed),
            routing: ArcSwap::from_pointee(Routing::of(config)),
            clock: Arc::new(MonotonicClock),
            next: Mutex::new(0),
        }
    }

    /// The same router, reading this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Registers a server of this name and these capabilities, with weight 1 and priority 0.
    ///
    /// # Panics
    /// After four billion registrations, because no id is ever used twice.
    pub fn add<C: Into<Arc<str>>>(
        &self,
        name: impl Into<Arc<str>>,
        capabilities: impl IntoIterator<Item = C>,
    ) -> ServerId {
        self.register(Registration::new(name).capabilities(capabilities))
    }

    /// Registers a server.
    ///
    /// # Panics
    /// After four billion registrations, because no id is ever used twice.
    pub fn register(&self, server: Registration) -> ServerId {
        let mut id = ServerId::new(0);
        self.change(|slots, next| id = push(slots, next, server, &self.pool));
        id
    }

    /// Registers many servers with one change of the table; their ids in the same order.
    ///
    /// # Panics
    /// After four billion registrations, because no id is ever used twice.
    pub fn extend(&self, servers: impl IntoIterator<Item = Registration>) -> Vec<ServerId> {
        // Collected first: the iterator is the caller's code, and must not run under our lock.
        let servers: Vec<Registration> = servers.into_iter().collect();
        let mut ids = Vec::with_capacity(servers.len());
        self.change(|slots, next| {
            ids.extend(servers.into_iter().map(|server| push(slots, next, server, &self.pool)));
        });
        ids
    }

    /// Removes a server; tells whether it was there. Its id is never given to another.
    pub fn remove(&self, id: ServerId) -> bool {
        let mut removed = false;
        self.change(|slots, _| {
            if let Ok(at) = slots.binary_search_by_key(&id, |slot| slot.id) {
                slots.remove(at).cell.retire();
                removed = true;
            }
        });
        removed
    }

    /// Gives a server these capabilities in place of those it had; tells whether it is there. What was learned
    /// about it stays.
    pub fn set_capabilities<C: Into<Arc<str>>>(
        &self,
        id: ServerId,
        capabilities: impl IntoIterator<Item = C>,
    ) -> bool {
        let capabilities = sorted(capabilities);
        self.edit(id, |server| server.capabilities = capabilities)
    }

    /// Gives a server this weight (see [`Registration::weight`]); tells whether it is there.
    pub fn set_weight(&self, id: ServerId, weight: f32) -> bool {
        self.edit(id, |server| *server = server.clone().weight(weight))
    }

    /// Gives a server this priority (see [`Registration::priority`]); tells whether it is there.
    pub fn set_priority(&self, id: ServerId, priority: u8) -> bool {
        self.edit(id, |server| server.priority = priority)
    }

    /// Gives a server this zone (see [`Registration::zone`]), or none; tells whether it is there.
    pub fn set_zone(&self, id: ServerId, zone: Option<&str>) -> bool {
        self.edit(id, |server| server.zone = zone.map(Arc::from))
    }

    fn edit(&self, id: ServerId, edit: impl FnOnce(&mut Registration)) -> bool {
        let mut found = false;
        self.change(|slots, _| {
            if let Ok(at) = slots.binary_search_by_key(&id, |slot| slot.id) {
                let mut server = slots[at].registration().clone();
                edit(&mut server);
                let far = self.pool.is_far(server.zone.as_deref());
                slots[at] = Slot::new(id, server, far, slots[at].cell.clone());
                found = true;
            }
        });
        found
    }

    /// Builds the next table from a copy of this one and puts it in place.
    fn change(&self, change: impl FnOnce(&mut Vec<Slot>, &mut u32)) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load();
        let mut slots = table.slots().to_vec();
        change(&mut slots, &mut next);
        self.pool.resize(slots.len());
        self.table.store(Arc::new(Table::new(slots, table.version + 1)));
    }

    /// How many servers are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.load().slots().len()
    }

    /// Whether no server is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many servers are unhealthy.
    #[must_use]
    pub fn unhealthy(&self) -> usize {
        self.pool.unhealthy()
    }

    /// The name of a server.
    #[must_use]
    pub fn name(&self, id: ServerId) -> Option<Arc<str>> {
        self.table.load().slot(id).map(|slot| slot.registration().name.clone())
    }

    /// Whether a server is healthy; `None` where it is not registered.
    #[must_use]
    pub fn is_healthy(&self, id: ServerId) -> Option<bool> {
        self.table.load().slot(id).map(|slot| slot.cell.is_healthy())
    }

    /// The servers that have all of these capabilities, best first: all of them, in their order without chance.
    #[must_use]
    pub fn capable<C: AsRef<str>>(&self, capabilities: &[C]) -> Vec<ServerId> {
        self.capable_at(capabilities, self.clock.now())
    }

    /// [`capable`](Self::capable) at `now`.
    #[must_use]
    pub fn capable_at<C: AsRef<str>>(&self, capabilities: &[C], now: Instant) -> Vec<ServerId> {
        let table = self.table.load();
        let wanted = table.resolve(capabilities);
        let candidates = table.having(&wanted);
        let standing = rank::standing(&table, &candidates, &self.look(&table, now), false);
        standing.into_iter().map(|slot| slot.id).collect()
    }

    /// The best of the servers that have all of these capabilities, best first; none where there is no such
    /// server.
    #[must_use]
    pub fn rank<C: AsRef<str>>(&self, capabilities: &[C]) -> Ranked {
        self.rank_at(capabilities, self.clock.now())
    }

    /// [`rank`](Self::rank) at `now`.
    #[must_use]
    pub fn rank_at<C: AsRef<str>>(&self, capabilities: &[C], now: Instant) -> Ranked {
        let table = self.table.load();
        let wanted = table.resolve(capabilities);
        rank::rank(&table, &table.having(&wanted), &self.request(&table, now, RANKED_MAX)).ranked()
    }

    /// [`rank`](Self::rank), or what is missing.
    ///
    /// # Errors
    /// No server has all of these capabilities.
    pub fn require<C: AsRef<str>>(&self, capabilities: &[C]) -> Result<Ranked, NoCapableServer> {
        self.require_at(capabilities, self.clock.now())
    }

    /// [`require`](Self::require) at `now`.
    ///
    /// # Errors
    /// No server has all of these capabilities.
    pub fn require_at<C: AsRef<str>>(
        &self,
        capabilities: &[C],
        now: Instant,
    ) -> Result<Ranked, NoCapableServer> {
        let ranked = self.rank_at(capabilities, now);
        if ranked.is_empty() { Err(self.nobody(capabilities)) } else { Ok(ranked) }
    }

    fn nobody<C: AsRef<str>>(&self, capabilities: &[C]) -> NoCapableServer {
        let table = self.table.load();
        let required: Vec<String> = owned(capabilities);
        let missing = required.iter().filter(|wanted| !table.knows(wanted)).cloned().collect();
        let mut available: Vec<String> =
            table.capabilities().map(|have| (**have).to_owned()).collect();
        available.sort();
        NoCapableServer { required, missing, available }
    }

    /// The best of these servers, best first; ids that are not registered (any more) are left out.
    #[must_use]
    pub fn rank_among(&self, among: &[ServerId]) -> Ranked {
        self.rank_among_at(among, self.clock.now())
    }

    /// [`rank_among`](Self::rank_among) at `now`.
    #[must_use]
    pub fn rank_among_at(&self, among: &[ServerId], now: Instant) -> Ranked {
        let table = self.table.load();
        rank::rank(&table, &Candidates::Ids(among), &self.request(&table, now, RANKED_MAX)).ranked()
    }

    /// [`rank_among_at`](Self::rank_among_at) for a call that cannot simply be sent again where it fails: such a
    /// call is the last that a server which is out is tried with.
    pub(crate) fn rank_once_at(&self, among: &[ServerId], now: Instant) -> Ranked {
        let table = self.table.load();
        let request = Request { repeatable: false, ..self.request(&table, now, RANKED_MAX) };
        rank::rank(&table, &Candidates::Ids(among), &request).ranked()
    }

    /// [`rank`](Self::rank), with the same server first for the same key for as long as it is healthy
    /// (weighted rendezvous hashing): load and latency do not count, and a server that comes or goes moves no
    /// keys but its own. Looks at every candidate.
    #[must_use]
    pub fn rank_sticky<C: AsRef<str>>(&self, capabilities: &[C], key: &str) -> Ranked {
        self.rank_sticky_at(capabilities, key, self.clock.now())
    }

    /// [`rank_sticky`](Self::rank_sticky) at `now`.
    #[must_use]
    pub fn rank_sticky_at<C: AsRef<str>>(
        &self,
        capabilities: &[C],
        key: &str,
        now: Instant,
    ) -> Ranked {
        let table = self.table.load();
        let wanted = table.resolve(capabilities);
        rank::rank_sticky(&table, &table.having(&wanted), hash::text(key), now).ranked()
    }

    /// [`rank_sticky`](Self::rank_sticky) among these servers; ids that are not registered (any more) are left out.
    #[must_use]
    pub fn rank_sticky_among(&self, among: &[ServerId], key: &str) -> Ranked {
        self.rank_sticky_among_at(among, key, self.clock.now())
    }

    /// [`rank_sticky_among`](Self::rank_sticky_among) at `now`.
    #[must_use]
    pub fn rank_sticky_among_at(&self, among: &[ServerId], key: &str, now: Instant) -> Ranked {
        let table = self.table.load();
        rank::rank_sticky(&table, &Candidates::Ids(among), hash::text(key), now).ranked()
    }

    /// Begins a call at the best server that has all of these capabilities; `None` where there is none.
    #[must_use]
    pub fn pick<C: AsRef<str>>(&self, capabilities: &[C]) -> Option<Attempt> {
        self.pick_at(capabilities, self.clock.now())
    }

    /// [`pick`](Self::pick) at `now`.
    #[must_use]
    pub fn pick_at<C: AsRef<str>>(&self, capabilities: &[C], now: Instant) -> Option<Attempt> {
        let table = self.table.load();
        self.pick_in(&table, &table.resolve(capabilities), now)
    }

    /// A pick among the servers of this table.
    #[inline]
    pub(crate) fn pick_in(&self, table: &Table, wanted: &Wanted, now: Instant) -> Option<Attempt> {
        let first = rank::first(table, &table.having(wanted), &self.request(table, now, 1));
        first.map(|slot| Attempt::new(slot.id, Arc::clone(&slot.cell), now))
    }

    /// [`pick`](Self::pick) for these capabilities, bound once: for one owner, and cheaper.
    pub fn picker<C: Into<Arc<str>>>(
        &self,
        capabilities: impl IntoIterator<Item = C>,
    ) -> Picker<'_> {
        Picker::new(self, &self.table, capabilities.into_iter().map(Into::into).collect())
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Begins a call at this server; `None` where it is not registered.
    #[must_use]
    pub fn start(&self, id: ServerId) -> Option<Attempt> {
        self.start_at(id, self.clock.now())
    }

    /// [`start`](Self::start) at `now`.
    #[must_use]
    pub fn start_at(&self, id: ServerId, now: Instant) -> Option<Attempt> {
        self.table.load().slot(id).map(|slot| Attempt::new(id, Arc::clone(&slot.cell), now))
    }

    /// A probe found that this server can be called again; tells whether it is registered.
    ///
    /// An unhealthy server starts over as one of which nothing is known; a healthy one stays as it is.
    pub fn mark_healthy(&self, id: ServerId) -> bool {
        self.with_cell(id, Cell::mark_healthy)
    }

    /// A probe found that this server cannot be called; tells whether it is registered.
    ///
    /// It is unhealthy at once, and its next trial is a pause away from the last such report.
    pub fn mark_unhealthy(&self, id: ServerId) -> bool {
        self.mark_unhealthy_at(id, self.clock.now())
    }

    /// [`mark_unhealthy`](Self::mark_unhealthy) at `now`.
    pub fn mark_unhealthy_at(&self, id: ServerId, now: Instant) -> bool {
        self.with_cell(id, |cell| cell.mark_unhealthy(now))
    }

    /// The capabilities that a request of this type needs.
    ///
    /// # Errors
    /// The type has no route, and the configuration names no default capability.
    pub fn route(&self, request_type: &str) -> Result<Vec<String>, UnknownRoute> {
        self.routing.load().needed(request_type)
    }

    /// Replaces the routes, and the capability that a request of unknown type needs; the rest of `config` stays as it
    /// was when the router was made.
    ///
    /// # Errors
    /// The field of `config` that makes no sense; then nothing is replaced.
    pub fn set_routes(&self, config: Config) -> Result<(), InvalidConfig> {
        config.validate()?;
        self.routing.store(Arc::new(Routing::of(config)));
        Ok(())
    }

    /// The best servers for a request of this type.
    ///
    /// # Errors
    /// The type has no route, or no server has what it needs.
    pub fn rank_route(&self, request_type: &str) -> Result<Ranked, RouteError> {
        self.rank_route_at(request_type, self.clock.now())
    }

    /// [`rank_route`](Self::rank_route) at `now`.
    ///
    /// # Errors
    /// The type has no route, or no server has what it needs.
    pub fn rank_route_at(&self, request_type: &str, now: Instant) -> Result<Ranked, RouteError> {
        Ok(self.require_at(&self.route(request_type)?, now)?)
    }

    /// Says of each server where it stands for a request that needs these capabilities, and why.
    #[must_use]
    pub fn explain<C: AsRef<str>>(&self, capabilities: &[C]) -> Explanation {
        self.explain_at(capabilities, self.clock.now())
    }

    /// [`explain`](Self::explain) at `now`.
    #[must_use]
    pub fn explain_at<C: AsRef<str>>(&self, capabilities: &[C], now: Instant) -> Explanation {
        let table = self.table.load();
        let wanted = table.resolve(capabilities);
        let candidates = table.having(&wanted);
        explain::explain(&table, &candidates, owned(capabilities), &self.look(&table, now), None)
    }

    /// Says of each server where it stands among these, and why.
    #[must_use]
    pub fn explain_among_at(&self, among: &[ServerId], now: Instant) -> Explanation {
        let table = self.table.load();
        let candidates = Candidates::Ids(among);
        explain::explain(&table, &candidates, Vec::new(), &self.look(&table, now), None)
    }

    /// Says of each server where it stands for this call among these, and why: as [`Select::rank`](toolweir_core::Select::rank)
    /// would rank them, without chance, and without taking anything away.
    ///
    /// A server that is out and due for a trial stands first where this call would be the trial; for a call that cannot be
    /// repeated it says why it would not be.
    #[must_use]
    pub fn explain_call(&self, call: &Call, among: &[ServerId]) -> Explanation {
        self.explain_call_at(call, among, self.clock.now())
    }

    /// [`explain_call`](Self::explain_call) at `now`.
    #[must_use]
    pub fn explain_call_at(&self, call: &Call, among: &[ServerId], now: Instant) -> Explanation {
        let table = self.table.load();
        let repeatable = call.hints.is_repeatable();
        let request = Request { repeatable, ..self.look(&table, now) };
        explain::explain(&table, &Candidates::Ids(among), Vec::new(), &request, Some(repeatable))
    }

    #[inline]
    fn request(&self, table: &Table, now: Instant, want: usize) -> Request<'_> {
        Request { random: self.random.draw(), want, ..self.look(table, now) }
    }

    /// What is known at `now`, with no server wanted.
    #[inline]
    fn look(&self, table: &Table, now: Instant) -> Request<'_> {
        Request {
            pool: &self.pool,
            now,
            tick: self.pool.tick(now),
            random: 0,
            want: 0,
            repeatable: true,
            is_zoned: table.is_zoned,
        }
    }

    /// Does something with a server's cell; tells whether it is registered.
    pub(crate) fn with_cell(&self, id: ServerId, act: impl FnOnce(&Cell)) -> bool {
        self.table.load().slot(id).map(|slot| act(&slot.cell)).is_some()
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::of(Config::default())
    }
}

fn push(slots: &mut Vec<Slot>, next: &mut u32, server: Registration, pool: &Arc<Pool>) -> ServerId {
    let id = ServerId::new(*next);
    *next = next.checked_add(1).expect("fewer than four billion registrations");
    let far = pool.is_far(server.zone.as_deref());
    slots.push(Slot::new(id, server, far, Held::new(Arc::new(Cell::new(pool.clone())))));
    id
}

fn owned<C: AsRef<str>>(names: &[C]) -> Vec<String> {
    names.iter().map(|name| name.as_ref().to_owned()).collect()
}
