//! What calls are answered from, at one moment.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use toolweir_core::{Notification, ServerId, ServerMessage};

use super::{Inner, Orchestrator, fan};
use crate::catalogue::{Catalogue, Item, Source};
use crate::endpoint::Endpoint;
use crate::handlers::Handlers;
use crate::pools::Pool;

/// The servers, what they list, and how routed requests become calls: immutable, replaced as a whole.
///
/// A call takes its servers out of one view and goes on with them, whatever replaces it meanwhile.
pub(super) struct View {
    /// In the order of the configuration.
    pub(super) endpoints: Arc<[Arc<Endpoint>]>,
    pub(super) catalogue: Catalogue,
    /// The pools that the catalogue was put together with.
    pub(super) pools: Arc<[Pool]>,
    pub(super) handlers: Arc<Handlers>,
    pub(super) connect_timeout: Duration,
}

impl View {
    pub(super) fn endpoint(&self, id: ServerId) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id)
    }

    /// Those of `ids` that are there.
    pub(super) fn endpoints(&self, ids: &[ServerId]) -> Vec<Arc<Endpoint>> {
        ids.iter().filter_map(|id| self.endpoint(*id).cloned()).collect()
    }
}

impl Orchestrator {
    /// What is there now. Not to be held across a wait: what was replaced meanwhile would be held too.
    pub(super) fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.0.view.load()
    }
}

impl Inner {
    /// Puts the lists together anew and tells clients which of them changed.
    pub(super) fn merge(&self) {
        let _one = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.view.load();
        let (endpoints, pools) = (old.endpoints.clone(), old.pools.clone());
        self.publish(endpoints, pools, old.handlers.clone(), old.connect_timeout);
    }

    /// Replaces the servers, with the lists that are known of them.
    pub(super) fn replace(
        &self,
        endpoints: Arc<[Arc<Endpoint>]>,
        pools: Arc<[Pool]>,
        handlers: Handlers,
        connect_timeout: Duration,
    ) {
        let _one = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(endpoints, pools, Arc::new(handlers), connect_timeout);
    }

    /// To be called by one at a time, so that a later view never loses to an earlier.
    fn publish(
        &self,
        endpoints: Arc<[Arc<Endpoint>]>,
        pools: Arc<[Pool]>,
        handlers: Arc<Handlers>,
        connect_timeout: Duration,
    ) {
        let catalogue = catalogue(&endpoints, &pools);
        let old = self.view.load_full();
        let known = old.catalogue.problems();
        for problem in catalogue.problems().iter().filter(|problem| !known.contains(problem)) {
            tracing::warn!("{problem}");
        }
        let changed = fan::changed(&old.catalogue, &catalogue);
        let view = View { endpoints, catalogue, pools, handlers, connect_timeout };
        self.view.store(Arc::new(view));
        for method in changed {
            self.tell(&ServerMessage::Notification(Notification::new(method, None)));
        }
    }
}

pub(super) fn catalogue(endpoints: &[Arc<Endpoint>], pools: &[Pool]) -> Catalogue {
    let listings: Vec<_> = endpoints.iter().map(|endpoint| endpoint.listing.load_full()).collect();
    let hints: Vec<_> =
        endpoints.iter().map(|endpoint| move |item: &Item| endpoint.hints(item)).collect();
    let sources: Vec<Source<'_>> = endpoints
        .iter()
        .zip(&listings)
        .zip(&hints)
        .map(|((endpoint, listing), hints)| Source {
            server: endpoint.id,
            server_name: &endpoint.name,
            prefix: &endpoint.settings.prefix,
            listing,
            is_listed: endpoint.is_listed(),
            may_have_more: endpoint.may_have_more(),
            hints,
        })
        .collect();
    Catalogue::merge(&sources, pools)
}
