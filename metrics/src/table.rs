//! Names to slots, within a bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use toolweir_core::Instant;

use crate::config::Config;
use crate::slot::{Family, OperationSlot, ServerSlot, lock};
use crate::statistics::nanos;

/// The name under which everything counts that came after the bound was reached.
pub const OTHER: &str = "_other";

/// All slots at one moment; replaced as a whole when a name is added.
#[derive(Clone, Default)]
pub(crate) struct Names {
    servers: HashMap<Arc<str>, Entry>,
    /// Every operation, by its id.
    pub(crate) operations: Vec<Arc<OperationSlot>>,
}

#[derive(Clone)]
struct Entry {
    slot: Arc<ServerSlot>,
    families: [HashMap<Arc<str>, Arc<OperationSlot>>; 3],
    named: usize,
}

impl Names {
    fn find(&self, server: &str, family: Family, name: &str) -> Option<&Arc<OperationSlot>> {
        self.servers.get(server)?.families[family as usize].get(name)
    }

    pub(crate) fn server(&self, name: &str) -> Option<&Arc<ServerSlot>> {
        self.servers.get(name).map(|entry| &entry.slot)
    }

    /// Every server, in no order.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<ServerSlot>> {
        self.servers.values().map(|entry| &entry.slot)
    }
}

/// The table, with the bounds on its size.
pub(crate) struct Table {
    names: ArcSwap<Names>,
    adding: Mutex<()>,
    max_servers: usize,
    max_operations: usize,
    latency: u64,
}

impl Table {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            names: ArcSwap::default(),
            adding: Mutex::new(()),
            max_servers: config.max_servers,
            max_operations: config.max_operations,
            latency: nanos(config.alerts.latency()),
        }
    }

    pub(crate) fn names(&self) -> Guard<Arc<Names>> {
        self.names.load()
    }

    /// Does `work` with the slot of this operation, which is added where it is new and there is room.
    #[inline]
    pub(crate) fn operation<T>(
        &self,
        server: &str,
        family: Family,
        name: &str,
        now: Instant,
        work: impl FnOnce(&Arc<OperationSlot>) -> T,
    ) -> T {
        let names = self.names.load();
        match self.known(&names, server, family, name) {
            Some(slot) => work(slot),
            None => work(&self.add(server, family, name, now)),
        }
    }

    /// Does `work` with the slot of this server, which is added where it is new and there is room.
    pub(crate) fn server<T>(
        &self,
        server: &str,
        now: Instant,
        work: impl FnOnce(&ServerSlot) -> T,
    ) -> T {
        let names = self.names.load();
        let known = names
            .server(server)
            .or_else(|| self.servers_full(&names).then(|| names.server(OTHER)).flatten());
        match known {
            Some(slot) => work(slot),
            None => work(&self.add_server(server, now)),
        }
    }

    fn servers_full(&self, names: &Names) -> bool {
        let others = usize::from(names.servers.contains_key(OTHER));
        names.servers.len() - others >= self.max_servers
    }

    /// The slot that exists already, or the one that a name without room of its own shares.
    fn known<'a>(
        &self,
        names: &'a Names,
        server: &str,
        family: Family,
        name: &str,
    ) -> Option<&'a Arc<OperationSlot>> {
        if let Some(slot) = names.find(server, family, name) {
            return Some(slot);
        }
        let (server, entry) = match names.servers.get(server) {
            Some(entry) => (server, entry),
            None if self.servers_full(names) => (OTHER, names.servers.get(OTHER)?),
            None => return None,
        };
        if server == OTHER || self.operations_full(names, entry) {
            return entry.families[family as usize].get(OTHER);
        }
        None
    }

    fn operations_full(&self, names: &Names, entry: &Entry) -> bool {
        let named: usize = names.servers.values().map(|entry| entry.named).sum();
        named >= self.max_operations || entry.named >= self.max_operations / 4
    }

    #[cold]
    fn add(&self, server: &str, family: Family, name: &str, now: Instant) -> Arc<OperationSlot> {
        let _adding = lock(&self.adding);
        let mut names = Names::clone(&self.names.load());
        if let Some(slot) = self.known(&names, server, family, name) {
            return slot.clone();
        }
        let server = self.place(&mut names, server, now);
        let full = server == OTHER
            || names.servers.get(server).is_some_and(|entry| self.operations_full(&names, entry));
        let name: Arc<str> = Arc::from(if full { OTHER } else { name });
        let id = names.operations.len() as u32;
        let entry = names.servers.get_mut(server).expect("was placed above");
        let slot = OperationSlot::new(id, name.clone(), family, entry.slot.clone());
        let slot = Arc::new(slot);
        entry.families[family as usize].insert(name, slot.clone());
        entry.named += usize::from(!full);
        names.operations.push(slot.clone());
        self.names.store(Arc::new(names));
        slot
    }

    #[cold]
    fn add_server(&self, server: &str, now: Instant) -> Arc<ServerSlot> {
        let _adding = lock(&self.adding);
        let mut names = Names::clone(&self.names.load());
        let server = self.place(&mut names, server, now);
        let slot = names.servers[server].slot.clone();
        self.names.store(Arc::new(names));
        slot
    }

    /// Sees to it that the server has an entry; returns the name of that.
    fn place<'a>(&self, names: &mut Names, server: &'a str, now: Instant) -> &'a str {
        let known = names.servers.contains_key(server);
        let server = if known || !self.servers_full(names) { server } else { OTHER };
        if !names.servers.contains_key(server) {
            let id = names.servers.len() as u32;
            let name: Arc<str> = Arc::from(server);
            let slot = Arc::new(ServerSlot::new(id, name.clone(), self.latency, now));
            names.servers.insert(name, Entry { slot, families: Default::default(), named: 0 });
        }
        server
    }
}
