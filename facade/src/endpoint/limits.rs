//! The rate limits at one server: its own, of single tools, and of users.

use std::collections::HashMap;
use std::sync::Arc;

use toolweir_core::{
    Call, Clock, Error, Event, Guard, Instant, Kind, Method, Observer, Outcome, Permit, Principal,
    Ticket, TokioClock,
};
use toolweir_ratelimit::{
    Bucket, Charge, Config, InvalidConfig, Limit, Limiter, Refusal, charge_all_at,
};

use super::{Endpoint, Turn};

/// A limit, and what was configured.
pub(crate) struct Metered<L> {
    pub(crate) limit: L,
    pub(crate) config: Config,
}

/// The limits at one server. A call takes a little of each that holds for it, or nothing of any.
#[derive(Default)]
pub(crate) struct Limits {
    /// For all calls together; the only one that is waited for.
    pub(crate) server: Option<Metered<Bucket>>,
    /// For each user.
    user: Option<Metered<Limiter<Principal>>>,
    /// For single tools, by their own names.
    tools: HashMap<String, OfTool>,
}

/// The limits of one tool.
struct OfTool {
    /// For all calls of it together.
    all: Option<Metered<Bucket>>,
    /// For each user.
    user: Option<Metered<Limiter<Principal>>>,
}

/// What the configuration says of the limits of one tool.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolLimits {
    pub(crate) all: Option<Config>,
    pub(crate) user: Option<Config>,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Tool,
    User,
    UserAtTool,
    Server,
}

impl Scope {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tool => "tool",
            Self::User => "each user",
            Self::UserAtTool => "each user at this tool",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tool => "tool",
            Self::User | Self::UserAtTool => "user",
        }
    }

    fn kind(self, refusal: Refusal) -> Kind {
        let retry_after = refusal.retry_after().unwrap_or_default();
        match self {
            Self::Server => refusal.into(),
            Self::Tool => Kind::ToolRateLimited { retry_after },
            Self::User | Self::UserAtTool => Kind::UserRateLimited { retry_after },
        }
    }
}

fn bucket(config: Config) -> Result<Metered<Bucket>, InvalidConfig> {
    let limit = Bucket::with_clock(&config, Arc::new(TokioClock))?;
    Ok(Metered { limit, config })
}

fn users(config: Config) -> Result<Metered<Limiter<Principal>>, InvalidConfig> {
    let limit = Limiter::with_clock(&config, Arc::new(TokioClock))?;
    Ok(Metered { limit, config })
}

impl Limits {
    pub(crate) fn new(
        server: Option<Config>,
        user: Option<Config>,
        tools: impl IntoIterator<Item = (String, ToolLimits)>,
    ) -> Result<Self, InvalidConfig> {
        let of_tool = |(name, of): (String, ToolLimits)| {
            let of = OfTool {
                all: of.all.map(bucket).transpose()?,
                user: of.user.map(users).transpose()?,
            };
            Ok((name, of))
        };
        Ok(Self {
            server: server.map(bucket).transpose()?,
            user: user.map(users).transpose()?,
            tools: tools.into_iter().map(of_tool).collect::<Result<_, _>>()?,
        })
    }

    /// Whether there are none but the server's own.
    fn is_plain(&self) -> bool {
        self.user.is_none() && self.tools.is_empty()
    }

    fn of_tool(&self, call: &Call) -> Option<&OfTool> {
        if self.tools.is_empty() || call.method != Method::TOOLS_CALL {
            return None;
        }
        self.tools.get(call.target.as_deref()?)
    }

    /// What was configured of the limits that hold for `call`, the narrowest first.
    pub(crate) fn said(&self, call: &Call) -> Vec<(Scope, &Config)> {
        let tool = self.of_tool(call);
        let all = [
            (Scope::UserAtTool, tool.and_then(|tool| Some(&tool.user.as_ref()?.config))),
            (Scope::Tool, tool.and_then(|tool| Some(&tool.all.as_ref()?.config))),
            (Scope::User, self.user.as_ref().map(|user| &user.config)),
            (Scope::Server, self.server.as_ref().map(|server| &server.config)),
        ];
        all.into_iter().filter_map(|(scope, config)| Some((scope, config?))).collect()
    }

    /// Gives `then` the limits that hold for `call` and whose they are; the server's own is the last, or left out.
    fn with<T>(
        &self,
        call: &Call,
        with_server: bool,
        then: impl FnOnce(&[(&dyn Limit, u32)], &[Scope]) -> T,
    ) -> T {
        fn some(limit: Option<&impl Limit>, scope: Scope) -> Option<(&dyn Limit, Scope)> {
            limit.map(|limit| (limit as &dyn Limit, scope))
        }
        let principal = &call.client.principal;
        let tool = self.of_tool(call);
        let user = self.user.as_ref().map(|users| users.limit.of(principal));
        let user_at_tool = tool.and_then(|tool| tool.user.as_ref());
        let user_at_tool = user_at_tool.map(|users| users.limit.of(principal));
        let tool = tool.and_then(|tool| tool.all.as_ref()).map(|tool| &tool.limit);
        let server = self.server.as_ref().filter(|_| with_server).map(|server| &server.limit);
        let holding = [
            some(tool, Scope::Tool),
            some(user.as_ref(), Scope::User),
            some(user_at_tool.as_ref(), Scope::UserAtTool),
            some(server, Scope::Server),
        ];
        let mut found = holding.into_iter().flatten();
        let Some(first) = found.next() else { return then(&[], &[]) };
        let (mut limits, mut scopes, mut count) = ([(first.0, 1); 4], [first.1; 4], 1);
        for (limit, scope) in found {
            (limits[count], scopes[count]) = ((limit, 1), scope);
            count += 1;
        }
        then(&limits[..count], &scopes[..count])
    }

    fn take(
        &self,
        call: &Call,
        with_server: bool,
        now: Instant,
    ) -> Result<Charge, (Scope, Refusal)> {
        self.with(call, with_server, |limits, scopes| {
            charge_all_at(limits, now).map_err(|refused| (scopes[refused.limit], refused.refusal))
        })
    }

    /// Gives back what a call took of all limits but the server's own.
    fn give_back(&self, call: &Call, charge: Charge) {
        self.with(call, false, |limits, _| charge.give_back(limits));
    }
}

/// What a call took of the limits beside the server's own, before it waits for that one. Dropped, it is given back.
pub(super) struct Beside {
    endpoint: Arc<Endpoint>,
    call: Call,
    charge: Option<Charge>,
}

impl Beside {
    /// What the limits of the tool and of the user allow; `None` where there are none.
    pub(super) fn take(
        endpoint: &Arc<Endpoint>,
        call: &Call,
        now: Instant,
    ) -> Result<Option<Self>, Error> {
        let limits = &endpoint.settings.limits;
        if limits.is_plain() {
            return Ok(None);
        }
        let charge = limits.take(call, false, now);
        let charge = charge.map_err(|(scope, refusal)| endpoint.over(scope, refusal, call))?;
        Ok(Some(Self { endpoint: endpoint.clone(), call: call.clone(), charge: Some(charge) }))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            self.endpoint.settings.limits.give_back(&self.call, charge);
        }
    }
}

/// What a call that is made has taken.
pub(super) enum Charged<'a> {
    /// Nothing, or a turn that it has waited for.
    Nothing,
    /// Of the server's own limit.
    Server(Permit<'a, Bucket>),
    /// Of the others, too; of the server's where that was not waited for.
    All { limits: &'a Limits, charge: Charge, has_waited: bool },
}

impl Charged<'_> {
    /// Tells the server's limit how the call ended. What a server did not take is charged to no user and no tool: neither
    /// a pause that it asks for, nor that it could not be reached.
    pub(super) fn settle(self, call: &Call, outcome: &Outcome, now: Instant) {
        match self {
            Self::Nothing => {}
            Self::Server(permit) => permit.settle(outcome, now),
            Self::All { limits, charge, has_waited } => {
                if let (Some(server), false) = (&limits.server, has_waited) {
                    server.limit.settle(Ticket::new(0), outcome, now);
                }
                if matches!(outcome, Outcome::NotSent(_) | Outcome::Throttled { .. }) {
                    limits.give_back(call, charge);
                }
            }
        }
    }
}

impl Endpoint {
    /// Takes a little of every limit that holds for the call, or of none; what it has waited for it has.
    pub(super) fn charge(
        &self,
        call: &Call,
        turn: &mut Turn,
        observers: &[Arc<dyn Observer>],
        now: Instant,
    ) -> Result<Charged<'_>, Error> {
        let limits = &self.settings.limits;
        if limits.is_plain() {
            return match &limits.server {
                Some(server) if !turn.charged => match Permit::acquire(&server.limit, call, now) {
                    Ok(permit) => Ok(Charged::Server(permit)),
                    Err(kind) => Err(self.told(Scope::Server, self.refused(kind), observers, now)),
                },
                _ => Ok(Charged::Nothing),
            };
        }
        let has_waited = turn.charged;
        let charge = match turn.beside.take().and_then(|mut beside| beside.charge.take()) {
            Some(charge) => charge,
            None => limits.take(call, !has_waited, now).map_err(|(scope, refusal)| {
                self.told(scope, self.over(scope, refusal, call), observers, now)
            })?,
        };
        Ok(Charged::All { limits, charge, has_waited })
    }

    /// A limit's refusal, in words that say whose it is.
    #[cold]
    fn over(&self, scope: Scope, refusal: Refusal, call: &Call) -> Error {
        let error = self.refused(scope.kind(refusal));
        match (scope, &call.target) {
            (Scope::Tool, Some(tool)) => error.message(format!("`{tool}`")),
            (Scope::UserAtTool, Some(tool)) => error.message(format!("for the tool `{tool}`")),
            _ => error,
        }
    }

    /// Tells observers of a refusal.
    #[cold]
    fn told(
        &self,
        scope: Scope,
        error: Error,
        observers: &[Arc<dyn Observer>],
        now: Instant,
    ) -> Error {
        let retry_after = error.kind().retry_after().unwrap_or_default();
        let event = Event::Limited { server: self.as_ref(), scope: scope.label(), retry_after };
        for observer in observers {
            observer.on_event(&event, now);
        }
        error
    }
}

impl Turn {
    /// Waits for a turn at the server's own limit. The call's other limits come first: who is at one of them is told so, and
    /// takes no place in the server's line.
    pub(super) async fn wait_for_server(
        &mut self,
        endpoint: &Arc<Endpoint>,
        call: &Call,
        deadline: Instant,
    ) -> Result<(), Error> {
        let Some(server) = &endpoint.settings.limits.server else { return Ok(()) };
        let now = TokioClock.now();
        self.beside = Beside::take(endpoint, call, now)?;
        let latest = deadline.min(now + server.config.max_wait);
        let turn = server.limit.acquire_by(latest).await;
        turn.map_err(|refusal| endpoint.refused(refusal.into()))?;
        self.charged = true;
        Ok(())
    }
}
