//! The way back to a client that is there for one request after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use toolweir_core::{Client, Error, Instant, Kind, Method, Notification, Peer, RawJson};

use super::super::peer::{CallPeer, refusal};
use super::super::{calls, lock};

pub(super) const ANSWERS: &str = "inputResponses";
/// How much of what the server says between two requests of the client is kept for the second.
const MISSED: usize = 64;

/// The way back to a client that comes and goes.
#[derive(Debug)]
pub(super) struct LegPeer {
    cap: usize,
    state: Mutex<State>,
    /// There is a question that the client has not been told of.
    asked: Notify,
}

#[derive(Debug)]
struct State {
    /// As it was when it last asked: what it declared then, it can be asked.
    client: Arc<Client>,
    /// The client's request that is open now.
    leg: Option<Arc<CallPeer>>,
    /// What was said while none was.
    missed: Vec<Notification>,
    next: u64,
    questions: BTreeMap<u64, Question>,
}

impl State {
    fn of(leg: Arc<CallPeer>) -> Self {
        Self {
            client: leg.client.clone(),
            leg: Some(leg),
            missed: Vec::new(),
            next: 0,
            questions: BTreeMap::new(),
        }
    }
}

#[derive(Debug)]
struct Question {
    method: Method,
    params: Option<RawJson>,
    answer: oneshot::Sender<RawJson>,
    told: bool,
}

impl LegPeer {
    /// The way back that begins with this request, for at most `cap` open questions.
    pub(super) fn new(cap: usize, leg: Arc<CallPeer>) -> Self {
        Self { cap, state: Mutex::new(State::of(leg)), asked: Notify::new() }
    }

    /// Ends when there is a question that the client has not been told of.
    pub(super) async fn asked(&self) {
        loop {
            let asked = self.asked.notified();
            if lock(&self.state).questions.values().any(|question| !question.told) {
                return;
            }
            asked.await;
        }
    }

    /// All open questions, as `inputRequests`; from now on no request of the client is open.
    pub(super) fn pause(&self) -> RawJson {
        let mut state = lock(&self.state);
        state.leg = None;
        let mut requests = RawJson::EMPTY_OBJECT;
        for (number, question) in &mut state.questions {
            question.told = true;
            let (empty, method) = (RawJson::EMPTY_OBJECT, calls::text(question.method.as_str()));
            let mut request = empty.edit().set("method", &method);
            if let Some(params) = &question.params {
                request = request.set("params", params);
            }
            let written = request
                .finish()
                .and_then(|request| requests.edit().set(key(*number), &request).finish());
            if let Ok(written) = written {
                requests = written;
            }
        }
        requests
    }

    /// Takes the answers and the stream of the client's next request; what was not answered is asked again.
    pub(super) fn go_on(&self, leg: Arc<CallPeer>, params: Option<&RawJson>) {
        let answers = params.and_then(|params| params.member(ANSWERS)).map(|part| part.to_json());
        let mut state = lock(&self.state);
        for answer in answers.iter().flat_map(RawJson::members) {
            let number = state.questions.keys().copied().find(|number| key(*number) == answer.key);
            if let Some(question) = number.and_then(|number| state.questions.remove(&number)) {
                let _ = question.answer.send(answer.value.to_json()); // or the server withdrew it
            }
        }
        for question in state.questions.values_mut() {
            question.told = false;
        }
        state.client = leg.client.clone();
        state.leg = Some(leg.clone());
        let missed = std::mem::take(&mut state.missed);
        drop(state);
        for notification in missed {
            leg.notify(notification);
        }
        self.asked.notify_one();
    }
}

fn key(number: u64) -> String {
    format!("question-{number}")
}

#[async_trait]
impl Peer for LegPeer {
    fn notify(&self, notification: Notification) {
        let mut state = lock(&self.state);
        match state.leg.clone() {
            Some(leg) => {
                drop(state);
                leg.notify(notification);
            }
            None if state.missed.len() < MISSED => state.missed.push(notification),
            None => tracing::debug!("a client's parked call says more than is kept"),
        }
    }

    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error> {
        if method == Method::PING {
            return Ok(RawJson::EMPTY_OBJECT); // whoever is parked is there
        }
        let (answer, receiver) = oneshot::channel();
        let open = {
            let mut state = lock(&self.state);
            if let Some(reason) = refusal(&state.client, &method, params.as_ref()) {
                return Err(Error::new(Kind::InvalidRequest).message(reason));
            }
            if state.questions.len() >= self.cap {
                return Err(Kind::Overloaded.into());
            }
            state.next += 1;
            let number = state.next;
            state.questions.insert(number, Question { method, params, answer, told: false });
            Open { peer: self, number }
        };
        self.asked.notify_one();
        let deadline = tokio::time::Instant::from_std(deadline.into_std());
        let answered = tokio::time::timeout_at(deadline, receiver).await;
        drop(open);
        match answered {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => {
                Err(Error::new(Kind::Disconnected).message("the client cannot be reached"))
            }
            Err(_) => Err(Error::new(Kind::Timeout).message("the client did not answer")),
        }
    }
}

/// An open question; withdrawn on drop.
struct Open<'a> {
    peer: &'a LegPeer,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(&self.peer.state).questions.remove(&self.number);
    }
}
