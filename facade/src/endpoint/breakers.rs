//! The breakers on a call's way: its host's, its server's, its tool's.
//!
//! One broken tool leaves the rest of its server in use, and where a host is gone, all servers on it are. What a
//! failure tells, and of whom:
//!
//! | failure | of the tool | of the server | of the host |
//! |---|---|---|---|
//! | no answer in time, an answer that breaks the protocol, -32603 | yes | yes, unless the tool is known to fail | no |
//! | the connection ended, 5xx | no | yes | no |
//! | it cannot be reached | no | yes | where nothing answers at its address |

use std::io::{self, ErrorKind};
use std::sync::Arc;

use toolweir_breaker::{Breaker, Breakers as Keyed, OwnedPermit, State};
use toolweir_core::{Answer, Call, Error, Instant, Kind, Method, Outcome, Permit, TokioClock};

type One = Breaker<TokioClock>;

/// JSON-RPC's code for an internal error of the server.
const INTERNAL_ERROR: i64 = -32603;

/// A server's breakers; what it does without is `None`.
#[derive(Default)]
pub(crate) struct Breakers {
    /// Shared with the other servers on the same host.
    pub(crate) host: Option<Arc<One>>,
    pub(crate) server: Option<One>,
    /// By the server's own names of its tools.
    pub(crate) tools: Option<Keyed<Arc<str>, TokioClock>>,
}

impl Breakers {
    /// Lets a call pass all of its breakers, or none.
    pub(super) fn admit(&self, call: &Call, now: Instant) -> Result<Admitted<'_>, Error> {
        let pass = |breaker| Permit::acquire(breaker, call, now);
        let host = self.host.as_deref().map(pass).transpose().map_err(|kind| {
            Error::new(kind).message("nothing on its host could be reached for several calls")
        })?;
        let server = self.server.as_ref().map(pass).transpose()?;
        let tool = match self.tool(call) {
            Some(breaker) => {
                let permit = breaker.try_acquire_owned_at(now).map_err(|refused| {
                    let name = call.target.as_deref().unwrap_or_default();
                    Error::new(refused.into()).message(format!("the tool `{name}` keeps failing"))
                })?;
                Some((breaker, permit))
            }
            None => None,
        };
        let is_on_trial = [self.host.as_deref(), self.server.as_ref()]
            .into_iter()
            .flatten()
            .any(|breaker| breaker.state() == State::HalfOpen);
        Ok(Admitted { host, server, tool, is_on_trial })
    }

    fn tool(&self, call: &Call) -> Option<Arc<One>> {
        let tool = call.target.as_ref().filter(|_| call.method == Method::TOOLS_CALL)?;
        Some(self.tools.as_ref()?.get(tool))
    }

    /// What the breaker of one tool does, by the server's own name; `None` where nothing is known of it.
    pub(crate) fn of_tool(&self, name: &Arc<str>) -> Option<State> {
        Some(self.tools.as_ref()?.peek(name)?.state())
    }
}

/// A call's permits; dropped, they say nothing, and a probe's place is free again.
pub(super) struct Admitted<'a> {
    host: Option<Permit<'a, One>>,
    server: Option<Permit<'a, One>>,
    tool: Option<(Arc<One>, OwnedPermit<TokioClock>)>,
    /// The call decides whether its server, or host, is in use again.
    pub(super) is_on_trial: bool,
}

impl Admitted<'_> {
    /// Tells each breaker what concerns it.
    pub(super) fn settle(self, outcome: &Outcome, error: Option<&Error>, now: Instant) {
        let whose = Whose::of(outcome, error);
        let told = |concerned: bool| if concerned { outcome } else { &Outcome::Abandoned };
        let mut is_news = true;
        if let Some((breaker, permit)) = self.tool {
            is_news = whose != Whose::Tool || breaker.state() == State::Closed;
            permit.settle_at(told(matches!(whose, Whose::Tool | Whose::Nobody)), now);
        }
        if let Some(permit) = self.server {
            permit.settle(told(is_news), now);
        }
        if let Some(permit) = self.host {
            permit.settle(told(matches!(whose, Whose::Host | Whose::Nobody)), now);
        }
    }
}

/// Whose failure an outcome is, at the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// None, or nothing is known.
    Nobody,
    Tool,
    Server,
    Host,
}

impl Whose {
    fn of(outcome: &Outcome, error: Option<&Error>) -> Self {
        match outcome {
            Outcome::Ambiguous(Kind::Timeout | Kind::InvalidReply)
            | Outcome::Answered(Answer::Protocol(INTERNAL_ERROR)) => Self::Tool,
            Outcome::NotSent(_) if error.is_some_and(is_nothing_there) => Self::Host,
            Outcome::Answered(Answer::Status(500..))
            | Outcome::NotSent(_)
            | Outcome::Ambiguous(_) => Self::Server,
            _ => Self::Nobody,
        }
    }
}

/// Whether the operating system said that nothing answers at the address: what is behind another path there is as far away.
fn is_nothing_there(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::TimedOut
            );
        }
        cause = error.source();
    }
    false
}
