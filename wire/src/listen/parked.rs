//! A legacy server's questions to a modern client.
//!
//! A legacy server asks while the call is open; a modern client expects the call to end with `input_required`, and makes
//! it again with the answers. So the call stays open towards the server and is parked here: the client gets the
//! questions and a `requestState` that names the parked call, and what it sends next with that state goes on with it.
//!
//! The name is 128 random bits, good for one use, and only for the principal, the method and the params (without
//! `_meta`, in whatever order) that it was given for.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::AbortOnDropHandle;
use toolweir_core::{
    Client, Error, Instant, Kind, Method, Notification, Peer, Principal, RawJson, Reply,
};

use super::calls::Asked;
use super::front::Front;
use super::lock;
use super::peer::{CallPeer, refusal};
use crate::message::{Request, code, error_object};

/// What the names begin with; a `requestState` without it is the server's own.
const PREFIX: &str = "toolweir-parked:";
const STATE: &str = "requestState";
const ANSWERS: &str = "inputResponses";
/// How much of what the server says between two requests of the client is kept for the second.
const MISSED: usize = 64;
/// How long a first question waits for others that are asked with it: nobody notices, since somebody answers.
const TOGETHER: Duration = Duration::from_millis(20);

/// Whether a call of this client can be parked: it can be asked something, on a method that may ask.
pub(crate) fn can_be_asked(client: &Client, method: &Method) -> bool {
    let may_ask = matches!(method.as_str(), "tools/call" | "prompts/get" | "resources/read");
    let has = |name| client.capabilities.member(name).is_some();
    may_ask && (has("elicitation") || has("sampling") || has("roots"))
}

/// The parked calls of one listener.
#[derive(Debug, Default)]
pub(crate) struct ParkedCalls {
    table: Mutex<HashMap<String, Parked>>,
    seed: RandomState,
}

#[derive(Debug)]
struct Parked {
    running: Running,
    owner: Principal,
    digest: u64,
    /// Takes it out when nobody came back in time.
    _expiry: AbortOnDropHandle<()>,
}

/// A call that may outlive the request that began it; dropped, it is cancelled at the server.
struct Running {
    work: Work,
    peer: Arc<LegPeer>,
}

type Carried = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

enum Work {
    /// Carried by the request that it answers.
    Here(Carried),
    /// Goes on between two requests.
    Apart { _task: AbortOnDropHandle<()>, result: oneshot::Receiver<Result<Reply, Error>> },
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Carries a modern client's request: from its beginning, or on from where it was parked; `None` where the client
/// cancelled.
pub(crate) async fn carry(asked: &Asked, front: &Arc<Front>) -> Option<Result<Reply, Error>> {
    let request = &asked.request;
    let leg = Arc::new(asked.peer(front));
    let claimed = match front.parked.claim(request, &asked.client.principal) {
        Ok(claimed) => claimed,
        Err(error) => return Some(Err(error)),
    };
    let mut running = match claimed {
        Some(running) => {
            running.peer.go_on(leg, request.params.as_ref());
            running
        }
        None => Running::begin(asked, front, leg),
    };
    let peer = running.peer.clone();
    let result = tokio::select! {
        biased;
        () = asked.stop.token.cancelled() => return None,
        result = running.finished() => Some(result),
        () = peer.asked() => None,
    };
    match result {
        Some(result) => Some(result),
        None => {
            // What is asked at the same time comes along.
            tokio::select! {
                biased;
                () = asked.stop.token.cancelled() => return None,
                result = running.finished() => return Some(result),
                () = tokio::time::sleep(TOGETHER) => {}
            }
            Some(front.parked.park(front, running, request, &asked.client.principal))
        }
    }
}

impl Running {
    fn begin(asked: &Asked, front: &Arc<Front>, leg: Arc<CallPeer>) -> Self {
        let peer = Arc::new(LegPeer {
            cap: front.service.limits.in_flight,
            state: Mutex::new(State::of(leg)),
            asked: Notify::new(),
        });
        let (service, call) = (front.service.clone(), asked.call(peer.clone()));
        Self { work: Work::Here(Box::pin(async move { service.call(&call).await })), peer }
    }

    /// The call's result.
    ///
    /// Cancel-safe; must not be called again once it has given one.
    async fn finished(&mut self) -> Result<Reply, Error> {
        match &mut self.work {
            Work::Here(carried) => carried.await,
            Work::Apart { result, .. } => {
                result.await.unwrap_or_else(|_| Err(Error::new(Kind::Closed).ambiguous()))
            }
        }
    }

    /// Lets the call go on without a request that carries it; it ends with the listener.
    fn apart(self, front: &Front) -> Self {
        let Work::Here(carried) = self.work else { return self };
        let (sender, result) = oneshot::channel();
        let (closing, killed) = (front.closing.clone(), front.killed.clone());
        let task = front.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = killed.cancelled() => {}
                result = carried => drop(sender.send(result)),
            }
        });
        let work = Work::Apart { _task: AbortOnDropHandle::new(task), result };
        Self { work, peer: self.peer }
    }
}

impl ParkedCalls {
    /// The call that the request goes on with; `None` where it names none of ours.
    fn claim(&self, request: &Request, owner: &Principal) -> Result<Option<Running>, Error> {
        let state = request.params.as_ref().and_then(|params| params.member(STATE));
        let Some(name) = state.as_ref().and_then(|state| state.string()) else { return Ok(None) };
        if !name.starts_with(PREFIX) {
            return Ok(None);
        }
        let digest = self.digest(request);
        let mut table = lock(&self.table);
        let is_theirs = |parked: &Parked| parked.owner == *owner && parked.digest == digest;
        if table.get(&*name).is_some_and(is_theirs) {
            return Ok(table.remove(&*name).map(|parked| parked.running));
        }
        drop(table);
        Err(invalid_state())
    }

    /// The questions, and the name under which the call waits for their answers.
    fn park(
        self: &Arc<Self>,
        front: &Arc<Front>,
        running: Running,
        request: &Request,
        owner: &Principal,
    ) -> Result<Reply, Error> {
        let limits = &front.service.limits;
        let full = || {
            Error::new(Kind::Overloaded).ambiguous().message(format!(
                "the server asks something, but {} calls wait for answers already",
                limits.parked
            ))
        };
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| {
            Error::new(Kind::Internal).ambiguous().message("there is no randomness")
        })?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{PREFIX}{random}");
        let digest = self.digest(request);
        let peer = running.peer.clone();
        {
            let mut table = lock(&self.table);
            if table.len() >= limits.parked {
                return Err(full()); // drops the call, which cancels it at the server
            }
            let (parked, expired, idle) = (Arc::downgrade(self), name.clone(), limits.parked_idle);
            let (closing, killed) = (front.closing.clone(), front.killed.clone());
            let expiry = front.tasks.spawn(async move {
                tokio::select! {
                    () = closing.cancelled() => {}
                    () = killed.cancelled() => {}
                    () = tokio::time::sleep(idle) => {}
                }
                let parked =
                    parked.upgrade().and_then(|parked| lock(&parked.table).remove(&expired));
                drop(parked);
            });
            let running = running.apart(front);
            let entry = Parked {
                running,
                owner: owner.clone(),
                digest,
                _expiry: AbortOnDropHandle::new(expiry),
            };
            table.insert(name.clone(), entry);
        }
        let questions = peer.pause();
        let result = RawJson::EMPTY_OBJECT
            .edit()
            .set("resultType", &super::calls::text("input_required"))
            .set("inputRequests", &questions)
            .set(STATE, &super::calls::text(&name))
            .finish();
        let result = result.map_err(|error| {
            Error::new(Kind::InvalidReply).message(format!("its question: {error}"))
        })?;
        let mut reply = Reply::new(result);
        reply.input_required = true;
        Ok(reply)
    }

    /// What two requests of one exchange have in common.
    fn digest(&self, request: &Request) -> u64 {
        let mut hasher = self.seed.build_hasher();
        request.method.as_str().hash(&mut hasher);
        let mut sum = 0_u64;
        for member in request.params.iter().flat_map(RawJson::members) {
            if !matches!(&*member.key, "_meta" | STATE | ANSWERS) {
                sum = sum.wrapping_add(self.member(&member.key, &member.value.to_json()));
            }
        }
        sum.hash(&mut hasher);
        hasher.finish()
    }

    fn member(&self, key: &str, value: &RawJson) -> u64 {
        self.seed.hash_one((key, self.value(value)))
    }

    /// The same for values that differ in white space and the order of members alone. As deep as a message may be.
    fn value(&self, value: &RawJson) -> u64 {
        let mut hasher = self.seed.build_hasher();
        match value.as_bytes().first() {
            Some(b'{') => {
                let members = value.members();
                let sum = members.fold(0_u64, |sum, member| {
                    sum.wrapping_add(self.member(&member.key, &member.value.to_json()))
                });
                ('{', sum).hash(&mut hasher);
            }
            Some(b'[') => {
                '['.hash(&mut hasher);
                value.items().for_each(|item| self.value(&item.to_json()).hash(&mut hasher));
            }
            _ => value.as_bytes().hash(&mut hasher),
        }
        hasher.finish()
    }
}

fn invalid_state() -> Error {
    let text = "`requestState` names no call that waits for an answer: it was used before, has expired, or belongs to \
                another request; make the call anew";
    let data = serde_json::json!({ "reason": "invalid_request_state" });
    Error::protocol(code::INVALID_PARAMS, error_object(code::INVALID_PARAMS, text, Some(data)))
        .message(text)
}

/// The way back to a client that comes and goes.
#[derive(Debug)]
struct LegPeer {
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
    /// Ends when there is a question that the client has not been told of.
    async fn asked(&self) {
        loop {
            let asked = self.asked.notified();
            if lock(&self.state).questions.values().any(|question| !question.told) {
                return;
            }
            asked.await;
        }
    }

    /// All open questions, as `inputRequests`; from now on no request of the client is open.
    fn pause(&self) -> RawJson {
        let mut state = lock(&self.state);
        state.leg = None;
        let mut requests = RawJson::EMPTY_OBJECT;
        for (number, question) in &mut state.questions {
            question.told = true;
            let (empty, method) =
                (RawJson::EMPTY_OBJECT, super::calls::text(question.method.as_str()));
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
    fn go_on(&self, leg: Arc<CallPeer>, params: Option<&RawJson>) {
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

/// Only a call of this client may be parked; the rest of its requests are carried plainly.
pub(crate) fn concerns(asked: &Asked) -> bool {
    let names_ours = || {
        let state = asked.request.params.as_ref().and_then(|params| params.member(STATE));
        state.is_some_and(|state| state.string().is_some_and(|name| name.starts_with(PREFIX)))
    };
    can_be_asked(&asked.client, &asked.request.method) || names_ours()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{self, Incoming};

    #[test]
    fn two_requests_of_one_exchange_have_the_same_digest_and_others_have_not() {
        let calls = ParkedCalls::default();
        let digest = |params: &str| {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            match message::read(text.into(), 128).unwrap() {
                Incoming::Request(request) => calls.digest(&request),
                other => panic!("{other:?}"),
            }
        };
        let first =
            digest(r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e22},"_meta":{"n":1}}"#);
        let same = [
            r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e22}}"#,
            r#"{ "arguments": {"c":1e22, "a":[1, {"b":"x"}]}, "name":"t", "requestState":"s", "inputResponses":{"a":1}}"#,
        ];
        for params in same {
            assert_eq!(digest(params), first, "{params}");
        }
        let others = [
            r#"{"name":"t"}"#,
            r#"{"name":"u","arguments":{"a":[1,{"b":"x"}],"c":1e22}}"#,
            r#"{"name":"t","arguments":{"a":[{"b":"x"},1],"c":1e22}}"#,
            r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e23}}"#,
            r#"{"name":"t","arguments":{"a":[1,{"x":"b"}],"c":1e22}}"#,
            r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e22},"more":1}"#,
        ];
        for params in others {
            assert_ne!(digest(params), first, "{params}");
        }
    }
}
