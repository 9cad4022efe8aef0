//! The numbers that servers are judged by.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Routes;

/// How a [`Router`](crate::Router) judges its servers.
///
/// ```
/// use std::time::Duration;
/// use toolweir_router::Config;
///
/// let config = Config::default().tolerated_errors(5).pause(Duration::from_secs(1));
/// # assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Config {
    /// Consecutive errors that a server may make and stay healthy; one more and it is unhealthy. Default 3.
    pub tolerated_errors: u32,
    /// How long an unhealthy server is left alone before one call tries it again. Doubled after each failed
    /// trial. Default 5 s (`pauseMs`).
    #[serde(rename = "pauseMs", with = "millis")]
    pub pause: Duration,
    /// The longest pause. Default 60 s (`pauseMaxMs`).
    #[serde(rename = "pauseMaxMs", with = "millis")]
    pub pause_max: Duration,
    /// The time in which an old latency, or an old failure, loses half its say. Default 2 s (`halfLifeMs`).
    #[serde(rename = "halfLifeMs", with = "millis")]
    pub half_life: Duration,
    /// The latency that a failure counts as, at least; where the call's own deadline is longer, that counts.
    /// Default 5 s (`failurePenaltyMs`).
    #[serde(rename = "failurePenaltyMs", with = "millis")]
    pub failure_penalty: Duration,
    /// The share of all servers that errors may make unhealthy at the same time, in percent; what a probe
    /// reports is believed whatever the share.
    ///
    /// Default 100. Where a balancer leaves out what it ejects it needs a lower share, such as Envoy's 10, to be left with
    /// somebody. Here an unhealthy server is last in line, never out of it: where all are, they are ranked among each
    /// other as if none was. The share is one of all servers, and theirs are pools of two or three with different
    /// capabilities, so that 10 % would be none of them.
    pub max_ejected_percent: u8,
    /// How long a server that comes back, or comes to others that are in use, takes to get its whole share of the work: it
    /// begins with a tenth, which grows with the time since its first answer. Default 10 s (`slowStartMs`); 0 gives it
    /// the whole share at once.
    #[serde(rename = "slowStartMs", with = "millis")]
    pub slow_start: Duration,
    /// The zone of whoever asks: servers of another come behind those of this one. Default: none, and zones count
    /// for nothing.
    pub zone: Option<String>,
    /// A server of the own zone is preferred for as long as its latency, times the calls it would have, is no longer
    /// than this; where it is, all zones are alike. Default 1 s (`zoneSpillMs`).
    #[serde(rename = "zoneSpillMs", with = "millis")]
    pub zone_spill: Duration,
    /// Where given, one thread's choices can be replayed. Default: none.
    pub seed: Option<u64>,
    /// Which capabilities a type of request needs. Default: [`Routes::default`].
    pub routes: Routes,
    /// The capability that a request of unknown type needs. Default: none, so that such a request is refused.
    pub default_capability: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tolerated_errors: 3,
            pause: Duration::from_secs(5),
            pause_max: Duration::from_secs(60),
            half_life: Duration::from_secs(2),
            failure_penalty: Duration::from_secs(5),
            max_ejected_percent: 100,
            slow_start: Duration::from_secs(10),
            zone: None,
            zone_spill: Duration::from_secs(1),
            seed: None,
            routes: Routes::default(),
            default_capability: None,
        }
    }
}

impl Config {
    /// The same with this many tolerated consecutive errors.
    #[must_use]
    pub fn tolerated_errors(mut self, tolerated_errors: u32) -> Self {
        self.tolerated_errors = tolerated_errors;
        self
    }

    /// The same with this first pause.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The same with this longest pause.
    #[must_use]
    pub fn pause_max(mut self, pause_max: Duration) -> Self {
        self.pause_max = pause_max;
        self
    }

    /// The same with this half-life.
    #[must_use]
    pub fn half_life(mut self, half_life: Duration) -> Self {
        self.half_life = half_life;
        self
    }

    /// The same with this penalty for a failure.
    #[must_use]
    pub fn failure_penalty(mut self, failure_penalty: Duration) -> Self {
        self.failure_penalty = failure_penalty;
        self
    }

    /// The same with this share, in percent, that errors may make unhealthy.
    #[must_use]
    pub fn max_ejected_percent(mut self, max_ejected_percent: u8) -> Self {
        self.max_ejected_percent = max_ejected_percent;
        self
    }

    /// The same with so long a slow start; zero for none.
    #[must_use]
    pub fn slow_start(mut self, slow_start: Duration) -> Self {
        self.slow_start = slow_start;
        self
    }

    /// The same, asking from this zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The same, turning to other zones where the own one would take longer than this.
    #[must_use]
    pub fn zone_spill(mut self, zone_spill: Duration) -> Self {
        self.zone_spill = zone_spill;
        self
    }

    /// The same with choices that can be replayed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The same with these routes.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = routes;
        self
    }

    /// The same, sending requests of unknown type to servers with this capability.
    #[must_use]
    pub fn default_capability(mut self, capability: impl Into<String>) -> Self {
        self.default_capability = Some(capability.into());
        self
    }

    /// Looks whether the numbers make sense; [`Router::new`](crate::Router::new) does so too.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        const SHORTEST: Duration = Duration::from_millis(1);
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        for (field, value) in [
            ("pauseMs", self.pause),
            ("pauseMaxMs", self.pause_max),
            ("halfLifeMs", self.half_life),
            ("failurePenaltyMs", self.failure_penalty),
            ("zoneSpillMs", self.zone_spill),
        ] {
            if value < SHORTEST || value > LONGEST {
                return Err(InvalidConfig::new(field, "must be from 1 to 86400000"));
            }
        }
        if self.pause_max < self.pause {
            return Err(InvalidConfig::new("pauseMaxMs", "must not be less than pauseMs"));
        }
        if self.max_ejected_percent > 100 {
            return Err(InvalidConfig::new("maxEjectedPercent", "must be from 0 to 100"));
        }
        if self.slow_start > LONGEST {
            return Err(InvalidConfig::new("slowStartMs", "must be from 0 to 86400000"));
        }
        if self.zone.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidConfig::new("zone", "must not be empty"));
        }
        if self.default_capability.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidConfig::new("defaultCapability", "must not be empty"));
        }
        self.routes.validate().map_err(|(request_type, problem)| {
            InvalidConfig::new(format!("routes.{request_type}"), problem)
        })
    }
}

/// A field of a [`Config`] that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    field: String,
    problem: &'static str,
}

impl InvalidConfig {
    fn new(field: impl Into<String>, problem: &'static str) -> Self {
        Self { field: field.into(), problem }
    }

    /// The field, as the configuration file names it.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidConfig {}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
