//! Keeps one server connected, its lists fresh and its health known.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use toolweir_core::{Clock, Error, Event, Kind, TokioClock};

use super::ear::{Ear, Signals};
use super::untried::Untried;
use super::{Inner, Orchestrator, is_up};
use crate::catalogue::{Fetched, Listing};
use crate::endpoint::{Endpoint, Status, bounded};

/// How often a server is asked whether it is still there.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// How long it has to say so.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// How long one round of lists may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// The least time between two rounds of lists, however often a server says that they changed.
const LIST_PAUSE: Duration = Duration::from_millis(500);
/// How long a list that failed is left alone at first, and at last.
const LIST_RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Short, because a server that is reached over the wire has longer pauses of its own.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many servers are started at once, and after what time one that is slow lets the next begin.
const STARTING_MAX: usize = 8;
const STARTING_TURN: Duration = Duration::from_secs(10);
/// How many probes in a row a server may miss while it works on calls.
const BUSY_PROBES: u32 = 3;
/// How long a server that is let go of has to end.
const REST_PATIENCE: Duration = Duration::from_secs(5);
impl Orchestrator {
    /// Begins to look after a server; `renews` where it takes the place of another.
    pub(super) fn look_after(&self, endpoint: &Arc<Endpoint>, renews: bool) {
        let signals = Arc::new(Signals::default());
        let inner = Arc::downgrade(&self.0);
        let ear = Arc::new(Ear {
            endpoint: endpoint.clone(),
            inner: inner.clone(),
            signals: signals.clone(),
        });
        let weak = Arc::downgrade(&ear);
        endpoint.server.subscribe(weak);
        let supervisor = Supervisor {
            endpoint: endpoint.clone(),
            inner,
            signals,
            connect_timeout: self.view().connect_timeout,
            starting: self.0.starting.clone(),
            renews,
            untried: Some(Untried::of(&self.0, endpoint)),
            _ear: ear,
        };
        let (stop, retired) = (self.0.stop.clone(), endpoint.retired.clone());
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = retired.cancelled() => {}
                () = supervisor.run() => {}
            }
        });
    }
}

impl Inner {
    /// Notes how a server is, and tells observers where that is new.
    pub(super) fn health(&self, endpoint: &Endpoint, status: Status) {
        let (healthy, reason) = match &status {
            Status::Up(_) => (true, "connected".to_owned()),
            Status::Down(error) => (false, error.to_string()),
            Status::Starting | Status::Resting => return,
        };
        if healthy && matches!(endpoint.status(), Status::Down(_)) {
            tracing::info!(server = &*endpoint.name, "available again");
        }
        endpoint.set_status(status);
        let event = Event::Health { server: endpoint.as_ref(), healthy, reason: &reason };
        for observer in &self.observers {
            observer.on_event(&event, TokioClock.now());
        }
    }
}

/// Turns for starting servers.
pub(super) fn starting() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(STARTING_MAX))
}

/// The supervisor of one server; ends when the orchestrator stops.
pub(super) struct Supervisor {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) inner: Weak<Inner>,
    pub(super) signals: Arc<Signals>,
    pub(super) connect_timeout: Duration,
    pub(super) starting: Arc<Semaphore>,
    /// It takes the place of another, which clients told things that this one must be told again.
    pub(super) renews: bool,
    /// It has not been tried yet.
    pub(super) untried: Option<Untried>,
    /// Hears the server as long as the supervisor lives.
    pub(super) _ear: Arc<Ear>,
}

/// Why a server is not watched any more.
enum End {
    Lost,
    Idle,
}

/// Since when no call has begun.
struct Quiet {
    begun: u64,
    since: Instant,
}

/// A server is being let go of; calls that begin meanwhile go on when this is dropped.
struct Leaving<'a>(&'a Endpoint, bool);

impl Leaving<'_> {
    fn done(mut self, rests: bool) {
        self.1 = rests;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.vitals.left(self.1);
    }
}

/// What the probes have seen so far.
struct Seen {
    answers: u64,
    missed: u32,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut untried = self.untried.take();
        if self.endpoint.settings.lazy && self.endpoint.is_listed() {
            self.endpoint.vitals.sleep();
            untried = None;
            self.rest().await;
        }
        loop {
            // Taken before, so that a loss during the attempt counts.
            Signals::take(&self.signals.lost);
            Signals::take(&self.signals.lists_changed);
            match self.connect().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    let began = Instant::now();
                    let is_back = self.renews || untried.is_none();
                    tokio::select! {
                        biased;
                        end = self.look_after(&mut untried) => match end {
                            Some(End::Lost) => {}
                            Some(End::Idle) => {
                                self.rest().await;
                                continue;
                            }
                            None => return,
                        },
                        () = self.remind(is_back) => {}
                    }
                    if began.elapsed() < FIRST_PAUSE {
                        tokio::time::sleep(jittered(LIST_PAUSE)).await; // does not stay: no hurry
                    }
                }
                Err(error) => {
                    let Some(inner) = self.inner.upgrade() else { return };
                    if untried.is_some() {
                        tracing::debug!(server = &*self.endpoint.name, %error, "not available yet");
                    }
                    inner.health(&self.endpoint, Status::Down(error));
                    drop(inner);
                    untried = None;
                    self.pause(jittered(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Waits; less where a call brought the server back meanwhile.
    async fn pause(&self, pause: Duration) {
        let connected = async {
            while !self.signals.lists_changed.load(Ordering::SeqCst) {
                self.signals.wake.notified().await;
            }
        };
        let _ = tokio::time::timeout(pause, connected).await;
    }

    async fn connect(&self) -> Result<(), Error> {
        let turn = self.starting.acquire().await;
        let deadline = TokioClock.now() + self.connect_timeout;
        let connecting = bounded(deadline, async { self.endpoint.server.connect(deadline).await });
        let mut connecting = std::pin::pin!(connecting);
        let result = match tokio::time::timeout(STARTING_TURN, &mut connecting).await {
            Ok(result) => result,
            Err(_) => {
                drop(turn);
                connecting.await
            }
        };
        let info = result.map_err(|error| match error.kind() {
            Kind::Timeout => Error::new(Kind::Unreachable).message("not ready in time"),
            _ => error,
        })?;
        let Some(inner) = self.inner.upgrade() else { return Ok(()) };
        inner.health(&self.endpoint, Status::Up(info));
        if self.signals.lost.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Disconnected).message("lost as soon as it was there"));
        }
        Ok(())
    }

    /// Lists and watches a connected server until it is lost or let go of (`Some`) or the orchestrator is gone (`None`).
    async fn look_after(&self, untried: &mut Option<Untried>) -> Option<End> {
        Signals::take(&self.signals.lists_changed);
        let failed = self.refresh(false).await?;
        *untried = None;
        self.watch(failed).await
    }

    /// Asks for the lists again and publishes them; says whether one failed. `None` where the orchestrator is gone.
    async fn refresh(&self, failed_before: bool) -> Option<bool> {
        let info = match self.endpoint.status() {
            Status::Up(info) => info,
            _ => self.endpoint.vitals.info().unwrap_or_default(),
        };
        let last = self.endpoint.listing.load_full();
        let deadline = TokioClock.now() + LIST_TIMEOUT;
        let Fetched { listing, has_tools, failure } =
            Listing::fetch(&*self.endpoint.server, &info, &last, deadline).await;
        if let Some(error) = failure.as_ref().filter(|_| !failed_before) {
            tracing::warn!(server = &*self.endpoint.name, %error, "a list could not be fetched; the last known stays");
        }
        let inner = self.inner.upgrade()?;
        if let (Some(place), true, None) = (&self.endpoint.place, has_tools, &failure) {
            let (place, listing) = (place.clone(), listing.clone());
            let info = info.clone();
            inner.tasks.spawn_blocking(move || place.keep(&listing, &info));
        }
        self.endpoint.set_listing(listing, has_tools);
        inner.merge();
        for left in [&inner.unlisted, &inner.untried] {
            left.send_modify(|_| {}); // those who wait for a name look again
        }
        Some(failure.is_some())
    }

    async fn watch(&self, mut failed: bool) -> Option<End> {
        let mut listed = Instant::now();
        let mut retry = LIST_RETRY[0];
        let mut next_lists = self.next_lists(failed, listed, retry);
        let mut next_probe = listed + PROBE_EVERY;
        let mut seen = Seen { answers: self.endpoint.vitals.answers(), missed: 0 };
        let mut quiet = Quiet { begun: self.endpoint.vitals.begun(), since: listed };
        loop {
            if Signals::take(&self.signals.lost) {
                return Some(End::Lost);
            }
            if Signals::take(&self.signals.lists_changed) {
                let soon = listed + LIST_PAUSE;
                next_lists = Some(next_lists.map_or(soon, |next| next.min(soon)));
            }
            let now = Instant::now();
            if next_lists.is_some_and(|next| next <= now) {
                retry = if failed { (retry * 2).min(LIST_RETRY[1]) } else { LIST_RETRY[0] };
                failed = self.refresh(failed).await?;
                listed = Instant::now();
                next_lists = self.next_lists(failed, listed, retry);
            } else if self.idles(&mut quiet, now) {
                if self.let_go(&quiet).await? {
                    return Some(End::Idle);
                }
                quiet.since = now;
            } else if next_probe <= now {
                next_probe = now + PROBE_EVERY;
                if self.probe(&mut seen).await && self.note_return()? {
                    next_lists = Some(now);
                }
            } else {
                let next = next_lists.map_or(next_probe, |next| next.min(next_probe));
                let next = self
                    .endpoint
                    .settings
                    .idle_stop
                    .map_or(next, |idle| next.min(quiet.since + idle));
                tokio::select! {
                    () = self.signals.wake.notified() => {}
                    () = tokio::time::sleep_until(next) => {}
                    () = self.endpoint.vitals.returned() => {
                        if self.note_return()? {
                            next_lists = Some(Instant::now());
                        }
                    }
                }
            }
        }
    }

    /// When the lists are fetched again though nobody asks for it: soon where one failed, else when one is over of whose changes
    /// the server does not tell.
    fn next_lists(&self, failed: bool, listed: Instant, retry: Duration) -> Option<Instant> {
        if failed {
            return Some(listed + retry);
        }
        let info = self.endpoint.vitals.info()?;
        let over = self.endpoint.listing.load().over(&info)?;
        Some(listed + (over - TokioClock.now()).max(PROBE_EVERY))
    }

    /// Whether no call has been in flight for as long as the server need not be kept.
    fn idles(&self, quiet: &mut Quiet, now: Instant) -> bool {
        let Some(idle) = self.endpoint.settings.idle_stop else { return false };
        let (begun, in_flight) = (self.endpoint.vitals.begun(), self.endpoint.vitals.in_flight());
        if begun != quiet.begun || in_flight > 0 {
            *quiet = Quiet { begun, since: now };
        }
        now >= quiet.since + idle
    }

    /// Lets go of the server, unless a call came, somebody waits to hear of a resource there, or it has tasks.
    async fn let_go(&self, quiet: &Quiet) -> Option<bool> {
        let inner = self.inner.upgrade()?;
        let is_needed = inner.subscriptions.any_of(self.endpoint.id)
            || inner.watched_tasks.any_of(self.endpoint.id)
            || inner.server_tasks.any_of(&self.endpoint.name);
        if is_needed || !is_up(&self.endpoint.status()) {
            return Some(false);
        }
        drop(inner);
        if !self.endpoint.vitals.leave(quiet.begun) {
            return Some(false);
        }
        let leaving = Leaving(&self.endpoint, false);
        let deadline = TokioClock.now() + REST_PATIENCE;
        let resting = async { Ok(self.endpoint.server.rest(deadline).await) };
        let rests = bounded(deadline, resting).await.unwrap_or(false);
        leaving.done(rests);
        Some(rests)
    }

    /// Waits until a call begins.
    async fn rest(&self) {
        self.endpoint.set_status(Status::Resting);
        tracing::debug!(server = &*self.endpoint.name, "rests until it is called");
        self.endpoint.vitals.woken().await;
        self.endpoint.set_status(Status::Starting);
    }

    /// Holds the server to be up again; says whether it was down.
    fn note_return(&self) -> Option<bool> {
        let inner = self.inner.upgrade()?;
        let info = self.endpoint.vitals.info();
        let was_down = matches!(self.endpoint.status(), Status::Down(_));
        if let (true, Some(info)) = (was_down, info) {
            inner.health(&self.endpoint, Status::Up(info));
        }
        Some(was_down)
    }

    /// Asks whether the server is still there, unless its calls tell already. True where it answered.
    async fn probe(&self, seen: &mut Seen) -> bool {
        let vitals = &self.endpoint.vitals;
        let before = std::mem::replace(&mut seen.answers, vitals.answers());
        if is_up(&self.endpoint.status()) && before != seen.answers {
            seen.missed = 0;
            return false;
        }
        let deadline = TokioClock.now() + PROBE_PATIENCE;
        let result = bounded(deadline, async { self.endpoint.server.probe(deadline).await }).await;
        let has_answered = vitals.answers() != seen.answers;
        let error = match result {
            Ok(()) => {
                seen.missed = 0;
                return true;
            }
            Err(error) => error,
        };
        match error.kind() {
            Kind::Protocol { .. } => return true, // an answer
            // Says nothing: it, or this side, has too much to do.
            Kind::Throttled { .. } | Kind::Overloaded => return false,
            kind if kind.is_rate_limit() => return false,
            Kind::Timeout => {
                seen.missed += 1;
                let is_busy = vitals.in_flight() > 0 && seen.missed < BUSY_PROBES;
                if has_answered || is_busy {
                    return false;
                }
            }
            _ => {}
        }
        let error = match error.kind() {
            Kind::Timeout => error.message("the probe was not answered"),
            _ => error,
        };
        if let Some(inner) = self.inner.upgrade() {
            inner.health(&self.endpoint, Status::Down(error));
        }
        false
    }
}

/// Between 50 % and 100 % of `pause`, so that many servers that were lost together are not tried together.
pub(super) fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let random = getrandom::fill(&mut byte).map_or(0, |()| byte[0]);
    pause / 2 + pause.mul_f64(f64::from(random) / 510.0)
}
