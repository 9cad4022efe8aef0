//! Why a call may not go now.

use std::time::Duration;

use toolweir_core::Kind;

/// Why a call may not go now, and when it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bucket is empty.
    #[error("rate limit reached")]
    Limited {
        /// After exactly this time the call would be admitted, if no other comes first.
        retry_after: Duration,
    },
    /// The turn would come after the deadline or after the longest wait, so waiting is no use.
    #[error("the turn would come too late")]
    TooLate {
        /// When the turn would come.
        retry_after: Duration,
    },
    /// As many callers wait as may.
    #[error("too many callers wait for a turn")]
    QueueFull {
        /// When the turn would come.
        retry_after: Duration,
    },
    /// As many calls run as may, and there is no room to wait or the wait was too long.
    #[error("too many calls at once")]
    Busy {
        /// When a place may be free: an estimate from how long places were held lately, not a promise. `None` before
        /// the first was freed.
        retry_after: Option<Duration>,
    },
    /// The call costs more than the bucket ever holds, so it can never be admitted.
    #[error("costs more than the burst of {burst}")]
    TooCostly {
        /// The most that one call may cost.
        burst: u32,
    },
}

impl Refusal {
    /// How long it lasts; what never ends is the longest.
    pub(crate) fn lasts(&self) -> Duration {
        self.retry_after().unwrap_or(Duration::MAX)
    }

    /// When trying again makes sense: exactly, but for [`Busy`](Self::Busy), where it is an estimate; `None` where that is
    /// not known, or never.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::Limited { retry_after }
            | Self::TooLate { retry_after }
            | Self::QueueFull { retry_after } => Some(retry_after),
            Self::Busy { retry_after } => retry_after,
            Self::TooCostly { .. } => None,
        }
    }
}

/// What the call path makes of it.
impl From<Refusal> for Kind {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Limited { retry_after }
            | Refusal::TooLate { retry_after }
            | Refusal::QueueFull { retry_after } => Self::RateLimited { retry_after },
            Refusal::Busy { .. } => Self::Overloaded,
            Refusal::TooCostly { .. } => Self::InvalidRequest,
        }
    }
}
