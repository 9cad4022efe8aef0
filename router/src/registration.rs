//! A server as it is registered.

use std::sync::Arc;

/// A server's name, what it can do, its share of the work, and where it stands.
///
/// ```
/// use toolweir_router::Registration;
///
/// let server = Registration::new("github-eu").capabilities(["github"]).weight(2.0).priority(1);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Registration {
    pub(crate) name: Arc<str>,
    pub(crate) capabilities: Vec<Arc<str>>,
    pub(crate) weight: f32,
    pub(crate) priority: u8,
    pub(crate) zone: Option<Arc<str>>,
}

impl Registration {
    /// A server of this name that can do nothing yet; weight 1, priority 0, in no zone.
    ///
    /// The name is for people and for sticky keys. Two servers of one name are two servers.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), capabilities: Vec::new(), weight: 1.0, priority: 0, zone: None }
    }

    /// The same server with these capabilities, in place of any before.
    pub fn capabilities<C: Into<Arc<str>>>(
        mut self,
        capabilities: impl IntoIterator<Item = C>,
    ) -> Self {
        self.capabilities = sorted(capabilities);
        self
    }

    /// The same server, taking `weight` times the work of one with weight 1. Kept between 0.001 and 1000; not a
    /// number counts as 1.
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = if weight.is_nan() { 1.0 } else { weight.clamp(0.001, 1000.0) };
        self
    }

    /// The same server, used only while no healthy server of a lower number can answer.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// The same server, in this zone (see [`Config::zone`](crate::Config::zone)). A server without one is everywhere: as
    /// near as those of the own zone.
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }
}

pub(crate) fn sorted<C: Into<Arc<str>>>(
    capabilities: impl IntoIterator<Item = C>,
) -> Vec<Arc<str>> {
    let mut capabilities: Vec<Arc<str>> = capabilities.into_iter().map(Into::into).collect();
    capabilities.sort();
    capabilities.dedup();
    capabilities
}
