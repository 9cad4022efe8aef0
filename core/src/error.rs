//! The one error of the call path.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::RawJson;

/// What went wrong, small enough to copy; branch on this, never on text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// The breaker is open: the server failed too often.
    #[error("circuit open")]
    CircuitOpen {
        /// When the next attempt may be made.
        retry_after: Duration,
    },
    /// A rate limit of ours, for a server as a whole, is reached.
    #[error("rate limit reached")]
    RateLimited {
        /// When the call would be admitted.
        retry_after: Duration,
    },
    /// A rate limit of ours for one tool is reached; other tools of the server may be called.
    #[error("rate limit of the tool reached")]
    ToolRateLimited {
        /// When the call would be admitted.
        retry_after: Duration,
    },
    /// A rate limit of ours for one user is reached; others are not limited by it.
    #[error("rate limit of the user reached")]
    UserRateLimited {
        /// When the call would be admitted.
        retry_after: Duration,
    },
    /// A queue or table of ours is full.
    #[error("too many calls at once")]
    Overloaded,
    /// No server offers what the call needs.
    #[error("no server can answer this")]
    NoServer,
    /// The tool, prompt, resource or method is not known.
    #[error("not known")]
    NotFound,
    /// The request itself is wrong.
    #[error("invalid request")]
    InvalidRequest,
    /// The server could not be reached, started or initialized.
    #[error("server unreachable")]
    Unreachable,
    /// The connection ended before the answer.
    #[error("connection ended before the reply")]
    Disconnected,
    /// The deadline passed before the answer.
    #[error("no reply before the deadline")]
    Timeout,
    /// The server's answer breaks the protocol.
    #[error("invalid reply")]
    InvalidReply,
    /// A message is larger than its cap.
    #[error("message too large")]
    TooLarge,
    /// The server asked for a pause.
    #[error("server asks for a pause")]
    Throttled {
        /// How long, where it said so.
        retry_after: Option<Duration>,
    },
    /// The server answered with a JSON-RPC error.
    #[error("server answered with error {code}")]
    Protocol {
        /// Its code.
        code: i64,
    },
    /// The server answered with an HTTP status and no JSON-RPC message.
    #[error("server answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The caller cancelled the call.
    #[error("cancelled")]
    Cancelled,
    /// This side is shutting down.
    #[error("shutting down")]
    Closed,
    /// Something that should not happen: a panic in a user-supplied part, a broken invariant.
    #[error("internal error")]
    Internal,
}

impl Kind {
    /// A short stable name, for labels and machine-readable errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CircuitOpen { .. } => "circuit_open",
            Self::RateLimited { .. } => "rate_limited",
            Self::ToolRateLimited { .. } => "tool_rate_limited",
            Self::UserRateLimited { .. } => "user_rate_limited",
            Self::Overloaded => "overloaded",
            Self::NoServer => "no_server",
            Self::NotFound => "not_found",
            Self::InvalidRequest => "invalid_request",
            Self::Unreachable => "unreachable",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::InvalidReply => "invalid_reply",
            Self::TooLarge => "too_large",
            Self::Throttled { .. } => "throttled",
            Self::Protocol { .. } => "protocol_error",
            Self::Status { .. } => "http_status",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }

    /// When trying again makes sense, where that is known.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { retry_after }
            | Self::RateLimited { retry_after }
            | Self::ToolRateLimited { retry_after }
            | Self::UserRateLimited { retry_after } => Some(retry_after),
            Self::Throttled { retry_after } => retry_after,
            _ => None,
        }
    }

    /// Whether a rate limit of ours refused: of a server, a tool or a user.
    #[must_use]
    pub fn is_rate_limit(self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. } | Self::ToolRateLimited { .. } | Self::UserRateLimited { .. }
        )
    }

    /// Whether this side refused, so that nothing can be concluded about the server.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::CircuitOpen { .. }
                | Self::RateLimited { .. }
                | Self::ToolRateLimited { .. }
                | Self::UserRateLimited { .. }
                | Self::Overloaded
                | Self::NoServer
                | Self::NotFound
                | Self::InvalidRequest
                | Self::TooLarge
                | Self::Cancelled
                | Self::Closed
                | Self::Internal
        )
    }

    fn usual_delivery(self) -> Delivery {
        match self {
            Self::Throttled { .. } | Self::Protocol { .. } | Self::Status { .. } => {
                Delivery::Answered
            }
            Self::Disconnected
            | Self::Timeout
            | Self::InvalidReply
            | Self::Cancelled
            | Self::Internal => Delivery::Ambiguous,
            _ => Delivery::Unsent,
        }
    }
}

/// How far a failed call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing left for the server.
    Unsent,
    /// It was sent, or may have been.
    Ambiguous,
    /// The server answered.
    Answered,
}

/// Why a call failed.
///
/// Cheap to clone, so that callers who share one fetch can share its failure.
///
/// ```
/// use toolweir_core::{Error, Kind};
///
/// let error = Error::new(Kind::Unreachable).server("github").message("exit status 127");
/// assert!(error.is_unsent());
/// assert_eq!(error.to_string(), "github: server unreachable: exit status 127");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    delivery: Delivery,
    server: Option<Arc<str>>,
    message: Option<Cow<'static, str>>,
    rpc: Option<RawJson>,
    alternatives: Option<Arc<[Arc<str>]>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, with the delivery that is usual for it.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self(Arc::new(Inner {
            kind,
            delivery: kind.usual_delivery(),
            server: None,
            message: None,
            rpc: None,
            alternatives: None,
            source: None,
        }))
    }

    /// A server's own JSON-RPC error; `object` is the whole error object, kept byte for byte.
    #[must_use]
    pub fn protocol(code: i64, object: RawJson) -> Self {
        let mut error = Self::new(Kind::Protocol { code });
        error.inner().rpc = Some(object);
        error
    }

    /// The same error with the JSON-RPC error object that the server sent along, kept byte for byte.
    #[must_use]
    pub fn answered_with(mut self, object: RawJson) -> Self {
        self.inner().rpc = Some(object);
        self
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    /// The same error, saying which server it concerns.
    #[must_use]
    pub fn server(mut self, server: impl Into<Arc<str>>) -> Self {
        self.inner().server = Some(server.into());
        self
    }

    /// The same error with details for people.
    #[must_use]
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.inner().message = Some(message.into());
        self
    }

    /// The same error, naming what may be called instead.
    ///
    /// ```
    /// use std::time::Duration;
    /// use toolweir_core::{Error, Kind};
    ///
    /// let error = Error::new(Kind::RateLimited { retry_after: Duration::from_secs(2) });
    /// let error = error.server("brave").instead(["search__web"]);
    /// assert_eq!(&*error.alternatives()[0], "search__web");
    /// ```
    #[must_use]
    pub fn instead(mut self, names: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let names: Arc<[Arc<str>]> = names.into_iter().map(Into::into).collect();
        self.inner().alternatives = (!names.is_empty()).then_some(names);
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.inner().source = Some(Arc::new(source));
        self
    }

    /// The same error, known to have left nothing for the server.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.inner().delivery = Delivery::Unsent;
        self
    }

    /// The same error of a call that was sent, or may have been.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        self.inner().delivery = Delivery::Ambiguous;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// How far the call came.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// Whether certainly nothing left for the server, so that any call may be sent elsewhere.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.0.delivery == Delivery::Unsent
    }

    /// The server that it concerns.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// Details for people, where there are any.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// What may be called instead, by the names that callers use; none where nothing is known of such.
    #[must_use]
    pub fn alternatives(&self) -> &[Arc<str>] {
        self.0.alternatives.as_deref().unwrap_or_default()
    }

    /// The server's own JSON-RPC error object, byte for byte.
    #[must_use]
    pub fn rpc(&self) -> Option<&RawJson> {
        self.0.rpc.as_ref()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.0.server {
            write!(f, "{server}: ")?;
        }
        write!(f, "{}", self.0.kind)?;
        if let Some(message) = &self.0.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("delivery", &self.0.delivery)
            .field("server", &self.0.server)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
