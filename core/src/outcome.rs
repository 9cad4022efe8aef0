//! How a call ended, as far as it concerns the server.

use std::time::Duration;

use crate::{Delivery, Error, Kind, Reply};

/// How a call ended, told apart by what the server may have done.
///
/// Retry, failover, breaker, health and metrics all decide from it. Two distinctions matter: a completed
/// round trip proves that the server is reachable, whatever it said; and only what was certainly not
/// sent may be given to another server when the call has side effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing left for the server.
    NotSent(Kind),
    /// It was sent, or may have been, and no answer came.
    Ambiguous(Kind),
    /// The server answered.
    Answered(Answer),
    /// The server asked for a pause (429, 503, an overload error).
    Throttled {
        /// How long, where it said so.
        retry_after: Option<Duration>,
    },
    /// The caller left before the answer.
    Abandoned,
}

/// What a server answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A result.
    Ok,
    /// A result that says that the tool failed (`isError`).
    ToolError,
    /// A JSON-RPC error of this code.
    Protocol(i64),
    /// An HTTP status that carried no JSON-RPC answer.
    Status(u16),
}

/// What an outcome says of the server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there and works.
    Success,
    /// It failed.
    Failure,
    /// Nothing can be concluded.
    Neutral,
}

/// JSON-RPC's code for an internal error of the server.
const INTERNAL_ERROR: i64 = -32603;

impl Outcome {
    /// A plain success.
    pub const OK: Self = Self::Answered(Answer::Ok);

    /// How a call ended that returned `result`.
    #[must_use]
    pub fn of(result: &Result<Reply, Error>) -> Self {
        match result {
            Ok(reply) if reply.is_error => Self::Answered(Answer::ToolError),
            Ok(_) => Self::OK,
            Err(error) => match (error.kind(), error.delivery()) {
                (Kind::Cancelled, _) => Self::Abandoned,
                (Kind::Throttled { retry_after }, _) => Self::Throttled { retry_after },
                (Kind::Protocol { code }, _) => Self::Answered(Answer::Protocol(code)),
                (Kind::Status { status }, _) => Self::Answered(Answer::Status(status)),
                (kind, Delivery::Unsent) => Self::NotSent(kind),
                (kind, Delivery::Ambiguous | Delivery::Answered) => Self::Ambiguous(kind),
            },
        }
    }

    /// What this says of the server's health.
    ///
    /// `isError`, `input_required` and protocol errors other than -32603 are answers, so the server is well;
    /// transport errors, deadlines, 5xx and -32603 are failures; a throttled call, a call that its caller
    /// left, a refusal of our credentials (401, 403, 407), our own refusals and our own closing say nothing.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Answered(Answer::Protocol(INTERNAL_ERROR) | Answer::Status(500..)) => {
                Verdict::Failure
            }
            Self::Answered(Answer::Status(401 | 403 | 407)) | Self::Ambiguous(Kind::Closed) => {
                Verdict::Neutral
            }
            Self::Answered(_) => Verdict::Success,
            Self::Ambiguous(_) => Verdict::Failure,
            Self::NotSent(kind) if kind.is_refusal() => Verdict::Neutral,
            Self::NotSent(_) => Verdict::Failure,
            Self::Throttled { .. } | Self::Abandoned => Verdict::Neutral,
        }
    }

    /// Whether the call did for its caller what it should: a result that is no error.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Answered(Answer::Ok))
    }

    /// A short name for labels: `ok`, `tool_error`, `protocol_error`, `http_status`, `throttled`, `abandoned`,
    /// or the name of the [`Kind`].
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Answered(Answer::Ok) => "ok",
            Self::Answered(Answer::ToolError) => "tool_error",
            Self::Answered(Answer::Protocol(_)) => "protocol_error",
            Self::Answered(Answer::Status(_)) => "http_status",
            Self::Throttled { .. } => "throttled",
            Self::Abandoned => "abandoned",
            Self::NotSent(kind) | Self::Ambiguous(kind) => kind.name(),
        }
    }
}
