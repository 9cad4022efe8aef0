//! The pools, for people and programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Orchestrator;

/// What a pool offers, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// Its servers, in the order of the configuration.
    pub servers: Vec<String>,
    /// Whether each client stays with one of them.
    pub sticky: bool,
    /// Its tools, by the names that clients see, each with the members that have it and what it is called there.
    pub tools: BTreeMap<String, BTreeMap<String, String>>,
}

impl Orchestrator {
    /// What each pool offers, in the order of the configuration.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolReport> {
        let view = self.view();
        let report = |pool: &crate::Pool| {
            let own = view.catalogue.pooled().filter(|(_, pooled)| pooled.pool == pool.name);
            let own = own.map(|(name, pooled)| {
                let at = pooled.ways.iter().filter_map(|way| {
                    let server = view.endpoint(way.server)?.name.to_string();
                    Some((server, way.how.tool.to_string()))
                });
                (name.to_string(), at.collect())
            });
            PoolReport {
                name: pool.name.to_string(),
                servers: pool.servers.iter().map(ToString::to_string).collect(),
                sticky: pool.sticky,
                tools: own.collect(),
            }
        };
        view.pools.iter().map(report).collect()
    }
}
