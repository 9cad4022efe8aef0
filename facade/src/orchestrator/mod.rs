//! The orchestrator: every call's way from its caller to a server and back.

mod builder;
mod cached;
mod fan;
mod report;
mod resolve;
mod serve;
mod subscriptions;
mod supervise;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolweir_cache::ReplyCache;
use toolweir_core::{
    Call, Error, Kind, Observer, RawJson, Reply, Select, ServerId, ServerMessage, Subscriber,
    TokioClock,
};
use toolweir_core::{Clock, Instant, Ranked};
use toolweir_metrics::Recorder;
use toolweir_router::Router;

pub use self::{
    builder::{BuildError, Builder, Member},
    report::{Readiness, ServerReport, Standing},
};
use crate::catalogue::{Catalogue, Source};
use crate::endpoint::{Endpoint, Status};
use crate::handlers::Handlers;

/// Sends each call to the server best able to answer it, and keeps answering when servers fail.
///
/// A handle: clones share one orchestrator. It belongs to the tokio runtime on which it was started; several live
/// side by side in one process. [`shutdown`](Self::shutdown) ends all that it owns in good order; dropping the last
/// handle ends it at once.
#[derive(Clone)]
pub struct Orchestrator(Arc<Inner>);

struct Inner {
    endpoints: Vec<Arc<Endpoint>>,
    router: Arc<Router>,
    metrics: Recorder,
    store: ReplyCache,
    handlers: Handlers,
    observers: Vec<Arc<dyn Observer>>,
    catalogue: ArcSwap<Catalogue>,
    /// One merge at a time, so that a later one never loses to an earlier.
    merging: Mutex<()>,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
    subscriptions: subscriptions::Subscriptions,
    /// How many servers have not been tried yet.
    untried: watch::Sender<usize>,
    connect_timeout: Duration,
    started: Instant,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Orchestrator {
    /// Puts an orchestrator together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Answers one call, whatever its method.
    ///
    /// Lists are answered from what all servers list; `tools/call`, `prompts/get`, `resources/read` and
    /// `completion/complete` go to the server that has their target, under the name that it has there.
    ///
    /// # Errors
    /// The server's own error, byte for byte in [`Error::rpc`]; or ours, which tells by [`Error::kind`] what to do
    /// and by [`Error::is_unsent`] whether anything can have happened.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call at the server and frees everything held for it.
    pub async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if self.0.stop.is_cancelled() {
            return Err(Error::new(Kind::Closed));
        }
        match call.method.as_str() {
            "resources/subscribe" | "resources/unsubscribe" => self.subscription(call).await,
            _ => self.forward(call).await,
        }
    }

    /// The answer to a call whose method has one server behind it, or none.
    async fn forward(&self, call: &Call) -> Result<Reply, Error> {
        let aim = match self.aim(call).await? {
            resolve::Aimed::Done(reply) => return Ok(reply),
            resolve::Aimed::At(aim) => aim,
        };
        let ranked = Select::rank(&*self.0.router, &aim.call, &aim.servers, TokioClock.now());
        let named = move |_: &Endpoint| Ok(aim.call.clone());
        self.dispatch(ranked, call.deadline, named).await
    }

    /// Routes a request by its type: finds the capabilities that it needs, the best server that has them, and the
    /// tool there that carries it out.
    ///
    /// # Errors
    /// Fails where the type has no route, where no server has the capabilities (the message names both sides), where
    /// no tool fits the arguments, and as [`call`](Self::call) does.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn route(&self, request_type: &str, arguments: &RawJson) -> Result<Reply, Error> {
        let rank = || self.0.router.rank_route_at(request_type, TokioClock.now());
        let some_up = || rank().map_or(true, |ranked| ranked.iter().any(|id| self.is_listed(*id)));
        self.settled(self.0.connect_timeout, some_up).await;
        let ranked = rank().map_err(|error| {
            Error::new(Kind::NoServer).message(error.to_string()).caused_by(error)
        })?;
        let arguments: serde_json::Map<String, serde_json::Value> =
            arguments.get().map_err(|error| {
                Error::new(Kind::InvalidRequest).message(format!("arguments: {error}"))
            })?;
        let handled = {
            let (this, request_type) = (self.clone(), request_type.to_owned());
            move |endpoint: &Endpoint| this.handled(endpoint, &request_type, &arguments)
        };
        self.dispatch(ranked, None, handled).await
    }

    /// Tries the ranked servers in turn, until one answers; what `call_for` makes of the request differs between them.
    ///
    /// Moves on only where nothing was sent, or where repeating changes nothing. Where limits alone stood in the way,
    /// waits for a turn at the best.
    async fn dispatch(
        &self,
        ranked: Ranked,
        deadline: Option<Instant>,
        call_for: impl Fn(&Endpoint) -> Result<Call, Error>,
    ) -> Result<Reply, Error> {
        let mut failure = None;
        let mut limited = None;
        for id in ranked.iter().copied() {
            let Some(endpoint) = self.endpoint(id) else { continue };
            let (error, repeatable) = match call_for(endpoint) {
                Ok(call) => match self.answer(endpoint, &call, false).await {
                    Ok(reply) => return Ok(reply),
                    Err(error) => (error, call.hints.is_repeatable()),
                },
                Err(error) => (error, true),
            };
            if !(error.is_unsent() || repeatable) || !is_worth_another(&error) {
                return Err(error);
            }
            if matches!(error.kind(), Kind::RateLimited { .. }) && limited.is_none() {
                limited = Some(endpoint);
            }
            tracing::debug!(server = &*endpoint.name, %error, "moving on");
            failure = Some(error);
        }
        if let (Some(endpoint), Some(error)) = (limited, &failure)
            && matches!(error.kind(), Kind::RateLimited { .. })
        {
            endpoint.turn(deadline).await.map_err(|_| error.clone())?;
            return self.answer(endpoint, &call_for(endpoint)?, true).await;
        }
        Err(failure.unwrap_or_else(|| Error::new(Kind::NoServer)))
    }

    fn is_listed(&self, id: ServerId) -> bool {
        self.endpoint(id).is_some_and(|endpoint| endpoint.is_listed())
    }

    fn endpoint(&self, id: ServerId) -> Option<&Arc<Endpoint>> {
        self.0.endpoints.iter().find(|endpoint| endpoint.id == id)
    }

    /// Ends everything in good order by the time `grace` is over: no new call is taken, servers are closed, tasks end.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let deadline = TokioClock.now() + grace;
        let mut closing = tokio::task::JoinSet::new();
        for endpoint in &self.0.endpoints {
            let server = endpoint.server.clone();
            closing.spawn(async move { server.close(deadline).await });
        }
        let all = async {
            while closing.join_next().await.is_some() {}
            self.0.tasks.wait().await;
        };
        // A server of the user's own may ignore its deadline; its close is then given up.
        let latest = deadline + Duration::from_secs(1);
        let _ = tokio::time::timeout_at(latest.into_std().into(), all).await;
    }
}

impl Inner {
    /// Puts the lists together anew and tells clients which of them changed.
    fn merge(&self) {
        let _one = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let listings: Vec<_> =
            self.endpoints.iter().map(|endpoint| endpoint.listing.load_full()).collect();
        let hints: Vec<_> = self
            .endpoints
            .iter()
            .map(|endpoint| move |item: &crate::catalogue::Item| endpoint.hints(item))
            .collect();
        let sources: Vec<Source<'_>> = self
            .endpoints
            .iter()
            .zip(&listings)
            .zip(&hints)
            .map(|((endpoint, listing), hints)| Source {
                server: endpoint.id,
                server_name: &endpoint.name,
                prefix: &endpoint.prefix,
                listing,
                hints,
            })
            .collect();
        let new = Catalogue::merge(&sources);
        let old = self.catalogue.load_full();
        for problem in new.problems().iter().filter(|problem| !old.problems().contains(problem)) {
            tracing::warn!("{problem}");
        }
        let changed = fan::changed(&old, &new);
        self.catalogue.store(Arc::new(new));
        for method in changed {
            self.tell(&ServerMessage::Notification(toolweir_core::Notification::new(method, None)));
        }
    }

    fn tell(&self, message: &ServerMessage) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.on_message(message.clone());
        }
    }
}

/// Whether another server may do better: not where the request itself is at fault.
fn is_worth_another(error: &Error) -> bool {
    const ANSWERS: [i64; 3] = [-32600, -32601, -32602];
    match error.kind() {
        Kind::Cancelled | Kind::Closed | Kind::InvalidRequest | Kind::TooLarge => false,
        Kind::Protocol { code } => !ANSWERS.contains(&code),
        _ => true,
    }
}

/// Dropping the last handle ends the tasks; the servers end with it.
impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.endpoints.iter().map(|endpoint| &*endpoint.name).collect();
        f.debug_struct("Orchestrator").field("servers", &names).finish_non_exhaustive()
    }
}

/// What is known of a server's state, for the parts beside the call path.
fn is_up(status: &Status) -> bool {
    matches!(status, Status::Up(_))
}
