//! How the servers are, for people and programs.

use std::time::Duration;

use serde::Serialize;
use toolweir_core::{RawJson, ServerId};
use toolweir_metrics::{Dashboard, Health, Recorder};
use toolweir_router::Router;

use super::{Orchestrator, PoolReport};
use crate::catalogue::{Catalogue, Kind};
use crate::endpoint::{Endpoint, Status};

/// Whether a server can be called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Readiness {
    /// Not tried yet.
    Starting,
    /// Connected, or reached by its last probe.
    Healthy,
    /// Not running, because nothing has needed it: the next call has it begin.
    Resting,
    /// It failed so often in a row that it is left alone for a while; see the reason.
    Quarantined,
    /// Not reached at the last attempt; it is tried again in the background.
    Unhealthy,
}

/// What is known of one server.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// Its name in the configuration.
    pub name: String,
    /// What it can be asked for.
    pub capabilities: Vec<String>,
    /// Whether it can be called now.
    pub health_status: Readiness,
    /// Whether its lists are known, from now or from before.
    pub is_listed: bool,
    /// Why not, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it is left alone yet, in milliseconds, where it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// Its breaker: `closed`, `open`, `half_open`; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    /// Those of its tools that are left alone because they keep failing, by their own names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failing_tools: Vec<String>,
    /// Its calls in flight, where they are bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Occupancy>,
    /// The protocol revision that is spoken with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// The process that it runs in, where that is a child of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<u32>,
    /// How many clients have an instance of their own now; absent where all share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    /// Its name and version in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<RawJson>,
    /// Its tools, by the names that clients see.
    pub tools: Vec<String>,
    /// Its prompts, likewise.
    pub prompts: Vec<String>,
    /// Its resources' URIs.
    pub resources: Vec<String>,
}

/// How full a server is whose calls in flight are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Occupancy {
    /// How many calls it may have at once; moves where the bound is adaptive.
    pub limit: usize,
    /// How many it has.
    pub in_flight: usize,
    /// How many wait for a place.
    pub waiting: usize,
}

/// The state of the whole: the metrics' dashboard and every server's standing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// Operations, servers by their statistics, alerts, the score.
    #[serde(flatten)]
    pub dashboard: Dashboard,
    /// The check against the thresholds.
    pub health: Health,
    /// Every registered server.
    pub upstreams: Vec<ServerReport>,
    /// Every pool; absent where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolReport>,
    /// What is withheld or unusual in the lists.
    pub problems: Vec<String>,
}

fn is_out(state: toolweir_breaker::State) -> bool {
    state.name() != "closed"
}

impl Orchestrator {
    /// The servers that have all of `capabilities`, best first, by their names.
    #[must_use]
    pub fn capable<C: AsRef<str>>(&self, capabilities: &[C]) -> Vec<String> {
        let ids = self.0.router.capable(capabilities);
        let view = self.view();
        ids.into_iter()
            .filter_map(|id: ServerId| Some(view.endpoint(id)?.name.to_string()))
            .collect()
    }

    /// Waits until every server has been tried once, for `patience` at most, and tells how they are.
    pub async fn ready(&self, patience: Duration) -> Vec<ServerReport> {
        let mut untried = self.0.untried.subscribe();
        let _ = tokio::time::timeout(patience, untried.wait_for(|count| *count == 0)).await;
        self.servers()
    }

    /// How every server is, in the order of the configuration.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerReport> {
        let view = self.view();
        view.endpoints.iter().map(|endpoint| server_report(&view.catalogue, endpoint)).collect()
    }

    /// The metrics' dashboard: totals, statistics by server, active alerts, the score.
    #[must_use]
    pub fn dashboard(&self) -> Dashboard {
        self.0.metrics.dashboard()
    }

    /// The check of all operations against the thresholds.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.metrics.health()
    }

    /// Everything at once, as `GET /health` gives it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            dashboard: self.dashboard(),
            health: self.health(),
            upstreams: self.servers(),
            pools: self.pools(),
            problems: self.problems(),
        }
    }

    /// What is withheld or unusual in the lists, for people.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.view().catalogue.problems().to_vec()
    }

    /// The recorder, for more than the dashboard tells.
    #[must_use]
    pub fn metrics(&self) -> &Recorder {
        &self.0.metrics
    }

    /// The router, for its explanations.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.0.router
    }
}

fn server_report(catalogue: &Catalogue, endpoint: &Endpoint) -> ServerReport {
    let names = |kind: Kind| -> Vec<String> {
        let mut names: Vec<String> = catalogue
            .names(kind)
            .filter(|(_, found)| found.servers.contains(&endpoint.id))
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort_unstable();
        names
    };
    let (health_status, reason, info) = match endpoint.status() {
        Status::Starting => (Readiness::Starting, None, None),
        Status::Up(info) => (Readiness::Healthy, None, Some(info)),
        Status::Resting => (Readiness::Resting, None, endpoint.vitals.info()),
        Status::Down(error) => (Readiness::Unhealthy, Some(error.to_string()), None),
    };
    let quarantined = endpoint.server.quarantined();
    let health_status = match quarantined {
        Some(_) if health_status == Readiness::Unhealthy => Readiness::Quarantined,
        _ => health_status,
    };
    ServerReport {
        name: endpoint.name.to_string(),
        capabilities: endpoint.settings.capabilities.clone(),
        health_status,
        is_listed: catalogue.has_lists_of(endpoint.id),
        reason,
        retry_in_ms: quarantined.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        breaker: endpoint.settings.breakers.server.as_ref().map(|breaker| breaker.state().name()),
        failing_tools: endpoint
            .listing
            .load()
            .of(Kind::Tool)
            .iter()
            .filter(|tool| endpoint.settings.breakers.of_tool(&tool.name).is_some_and(is_out))
            .map(|tool| tool.name.to_string())
            .collect(),
        concurrency: endpoint.settings.gate.as_ref().map(|gate| Occupancy {
            limit: gate.limit(),
            in_flight: gate.in_flight(),
            waiting: gate.waiting(),
        }),
        protocol_version: info.as_ref().map(|info| info.protocol_version.to_string()),
        process_id: endpoint.server.process_id(),
        instances: endpoint.settings.isolated.as_ref().map(|isolated| isolated.instances()),
        identity: info.map(|info| info.identity.clone()),
        tools: names(Kind::Tool),
        prompts: names(Kind::Prompt),
        resources: names(Kind::Resource),
    }
}
