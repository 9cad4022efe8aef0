//! One call, and the servers that it is tried at.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    Call, Clock, Error, Freshness, Instant, Kind, Method, RawJson, Reply, TokioClock,
};

use super::Orchestrator;
use super::homes::noted;
use super::supervise::jittered;
use crate::endpoint::Endpoint;
use crate::policy;

/// How long to wait before a server is asked again; twice as long each further time.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest wait before a server is asked again, and the longest pause of its own asking that is waited for.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The servers that a call is tried at.
pub(super) struct Route {
    /// The best first.
    pub(super) servers: Vec<Arc<Endpoint>>,
    /// When the caller stops waiting.
    pub(super) deadline: Option<Instant>,
    pub(super) bound: Bound,
}

impl Route {
    /// Servers that are each other's equals.
    pub(super) fn among(servers: Vec<Arc<Endpoint>>, deadline: Option<Instant>) -> Self {
        Self { servers, deadline, bound: Bound::No }
    }
}

/// How far a call is bound to the first of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The others are its equals.
    No,
    /// They keep state: one at a time.
    Sticky,
    /// They do, and this caller's is at the first: another is asked only where that one is away, not where it is busy.
    Home,
}

impl Orchestrator {
    /// Tries the servers in turn, until one answers; what `call_for` makes of the request differs between them.
    ///
    /// Moves on only where nothing was sent, or where repeating changes nothing, and only while no server has been
    /// waited for longer than its timeout twice over. Where all have failed, asks again where that may help and
    /// changes nothing. What repeats a call that may have been sent is counted, and paid for out of the budget of
    /// the server that failed. Where a limit stood in the way and nobody else could answer, waits for a turn at it;
    /// where all that is left is an old reply that may stand in, gives that.
    pub(super) async fn dispatch(
        &self,
        route: Route,
        call_for: impl Fn(&Endpoint) -> Result<Call, Error>,
    ) -> Result<Reply, Error> {
        let Route { servers, deadline, bound } = route;
        let endpoints: Vec<_> = servers.iter().collect();
        let mut tries = Tries::new();
        loop {
            let failed = match self.round(&endpoints, bound, &call_for, &mut tries).await {
                Ok(reply) => return Ok(reply),
                Err(Stop::At(error)) => {
                    return tries.stale.map_or(Err(error), |reply| Ok(marked(reply)));
                }
                Err(Stop::Tried(failed)) => failed,
            };
            if let Some(stale) = tries.stale {
                return Ok(marked(stale));
            }
            if let Some((endpoint, refusal)) = failed.limited {
                let mut call = call_for(endpoint)?;
                call.deadline = call.deadline.or(deadline);
                let turn = endpoint.turn(&call).await.map_err(|_| refusal)?;
                return self.answer(endpoint, &call, turn).await;
            }
            let first = failed.first.unwrap_or_else(|| Error::new(Kind::NoServer));
            match failed.again.and_then(|endpoint| tries.pause(endpoint, &first, deadline)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(first),
            }
        }
    }

    /// Tries each server once.
    async fn round<'a>(
        &self,
        endpoints: &[&'a Arc<Endpoint>],
        bound: Bound,
        call_for: &impl Fn(&Endpoint) -> Result<Call, Error>,
        tries: &mut Tries,
    ) -> Result<Reply, Stop<'a>> {
        let mut failed = Failed::default();
        let mut asked = endpoints.iter().copied().enumerate();
        while let Some((place, endpoint)) = asked.next() {
            let call = match call_for(endpoint) {
                Ok(call) => call,
                Err(error) if is_worth_another(&error, &Method::TOOLS_CALL) => {
                    failed.note(endpoint, error, false);
                    continue;
                }
                Err(error) => return Err(Stop::At(error)),
            };
            let other = endpoints.get(place + 1).copied().filter(|_| bound == Bound::No);
            let hedged = self.hedged(endpoint, &call, other, call_for).await;
            if hedged.both {
                asked.next();
            }
            let error = match hedged.result {
                // What is old stands in only where no other server has it fresh.
                Ok(reply) if reply.freshness == Freshness::Stale => {
                    tries.stale.get_or_insert(reply);
                    continue;
                }
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if bound == Bound::Home && place == 0 && is_busy(&error) {
                let may_help = may_help(&error, &call);
                failed.note(endpoint, error, may_help);
                return Err(Stop::Tried(failed));
            }
            let is_last = place + 1 >= endpoints.len();
            if tries.is_spent(endpoint) || !tries.moves_on(endpoint, &error, &call, is_last) {
                return Err(Stop::At(error));
            }
            tracing::debug!(server = &*endpoint.name, %error, "moving on");
            let may_help = may_help(&error, &call);
            failed.note(endpoint, error, may_help);
        }
        Err(Stop::Tried(failed))
    }
}

/// Why a round gave no reply.
enum Stop<'a> {
    /// This one is the answer.
    At(Error),
    /// All were tried.
    Tried(Failed<'a>),
}

/// What a round of all servers came to.
#[derive(Default)]
struct Failed<'a> {
    /// The error that tells most.
    first: Option<Error>,
    /// A limit of ours stood in the way there.
    limited: Option<(&'a Arc<Endpoint>, Error)>,
    /// It may answer if it is asked again.
    again: Option<&'a Arc<Endpoint>>,
}

impl<'a> Failed<'a> {
    fn note(&mut self, endpoint: &'a Arc<Endpoint>, error: Error, may_help: bool) {
        if endpoint.has_turns_for(&error) && self.limited.is_none() {
            self.limited = Some((endpoint, error.clone()));
        }
        if may_help && self.again.is_none() {
            self.again = Some(endpoint);
        }
        // A server's own word tells more than ours that it has no such tool.
        if self.first.as_ref().is_none_or(|known| known.kind() == Kind::NotFound) {
            self.first = Some(error);
        }
    }
}

/// How often one call has been tried.
struct Tries {
    started: Instant,
    /// How often it may have been sent, or will be once more.
    sent: u32,
    /// What an old reply says, where one may stand in.
    stale: Option<Reply>,
}

impl Tries {
    fn new() -> Self {
        Self { started: TokioClock.now(), sent: 1, stale: None }
    }

    /// Whether a server has been waited for long enough.
    fn is_spent(&self, endpoint: &Endpoint) -> bool {
        TokioClock.now() - self.started >= endpoint.settings.timeout * 2
    }

    /// Whether another server may be asked after `error`: because nothing was sent, or because repeating is harmless
    /// and within the budget, and where the request itself is not at fault.
    fn moves_on(&mut self, endpoint: &Endpoint, error: &Error, call: &Call, is_last: bool) -> bool {
        if !is_worth_another(error, &call.method) {
            return false;
        }
        if error.is_unsent() {
            return policy::elsewhere(call).allowed;
        }
        // An answer that the server has no such resource repeats nothing.
        let is_answer = matches!(error.kind(), Kind::Protocol { .. });
        policy::repeat(call).allowed && (is_answer || is_last || self.repeats(endpoint))
    }

    /// Counts one more sending, where there may be one.
    fn repeats(&mut self, endpoint: &Endpoint) -> bool {
        let may =
            self.sent < endpoint.settings.attempts && endpoint.retries.withdraw(TokioClock.now());
        self.sent += u32::from(may);
        may
    }

    /// How long to wait before all are asked again; `None`: they are not.
    fn pause(
        &mut self,
        endpoint: &Endpoint,
        error: &Error,
        deadline: Option<Instant>,
    ) -> Option<Duration> {
        let doubled = PAUSE * 2_u32.saturating_pow(self.sent.min(8) - 1);
        let pause =
            jittered(doubled.min(PAUSE_MAX)).max(error.kind().retry_after().unwrap_or_default());
        let in_time = deadline.is_none_or(|deadline| TokioClock.now() + pause < deadline);
        (in_time && self.repeats(endpoint)).then_some(pause)
    }
}

/// Whether the same server may answer if it is asked again soon.
fn may_help(error: &Error, call: &Call) -> bool {
    let passes = match error.kind() {
        Kind::Disconnected | Kind::Status { status: 502..=504 } => true,
        Kind::Throttled { retry_after } => retry_after.is_some_and(|pause| pause <= PAUSE_MAX),
        _ => false,
    };
    let harmless =
        if error.is_unsent() { !policy::goes_on(call) } else { policy::repeat(call).allowed };
    passes && harmless
}

/// Whether the server is there, and has only too much to do.
fn is_busy(error: &Error) -> bool {
    let kind = error.kind();
    kind.is_rate_limit() || matches!(kind, Kind::Overloaded | Kind::Throttled { .. })
}

fn is_worth_another(error: &Error, method: &Method) -> bool {
    const ANSWERS: [i64; 3] = [-32600, -32601, -32602];
    match error.kind() {
        Kind::Cancelled | Kind::Closed | Kind::InvalidRequest | Kind::TooLarge => false,
        // That one server has no such resource does not say that none has.
        Kind::Protocol { code: -32602 | -32002 } if *method == Method::RESOURCES_READ => true,
        Kind::Protocol { code } => !ANSWERS.contains(&code),
        _ => true,
    }
}

/// An old reply says that it is one.
fn marked(mut reply: Reply) -> Reply {
    let is_stale = RawJson::from(serde_json::Value::Bool(true));
    reply.result = noted(reply.result, "toolweir/stale", &is_stale);
    reply
}
