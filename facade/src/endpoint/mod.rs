//! One server with everything that guards it.

mod alive;
mod breakers;
mod budget;
mod flight;
mod limits;
mod origin;
mod panics;
mod turn;
mod vitals;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::{CancellationToken, DropGuard};
use toolweir_core::{
    Call, Clock, Error, Hints, Instant, Kind, Observer, Outcome, Principal, Reply, Server,
    ServerId, ServerInfo, ServerRef, TokioClock,
};
use toolweir_ratelimit::Gate;

use self::alive::Alive;
pub(crate) use self::breakers::Breakers;
pub(crate) use self::budget::Budget;
use self::flight::Flight;
pub(crate) use self::limits::{Limits, Scope, ToolLimits};
pub(crate) use self::origin::{Around, Origin};
pub(crate) use self::panics::{bounded, caught};
pub(crate) use self::turn::Turn;
use self::vitals::Vitals;
use crate::catalogue::{Item, Listing, Place};
use crate::isolated::Isolated;

/// A call ends after so many times its server's timeout, whatever signs of life there are.
const TOTAL: u32 = 10;

/// How long a server whose breaker is half-open has to say that it is there, before a call that may have effects is sent.
const TRIAL: Duration = Duration::from_secs(5);

/// A registered server.
pub(crate) struct Endpoint {
    pub(crate) id: ServerId,
    pub(crate) name: Arc<str>,
    pub(crate) server: Arc<dyn Server>,
    pub(crate) settings: Settings,
    /// Where the server comes from, and all that was said of it, in words that differ where anything does.
    pub(crate) origin: Origin,
    pub(crate) terms: String,
    /// Where its lists are kept.
    pub(crate) place: Option<Arc<Place>>,
    /// Another, or none, takes its place: its supervisor ends.
    pub(crate) retired: CancellationToken,
    /// Nobody has it any more.
    gone: CancellationToken,
    _gone: DropGuard,
    /// The last known lists, kept while the server is away.
    pub(crate) listing: ArcSwap<Listing>,
    listed: AtomicBool,
    /// What is listed comes from the server as it is now, not from before.
    confirmed: AtomicBool,
    status: RwLock<Status>,
    pub(crate) vitals: Vitals,
    /// What may be repeated where this server failed.
    pub(crate) retries: Budget,
    /// How often another may be asked because this one is slow.
    pub(crate) hedges: Budget,
    /// The server asked for a pause until then.
    paused_until: AtomicU64,
}

/// What the configuration says of one tool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ToolRule {
    pub(crate) hints: Hints,
    pub(crate) ttl: Option<Duration>,
}

/// How a server is at the moment.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// Not tried yet.
    Starting,
    Up(Arc<ServerInfo>),
    /// Let go of, or not started yet; the next call has it begin.
    Resting,
    Down(Error),
}

/// What holds for one server.
pub(crate) struct Settings {
    /// What it can be asked for.
    pub(crate) capabilities: Vec<String>,
    /// Stands before its tools' and prompts' names.
    pub(crate) prefix: String,
    /// Whether its annotations are believed.
    pub(crate) trusted: bool,
    /// What the configuration says of single tools.
    pub(crate) tools: Vec<(String, ToolRule)>,
    pub(crate) breakers: Breakers,
    /// How many calls there may be in a time: of all, of single tools, of each user.
    pub(crate) limits: Limits,
    /// How many calls it has at once.
    pub(crate) gate: Option<Gate<Principal>>,
    /// How long it may be silent.
    pub(crate) timeout: Duration,
    /// How long tools' results are kept where nothing more special is said; `None`: not at all.
    pub(crate) ttl: Option<Duration>,
    /// Where each client has an instance of its own: what makes them.
    pub(crate) isolated: Option<Arc<Isolated>>,
    /// Whether anything of this server is cached.
    pub(crate) cached: bool,
    /// How often a call may be sent, the first time included.
    pub(crate) attempts: u32,
    /// How many percent of its calls may be repeated.
    pub(crate) retry_percent: u8,
    /// At how many percent of its calls another server may be asked too, because this one is slow.
    pub(crate) hedge_percent: u8,
    /// It is not started before a call needs it, where its lists are known.
    pub(crate) lazy: bool,
    /// It is let go of when no call has needed it for so long.
    pub(crate) idle_stop: Option<Duration>,
}

impl Endpoint {
    pub(crate) fn new(
        id: ServerId,
        name: Arc<str>,
        server: Arc<dyn Server>,
        settings: Settings,
        (origin, terms, place): (Origin, String, Option<Arc<Place>>),
    ) -> Self {
        let gone = CancellationToken::new();
        Self {
            id,
            name,
            server,
            origin,
            terms,
            place,
            retired: CancellationToken::new(),
            _gone: gone.clone().drop_guard(),
            gone,
            retries: Budget::new(settings.retry_percent),
            hedges: Budget::new(settings.hedge_percent),
            settings,
            listing: ArcSwap::default(),
            listed: AtomicBool::new(false),
            confirmed: AtomicBool::new(false),
            status: RwLock::new(Status::Starting),
            vitals: Vitals::default(),
            paused_until: AtomicU64::new(0),
        }
    }

    /// Takes up what was kept of its lists.
    pub(crate) fn recall(&self, (listing, info): (Listing, ServerInfo)) {
        self.set_listing(listing, true);
        self.confirmed.store(false, Ordering::Release);
        self.vitals.set_up(Arc::new(info));
    }

    /// Cancelled when no call and nothing else has this any more.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Takes over what is known of the server that it replaces: what that listed stays until this one is listed. Of
    /// another program, what it claims of its tools' effects is not believed.
    pub(crate) fn inherit(&self, old: &Self, is_same: bool) {
        let listing = old.listing.load();
        self.listing.store(if is_same {
            listing.clone()
        } else {
            Arc::new(listing.without_claims())
        });
        self.listed.store(old.is_listed(), Ordering::Release);
        let confirmed = is_same && old.confirmed.load(Ordering::Acquire);
        self.confirmed.store(confirmed, Ordering::Release);
        if let Some(info) = old.vitals.info() {
            self.vitals.set_up(info);
        }
        if is_same {
            self.set_status(old.status());
        }
    }

    pub(crate) fn as_ref(&self) -> ServerRef<'_> {
        ServerRef { id: self.id, name: &self.name }
    }

    /// One call's way through this server: breaker, limit, deadline, and the only I/O between them.
    ///
    /// What was taken is given back on return, on error and on drop. The server's time is up when it gave no sign of
    /// life (progress, a log line, a question to the caller) for its `timeout`, and after ten times that in any case.
    ///
    /// A call that has waited for its [`turn`](Self::turn) brings what it was given there.
    pub(crate) async fn call(
        &self,
        call: &Call,
        observers: &[Arc<dyn Observer>],
        mut turn: Turn,
    ) -> Result<Reply, Error> {
        let now = TokioClock.now();
        self.retries.deposit();
        self.hedges.deposit();
        self.admit_pause(now)?;
        let admitted = self
            .settings
            .breakers
            .admit(call, now)
            .map_err(|error| error.server(self.name.clone()))?;
        let place = self.place(&mut turn, now)?;
        let charged = self.charge(call, &mut turn, observers, now)?;
        // Nothing that may have effects finds out whether a server is well again.
        let now = if admitted.is_on_trial && !call.hints.is_read_only() {
            if let Err(error) = self.is_there().await {
                let (outcome, now) = (Outcome::NotSent(error.kind()), TokioClock.now());
                admitted.settle(&outcome, Some(&error), now);
                charged.settle(call, &outcome, now);
                return Err(error);
            }
            TokioClock.now()
        } else {
            now
        };
        let latest = now + self.settings.timeout * TOTAL;
        let deadline = call.deadline.unwrap_or(latest).min(latest);
        let mut timed = call.clone().deadline(deadline);
        let alive = call.peer.clone().map(|peer| Alive::new(peer, now));
        if let Some(alive) = &alive {
            timed.peer = Some(alive.clone());
        }
        let flight = Flight::start(self, &timed, observers, now);
        let _begun = self.vitals.begin().await;
        let silent = async {
            match &alive {
                Some(alive) => alive.silent(self.settings.timeout).await,
                None => {
                    tokio::time::sleep_until((now + self.settings.timeout).into_std().into()).await;
                }
            }
        };
        let result = tokio::select! {
            biased;
            result = caught(self.server.call(&timed)) => result.map(|reply| self.named(reply)),
            () = tokio::time::sleep_until(deadline.into_std().into()) => Err(self.refused(Kind::Timeout)),
            () = silent => Err(self.refused(Kind::Timeout)),
        };
        let now = TokioClock.now();
        let outcome = match Outcome::of(&result) {
            // The caller's own patience was shorter than the server's time: that says nothing of the server.
            Outcome::Ambiguous(Kind::Timeout) | Outcome::NotSent(Kind::Timeout)
                if now < flight.started() + self.settings.timeout =>
            {
                Outcome::Abandoned
            }
            outcome => outcome,
        };
        admitted.settle(&outcome, result.as_ref().err(), now);
        charged.settle(call, &outcome, now);
        if let Some(place) = place {
            place.settle(&outcome, now);
        }
        self.settle_pause(&outcome, now);
        self.vitals.settle(&outcome);
        flight.end(&outcome, &result, now);
        result
    }

    /// Asks the server whether it is there, without any effect.
    async fn is_there(&self) -> Result<(), Error> {
        let deadline = TokioClock.now() + self.settings.timeout.min(TRIAL);
        let probe = bounded(deadline, async { self.server.probe(deadline).await });
        match probe.await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), Kind::Protocol { .. }) => Ok(()), // an answer
            Err(error) => Err(Error::new(Kind::Unreachable)
                .server(self.name.clone())
                .message("it does not answer yet")
                .caused_by(error)),
        }
    }

    /// A reply says who gave it, under the name that this server has here.
    fn named(&self, mut reply: Reply) -> Reply {
        reply.server = Some(self.name.clone());
        reply
    }

    fn refused(&self, kind: Kind) -> Error {
        Error::new(kind).server(self.name.clone())
    }

    /// A server that asked for a pause is left alone for so long, whether or not it has a limit of ours.
    fn admit_pause(&self, now: Instant) -> Result<(), Error> {
        let until = Instant::from_nanos(self.paused_until.load(Ordering::Relaxed));
        if until > now {
            let retry_after = Some(until - now);
            return Err(self.refused(Kind::Throttled { retry_after }).unsent());
        }
        Ok(())
    }

    fn settle_pause(&self, outcome: &Outcome, now: Instant) {
        const SHORT: Duration = Duration::from_secs(1);
        const LONGEST: Duration = Duration::from_secs(300);
        if let Outcome::Throttled { retry_after } = outcome {
            let until = now + retry_after.unwrap_or(SHORT).min(LONGEST);
            self.paused_until.fetch_max(until.as_nanos(), Ordering::Relaxed);
        }
    }

    /// What is believed of a tool: the configuration's word first, then, of a trusted server, its own.
    pub(crate) fn hints(&self, item: &Item) -> Hints {
        let own = if self.settings.trusted { item.claimed } else { Hints::default() };
        let said = self.rule(&item.name).hints;
        let mut hints = Hints::default();
        hints.read_only = said.read_only.or(own.read_only);
        hints.idempotent = said.idempotent.or(own.idempotent);
        hints.destructive = said.destructive.or(own.destructive);
        hints.open_world = said.open_world.or(own.open_world);
        hints
    }

    pub(crate) fn rule(&self, tool: &str) -> ToolRule {
        self.settings
            .tools
            .iter()
            .find(|(name, _)| name == tool)
            .map(|(_, rule)| *rule)
            .unwrap_or_default()
    }

    /// Whether its tools were listed at least once; a server may list nothing.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// Whether it may have what its lists lack: none is known, or none but those from before, and it is not at rest.
    pub(crate) fn may_have_more(&self) -> bool {
        let is_at_rest = || matches!(self.status(), Status::Resting);
        !self.is_listed() || !self.confirmed.load(Ordering::Acquire) && !is_at_rest()
    }

    /// Keeps the lists; where the configuration knows better what a tool does, clients are told so too.
    pub(crate) fn set_listing(&self, mut listing: Listing, has_tools: bool) {
        listing.annotate(|tool| self.rule(tool).hints);
        self.listing.store(Arc::new(listing));
        self.listed.fetch_or(has_tools, Ordering::Release);
        self.confirmed.fetch_or(has_tools, Ordering::Release);
    }

    pub(crate) fn status(&self) -> Status {
        self.status.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(crate) fn set_status(&self, status: Status) {
        match &status {
            Status::Up(info) => self.vitals.set_up(info.clone()),
            Status::Down(_) => self.vitals.set_down(),
            Status::Starting | Status::Resting => {}
        }
        *self.status.write().unwrap_or_else(std::sync::PoisonError::into_inner) = status;
    }
}
