//! Another configuration takes effect while calls run.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use serde::Serialize;
use toolweir_core::Store;

use super::step::Step;
use super::{BuildError, Builder, Orchestrator};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::handlers::Handlers;

/// What a reload did with the servers, by their names in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// New ones.
    pub started: Vec<String>,
    /// Reached in another way than before: the old one ends once its calls have.
    pub restarted: Vec<String>,
    /// Reached as before, under other terms: limits, times, names. Their processes stay.
    pub adjusted: Vec<String>,
    /// Gone: they end once their calls have.
    pub ended: Vec<String>,
    /// Pools that are new, changed or gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Rules of alerts that are new, changed or gone: what those had raised is over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// How many servers are exactly as they were.
    pub kept: usize,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            ("started", &self.started),
            ("restarted", &self.restarted),
            ("adjusted", &self.adjusted),
            ("ended", &self.ended),
            ("changed the pools", &self.pools),
            ("changed the rules", &self.rules),
        ];
        for (what, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{what} {}; ", names.join(", "))?;
        }
        write!(f, "{} unchanged", self.kept)
    }
}

/// How often a configuration took effect, or could not.
#[derive(Debug, Default)]
pub(super) struct Counts {
    applied: AtomicU64,
    refused: AtomicU64,
}

impl Orchestrator {
    /// Takes another configuration while calls run: servers of which nothing changed keep their process, breaker,
    /// limit and lists; others start, restart or end, and clients hear which lists changed. A call goes on with the
    /// servers that it began with, and these end when it has.
    ///
    /// Servers, their terms, pools, routes, handlers and rules of alerts take effect. Where this listens, tokens, the other
    /// thresholds of alerts and the size of the cache do not: see [`Config::fixed`](crate::config::Config::fixed). `connectTimeoutMs` holds for servers that
    /// start from then on.
    ///
    /// # Errors
    /// As [`Builder::start`], and where the orchestrator has been shut down. Then nothing changes.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub fn reload(&self, config: &Config) -> Result<Reloaded, BuildError> {
        let builder = Builder::from_config(config).inspect_err(|_| self.reload_refused())?;
        self.counted(self.take(builder, true))
    }

    /// [`reload`](Self::reload) for an orchestrator that was put together in code. A member given with the same
    /// server (the same [`Arc`]) as before is reached as before. Observers, metrics and the cache stay as they are.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub fn reload_with(&self, builder: Builder) -> Result<Reloaded, BuildError> {
        self.counted(self.take(builder, false))
    }

    fn counted(&self, result: Result<Reloaded, BuildError>) -> Result<Reloaded, BuildError> {
        match &result {
            Ok(_) => drop(self.0.reloads.applied.fetch_add(1, Ordering::Relaxed)),
            Err(_) => self.reload_refused(),
        }
        result
    }

    /// Counts a configuration that could not be read, for `toolweir_config_reloads_total`.
    pub fn reload_refused(&self) {
        self.0.reloads.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How often another configuration took effect, and how often it could not.
    #[must_use]
    pub fn reloads(&self) -> (u64, u64) {
        let counts = &self.0.reloads;
        (counts.applied.load(Ordering::Relaxed), counts.refused.load(Ordering::Relaxed))
    }

    /// Takes another configuration; its rules of alerts, too, where it `has_rules`.
    fn take(&self, mut builder: Builder, has_rules: bool) -> Result<Reloaded, BuildError> {
        let _one = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.stop.is_cancelled() {
            return Err(BuildError::Stopped);
        }
        let view = self.0.view.load_full();
        builder.watchdog.clone_from(&self.0.watchdog);
        builder.state_dir.clone_from(&self.0.state_dir);
        let steps = builder.prepare(&view.endpoints)?;
        let metrics = builder.metrics;
        metrics.validate().map_err(super::builder::setting("toolweir", "metrics"))?;
        let routes = self.0.router.set_routes(builder.router);
        routes.map_err(super::builder::setting("toolweir", "router"))?;

        // From here on nothing fails.
        let mut done = Reloaded::default();
        let mut retired: Vec<(Arc<Endpoint>, bool)> = Vec::new();
        let mut fresh: Vec<(Arc<Endpoint>, bool)> = Vec::new();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(steps.len());
        for step in steps {
            let mut renews = false;
            let is_kept = match &step {
                Step::Keep(_) => {
                    done.kept += 1;
                    true
                }
                Step::Make(made) => {
                    let group = match (&made.old, made.is_same) {
                        (None, _) => &mut done.started,
                        (Some(_), true) => &mut done.adjusted,
                        (Some(_), false) => &mut done.restarted,
                    };
                    group.push(made.name().to_owned());
                    renews = made.old.is_some() && !made.is_same;
                    retired.extend(made.old.clone().map(|old| (old, renews)));
                    false
                }
            };
            let endpoint = step.endpoint(&self.0.router, &self.0.observers);
            if !is_kept {
                fresh.push((endpoint.clone(), renews));
            }
            endpoints.push(endpoint);
        }
        done.pools = changed(&view.pools, &builder.pools, |pool| pool.name.to_string());
        if has_rules {
            let (old, new) = (self.0.metrics.rules(), metrics.alerts.rules);
            done.rules = changed(&old, &new, |rule| rule.name.clone());
            let taken = self.0.metrics.set_rules(new);
            debug_assert!(taken.is_ok(), "they were validated");
        }
        for old in &*view.endpoints {
            if !endpoints.iter().any(|endpoint| endpoint.name == old.name) {
                done.ended.push(old.name.to_string());
                self.0.router.remove(old.id);
                retired.push((old.clone(), true));
            }
        }
        drop(view);
        let handlers = builder.handlers.unwrap_or_else(Handlers::builtin);
        let connect_timeout = builder.connect_timeout.unwrap_or(super::builder::CONNECT_TIMEOUT);
        self.0.replace(endpoints.into(), builder.pools.into(), handlers, connect_timeout);
        for (old, ends) in retired {
            self.0.store.invalidate(&old.name);
            self.retire(old, ends);
        }
        for (endpoint, renews) in fresh {
            self.look_after(&endpoint, renews);
        }
        Ok(done)
    }
}

/// The names of those that are not the same in both.
fn changed<T: PartialEq>(old: &[T], new: &[T], name: fn(&T) -> String) -> Vec<String> {
    let gone = old.iter().filter(|one| !new.iter().any(|other| name(other) == name(one)));
    let other = new.iter().filter(|one| !old.contains(one));
    other.chain(gone).map(name).collect()
}
