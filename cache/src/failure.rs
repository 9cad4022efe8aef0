//! Why there is no value.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use toolweir_core::{Error, Kind, Outcome, Verdict};

/// Why a fetch gave no value; shared by all who waited for it.
///
/// ```
/// use std::io;
/// use toolweir_cache::Failure;
///
/// let failure = Failure::fetch(io::Error::from(io::ErrorKind::TimedOut));
/// assert_eq!(failure.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::TimedOut));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The fetch returned an error.
    #[error("fetch failed")]
    Fetch(#[source] Arc<dyn StdError + Send + Sync>),
    /// The fetch panicked.
    #[error("fetch panicked")]
    Panicked,
    /// As many callers as may wait for one fetch already do.
    #[error("too many callers wait for one fetch")]
    Overloaded,
}

/// What a failure says of the value that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nature {
    /// The source could not be asked, or is not well: an old value may stand in, where that is configured.
    Outage,
    /// The source answered, and will answer the same again: may be remembered, where that is configured.
    Lasting,
    /// The caller may not have the value: what is stored of it is dropped, and no old value stands in.
    Forbidden,
}

impl Failure {
    /// The failure of a fetch that returned `error`.
    #[must_use]
    pub fn fetch(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Fetch(Arc::from(error.into()))
    }

    /// The fetch's own error, where it is of this type.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Self::Fetch(error) => error.downcast_ref(),
            Self::Panicked | Self::Overloaded => None,
        }
    }

    /// What the failure says, judged by toolweir's own error and the standard library's I/O error; any other
    /// error is taken for an outage.
    #[must_use]
    pub fn nature(&self) -> Nature {
        if let Some(error) = self.downcast_ref::<Error>() {
            return nature_of(error);
        }
        match self.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => Nature::Forbidden,
            Some(io::ErrorKind::NotFound) => Nature::Lasting,
            _ => Nature::Outage,
        }
    }
}

fn nature_of(error: &Error) -> Nature {
    match error.kind() {
        Kind::Status { status: 401 | 403 | 407 } => Nature::Forbidden,
        Kind::NotFound | Kind::InvalidRequest => Nature::Lasting,
        Kind::Status { status: 404 | 410 } => Nature::Lasting,
        Kind::Status { .. } => Nature::Outage,
        Kind::Protocol { .. } => match Outcome::of(&Err(error.clone())).verdict() {
            Verdict::Failure => Nature::Outage,
            Verdict::Success | Verdict::Neutral => Nature::Lasting,
        },
        _ => Nature::Outage,
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        if let Some(error) = failure.downcast_ref::<Self>() {
            return error.clone();
        }
        match failure {
            Failure::Overloaded => Self::new(Kind::Overloaded),
            Failure::Panicked => Self::new(Kind::Internal).message("a fetch panicked"),
            Failure::Fetch(_) => Self::new(Kind::Internal).caused_by(failure),
        }
    }
}
