//! The way back to the client of one call.

use std::sync::Arc;

use async_trait::async_trait;
use toolweir_core::{Client, Error, Instant, Kind, Method, Notification, Peer, RawJson};

use super::session::{Level, Session, Stop, WeakSession};
use super::stream::{Outbox, Push};
use crate::message::{self, Id};
use crate::version::{Era, meta};

/// Carries a call's notifications and questions to its client, on the call's own stream.
#[derive(Debug)]
pub(crate) struct CallPeer {
    pub(crate) era: Era,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) client: Arc<Client>,
    /// The token under which the client wants progress.
    pub(crate) progress: Option<RawJson>,
    /// The least level of log messages that a modern client asked for.
    pub(crate) level: Option<Level>,
    pub(crate) session: WeakSession,
    pub(crate) stop: Arc<Stop>,
    /// How many questions may be open.
    pub(crate) asks: usize,
}

/// The method of log messages.
const LOGGED: &str = "notifications/message";

/// The client's progress token, where it sent one.
pub(crate) fn progress_token(params: Option<&RawJson>) -> Option<RawJson> {
    let meta = params?.member("_meta")?.to_json();
    let token = meta.member(meta::PROGRESS_TOKEN)?;
    Id::from_json(token.to_json()).map(|id| id.as_json().clone())
}

impl CallPeer {
    /// The params to send on; `None` where the client does not want this.
    fn wanted(&self, notification: &Notification) -> Option<Option<RawJson>> {
        let params = notification.params.as_ref();
        match notification.method.as_str() {
            "notifications/progress" => {
                let (token, params) = (self.progress.as_ref()?, params?);
                let same = params
                    .member(meta::PROGRESS_TOKEN)
                    .is_some_and(|given| given.as_bytes() == token.as_bytes());
                if same {
                    return Some(Some(params.clone()));
                }
                params.edit().set(meta::PROGRESS_TOKEN, token).finish().ok().map(Some)
            }
            LOGGED => {
                let least = match self.era {
                    Era::Modern => Some(self.level?),
                    Era::Legacy => self.session.upgrade().and_then(|session| session.level()),
                };
                let level = Level::of(params);
                // A level that is not known counts as grave enough for a legacy client.
                let passes = match (level, least) {
                    (Some(level), Some(least)) => level >= least,
                    _ => self.era == Era::Legacy,
                };
                passes.then(|| params.cloned())
            }
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed"
            | "notifications/resources/updated"
            | "notifications/elicitation/complete"
            | "notifications/cancelled"
                if self.era == Era::Modern =>
            {
                None
            }
            _ => Some(params.cloned()),
        }
    }
}

/// Why `client` cannot be asked this, if it cannot.
pub(crate) fn refusal(
    client: &Client,
    method: &Method,
    params: Option<&RawJson>,
) -> Option<&'static str> {
    let has = |name| client.capabilities.member(name);
    match method.as_str() {
        "ping" => None,
        "sampling/createMessage" => {
            has("sampling").is_none().then_some("the client did not declare `sampling`")
        }
        "roots/list" => has("roots").is_none().then_some("the client did not declare `roots`"),
        "elicitation/create" => {
            let Some(elicitation) = has("elicitation") else {
                return Some("the client did not declare `elicitation`");
            };
            let is_url = params
                .and_then(|params| params.member("mode"))
                .is_some_and(|mode| mode.as_bytes() == br#""url""#);
            (is_url && elicitation.to_json().member("url").is_none())
                .then_some("the client did not declare `elicitation.url`")
        }
        name if name.starts_with("tasks/") && has("tasks").is_some() => None,
        _ => Some("clients cannot be asked this"),
    }
}

#[async_trait]
impl Peer for CallPeer {
    fn notify(&self, notification: Notification) {
        if self.stop.token.is_cancelled() {
            return; // the call is over
        }
        let Some(params) = self.wanted(&notification) else { return };
        let message = message::notification(&notification.method, params.as_ref());
        if self.outbox.push(message) == Push::Full {
            self.stop.overflow();
        }
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        let refusal = match self.era {
            Era::Legacy => refusal(&self.client, &method, params.as_ref()),
            // What it can be asked, it is asked by a parked call.
            Era::Modern => Some("a client of 2026-07-28 cannot be asked this"),
        };
        if let Some(reason) = refusal {
            return Err(Error::new(Kind::InvalidRequest).message(reason));
        }
        let session = self.session.upgrade().filter(|_| !self.stop.token.is_cancelled());
        let question = Question { method, params, deadline, cap: self.asks };
        question.put(session, &self.outbox, || self.stop.overflow()).await
    }

    fn lasting(&self) -> Option<Arc<dyn Peer>> {
        let session = self.session.clone();
        (self.era == Era::Legacy).then(|| Arc::new(SessionPeer { session, asks: self.asks }) as _)
    }
}

/// The way back to a legacy client beyond its calls: the stream of its session that belongs to none.
#[derive(Debug)]
struct SessionPeer {
    session: WeakSession,
    asks: usize,
}

#[async_trait]
impl Peer for SessionPeer {
    fn notify(&self, notification: Notification) {
        let Some(session) = self.session.upgrade() else { return };
        let params = notification.params.as_ref();
        let least = session.level().filter(|_| notification.method.as_str() == LOGGED);
        // A level that is not known counts as grave enough.
        if least.is_none_or(|least| Level::of(params).is_none_or(|level| level >= least)) {
            session.say(message::notification(&notification.method, params));
        }
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        let session = self.session.upgrade();
        let client = session.as_ref().and_then(|session| session.client()).ok_or_else(gone)?;
        if let Some(reason) = refusal(&client, &method, params.as_ref()) {
            return Err(Error::new(Kind::InvalidRequest).message(reason));
        }
        let outbox = session.as_ref().and_then(|session| session.general()).ok_or_else(gone)?;
        let question = Question { method, params, deadline, cap: self.asks };
        question.put(session, &outbox, || {}).await
    }
}

fn gone() -> Error {
    Error::new(Kind::Disconnected).message("the client cannot be reached")
}

/// A question on its way to a legacy client.
struct Question {
    method: Method,
    params: Option<RawJson>,
    deadline: Instant,
    /// How many may be open.
    cap: usize,
}

impl Question {
    /// Puts it on a stream and waits for the answer; `full` is told where the client reads too slowly.
    async fn put(
        self,
        session: Option<Arc<Session>>,
        outbox: &Arc<Outbox>,
        full: impl FnOnce(),
    ) -> Result<RawJson, Error> {
        let session = session.ok_or_else(gone)?;
        let mut ask = session.ask(outbox, self.cap).ok_or(Kind::Overloaded)?;
        let request = message::request(&Id::own(ask.number), &self.method, self.params.as_ref());
        match outbox.push(request) {
            Push::Taken => {}
            Push::Dropped => return Err(gone()),
            Push::Full => {
                full();
                return Err(Kind::Overloaded.into());
            }
        }
        drop(session);
        let deadline = tokio::time::Instant::from_std(self.deadline.into_std());
        match tokio::time::timeout_at(deadline, &mut ask.answer).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(object))) => {
                let code = object.member("code").and_then(|code| code.get().ok());
                Err(Error::protocol(code.unwrap_or(message::code::INTERNAL), object))
            }
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Error::new(Kind::Timeout).message("the client did not answer")),
        }
    }
}
