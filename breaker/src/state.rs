//! The words for what a breaker is doing, and why.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolweir_core::{Instant, Kind};

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls pass.
    Closed,
    /// Calls are refused until the cooldown is over.
    Open,
    /// A few calls pass, as probes.
    HalfOpen,
}

impl State {
    /// `closed`, `open` or `half_open`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who decides on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The breaker itself.
    Automatic,
    /// An operator: every call is refused.
    ForcedOpen,
    /// An operator: every call passes; results are counted and trip nothing.
    ForcedClosed,
    /// An operator: every call passes and nothing is counted.
    Disabled,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Too many failures in a row.
    Failures,
    /// Too large a share of the window's calls failed.
    FailureRate,
    /// Too large a share of the window's calls was slow.
    SlowRate,
    /// The cooldown is over.
    CooldownOver,
    /// All probes succeeded.
    ProbesSucceeded,
    /// A probe failed or was too slow.
    ProbeFailed,
    /// A probe was answered with a request to pause.
    ProbeThrottled,
    /// A probe was not settled within its time.
    ProbeLost,
    /// An operator said so.
    Forced,
}

/// One change of a breaker's state or mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The mode after.
    pub mode: Mode,
    /// Why.
    pub reason: Reason,
    /// Number of the new generation; verdicts on calls of older ones decide nothing.
    pub generation: u32,
    /// When.
    pub at: Instant,
    /// For how long calls are now refused; zero where they are not.
    pub retry_after: Duration,
}

/// The breaker refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit {state}")]
#[non_exhaustive]
pub struct Refused {
    /// The state in which it did: [`State::Open`], or [`State::HalfOpen`] with all probes under way.
    pub state: State,
    /// When trying again makes sense.
    ///
    /// Open: exactly when the next probe may pass. Half-open: at most a second, as the probes under way decide
    /// sooner or later than anyone can say. Forced open: the configured cooldown.
    pub retry_after: Duration,
}

impl From<Refused> for Kind {
    fn from(refused: Refused) -> Self {
        Self::CircuitOpen { retry_after: refused.retry_after }
    }
}
