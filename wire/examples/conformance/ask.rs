//! Asks the client in the way of its era.
//!
//! A legacy client is sent a request while its call stays open. A modern client gets `input_required` as the result,
//! and calls again with the answers. A tool written on [`ask`] serves both.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use toolweir_core::{Call, Clock, Error, Kind, Method, RawJson, Reply, TokioClock};

use crate::fixture::{refuse, reply};

/// How long a client's user may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One question.
pub(crate) struct Question {
    pub(crate) key: &'static str,
    pub(crate) method: Method,
    pub(crate) params: Value,
}

impl Question {
    /// What the client must have declared.
    pub(crate) fn capability(&self) -> &'static str {
        match self.method.as_str() {
            "sampling/createMessage" => "sampling",
            "elicitation/create" => "elicitation",
            _ => "roots",
        }
    }

    /// Whether `answer` has the shape of one.
    fn takes(&self, answer: &Value) -> bool {
        match self.method.as_str() {
            "sampling/createMessage" => answer["role"].is_string() && !answer["content"].is_null(),
            "elicitation/create" => answer["action"].is_string(),
            _ => answer["roots"].is_array(),
        }
    }
}

/// What became of the questions.
pub(crate) enum Answers {
    /// The answers under the questions' keys.
    Given(Map<String, Value>),
    /// The result to give now; the client calls again.
    Needed(Reply),
}

/// Whether the client speaks 2026-07-28.
pub(crate) fn is_modern(call: &Call) -> bool {
    call.client.protocol_version.as_deref() == Some("2026-07-28")
}

/// Whether the client declared `capability` for this call.
pub(crate) fn has(call: &Call, capability: &str) -> bool {
    call.client.capabilities.member(capability).is_some()
}

/// Refuses a call that needs what the client did not declare.
pub(crate) fn missing(capability: &str) -> Error {
    let data = json!({ "requiredCapabilities": { capability: {} } });
    refuse(-32021, "the client lacks a capability that this needs", data)
}

/// Puts all `questions` to the client at once; `state` comes back with a modern client's next call.
pub(crate) async fn ask(
    call: &Call,
    questions: Vec<Question>,
    state: Option<String>,
) -> Result<Answers, Error> {
    if let Some(question) = questions.iter().find(|question| !has(call, question.capability())) {
        return Err(missing(question.capability()));
    }
    if is_modern(call) {
        return Ok(
            given(call, &questions).unwrap_or_else(|| Answers::Needed(need(questions, state)))
        );
    }
    let peer = call.peer.as_ref().ok_or(Kind::InvalidRequest)?;
    let deadline = TokioClock.now() + PATIENCE;
    let mut asked = JoinSet::new(); // dropping it withdraws what is open
    for Question { key, method, params } in questions {
        let (peer, params) = (peer.clone(), Some(RawJson::from(params)));
        asked.spawn(async move { (key, peer.request(method, params, deadline).await) });
    }
    let mut answers = Map::new();
    while let Some(ended) = asked.join_next().await {
        let (key, answer) = ended.map_err(|_| Kind::Internal)?;
        let answer = answer?.get().map_err(|_| Kind::InvalidReply)?;
        answers.insert(key.to_owned(), answer);
    }
    Ok(Answers::Given(answers))
}

/// The answers that came with the call, where all are there and have the right shape; others are ignored.
fn given(call: &Call, questions: &[Question]) -> Option<Answers> {
    let responses = call.params.as_ref()?.member("inputResponses")?;
    let mut responses: Map<String, Value> = responses.get().ok()?;
    let mut answers = Map::new();
    for question in questions {
        let answer = responses.remove(question.key).filter(|answer| question.takes(answer))?;
        answers.insert(question.key.to_owned(), answer);
    }
    Some(Answers::Given(answers))
}

fn need(questions: Vec<Question>, state: Option<String>) -> Reply {
    let requests = questions.into_iter().map(|question| {
        let request = json!({ "method": question.method.as_str(), "params": question.params });
        (question.key.to_owned(), request)
    });
    let requests: Map<String, Value> = requests.collect();
    let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    let mut reply = reply(result);
    reply.input_required = true;
    reply
}
