//! Why no server is found.

use std::fmt;

use toolweir_core::{Error, Kind};

/// Names listed in a message; what is beyond is counted.
const LISTED_MAX: usize = 16;

/// Writes names separated by commas, or `none`.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, name) in self.0.iter().take(LISTED_MAX).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        match self.0.len().saturating_sub(LISTED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// No route has this request type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown request type {request_type:?} (known: {})", List(.known))]
#[non_exhaustive]
pub struct UnknownRoute {
    /// The type.
    pub request_type: String,
    /// The types that have a route, sorted.
    pub known: Vec<String>,
}

/// No server has all the capabilities that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoCapableServer {
    /// What is needed.
    pub required: Vec<String>,
    /// What of it no server has; empty where only the combination is missing.
    pub missing: Vec<String>,
    /// What the servers have, sorted.
    pub available: Vec<String>,
}

impl fmt::Display for NoCapableServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.required.is_empty() {
            return f.write_str("there is no server");
        }
        if self.missing.is_empty() {
            write!(f, "no one server has all of: {}", List(&self.required))?;
        } else {
            write!(f, "no server has: {}", List(&self.missing))?;
        }
        write!(f, " (available: {})", List(&self.available))
    }
}

impl std::error::Error for NoCapableServer {}

/// Why a request cannot be routed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Its type has no route.
    #[error(transparent)]
    Unknown(#[from] UnknownRoute),
    /// No server can answer it.
    #[error(transparent)]
    NoServer(#[from] NoCapableServer),
}

impl From<UnknownRoute> for Error {
    fn from(error: UnknownRoute) -> Self {
        Self::new(Kind::NotFound).message(error.to_string())
    }
}

impl From<NoCapableServer> for Error {
    fn from(error: NoCapableServer) -> Self {
        Self::new(Kind::NoServer).message(error.to_string())
    }
}

impl From<RouteError> for Error {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Unknown(error) => error.into(),
            RouteError::NoServer(error) => error.into(),
        }
    }
}
