//! A modern server's questions to a legacy client.
//!
//! A modern server that needs input ends the call with `input_required` and expects it again with the answers; a legacy
//! client expects questions while its call is open. So the call stays open towards the client: each question is
//! asked on its stream, and the call is sent again with what it answered.

use std::time::Duration;

use tokio::task::JoinSet;
use toolweir_core::{Call, Clock, Error, InvalidJson, Kind, Method, RawJson, Reply, TokioClock};

use crate::version::is_modern;

/// How often a server may ask before it must answer.
const ROUNDS_MAX: usize = 16;
/// How many questions one round may have.
const QUESTIONS_MAX: usize = 32;
/// How long a client's user or model may take for an answer, where the call has no deadline.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whether the caller is one of those who expect questions while their call is open.
pub(super) fn is_legacy_caller(call: &Call) -> bool {
    call.peer.is_some()
        && call.client.protocol_version.as_deref().is_some_and(|version| !is_modern(version))
}

/// Sends `call` by `send`, and again with the client's answers as long as the server asks.
///
/// For modern clients, which answer themselves, and for calls without a way back, once is enough.
pub(super) async fn answered<F>(call: &Call, send: impl Fn(Call) -> F) -> Result<Reply, Error>
where
    F: Future<Output = Result<Reply, Error>>,
{
    let mut reply = send(call.clone()).await?;
    for _ in 0..ROUNDS_MAX {
        if !(reply.input_required && is_legacy_caller(call)) {
            return Ok(reply);
        }
        let answers = ask(call, &reply.result).await?;
        let next = again(call, &reply.result, answers.as_ref()).map_err(|error| {
            Error::new(Kind::InvalidReply).message(format!("the server's questions: {error}"))
        })?;
        reply = send(next).await?;
    }
    Err(Error::new(Kind::InvalidReply)
        .message(format!("the server asked {ROUNDS_MAX} times without an answer")))
}

/// Asks the client everything at once; an object of its answers, `None` where nothing is asked.
async fn ask(call: &Call, result: &RawJson) -> Result<Option<RawJson>, Error> {
    let (Some(questions), Some(peer)) = (result.member("inputRequests"), &call.peer) else {
        return Ok(None);
    };
    let questions = questions.to_json();
    let deadline = call.deadline.unwrap_or_else(|| TokioClock.now() + PATIENCE);
    let mut asking = JoinSet::new(); // dropped with the call, which withdraws the questions
    for (place, question) in questions.members().enumerate() {
        if place >= QUESTIONS_MAX {
            return Err(Error::new(Kind::InvalidReply)
                .message(format!("over {QUESTIONS_MAX} questions at once")));
        }
        let key = question.key.into_owned();
        let question = question.value.to_json();
        let method = question
            .member("method")
            .and_then(|method| method.string().map(|name| Method::from(&*name)));
        let Some(method) = method else {
            return Err(Error::new(Kind::InvalidReply).message("a question without a method"));
        };
        let params = question.member("params").map(|params| params.to_json());
        let peer = peer.clone();
        asking.spawn(async move { (key, peer.request(method, params, deadline).await) });
    }
    let mut answers = RawJson::EMPTY_OBJECT;
    while let Some(answer) = asking.join_next().await {
        let (key, answer) =
            answer.map_err(|_| Error::new(Kind::Internal).message("a question panicked"))?;
        let answer = answer.map_err(|error| refusal(&error))?;
        answers = answers.edit().set(key, &answer).finish().map_err(|error| invalid(&error))?;
    }
    Ok(Some(answers))
}

/// The call as it is sent again: its own params with the answers and the server's state.
fn again(call: &Call, result: &RawJson, answers: Option<&RawJson>) -> Result<Call, InvalidJson> {
    let params = call.params.clone().unwrap_or(RawJson::EMPTY_OBJECT);
    let mut edit = params.edit();
    if let Some(answers) = answers {
        edit = edit.set("inputResponses", answers);
    }
    if let Some(state) = result.member("requestState") {
        edit = edit.set("requestState", &state.to_json());
    }
    let mut next = call.clone();
    next.params = Some(edit.finish()?);
    Ok(next)
}

/// The client did not answer: the server answered with a question, so the call was not carried out to its end.
fn refusal(error: &Error) -> Error {
    match error.rpc() {
        Some(object) => crate::message::server_error(object.clone()),
        None => Error::new(error.kind())
            .message(format!("the client did not answer the server's question: {error}"))
            .ambiguous(),
    }
}

fn invalid(error: &InvalidJson) -> Error {
    Error::new(Kind::InvalidReply).message(format!("the client's answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use toolweir_core::{Client, Instant, Notification, Peer, Principal};

    #[derive(Debug)]
    struct Knows;

    #[async_trait]
    impl Peer for Knows {
        fn notify(&self, _: Notification) {}
        async fn request(
            &self,
            method: Method,
            _: Option<RawJson>,
            _: Instant,
        ) -> Result<RawJson, Error> {
            Ok(RawJson::from(serde_json::json!({ "asked": method.as_str() })))
        }
    }

    fn legacy(params: Option<RawJson>) -> Call {
        let mut client = Client::new(Principal::local());
        client.protocol_version = Some("2025-11-25".into());
        Call::new(Method::TOOLS_CALL, params).peer(Arc::new(Knows)).client(Arc::new(client))
    }

    #[tokio::test]
    async fn the_call_is_sent_again_with_what_the_client_answered() {
        let params = r#"{"name":"t","arguments":{"n":1e22}}"#;
        let call = legacy(Some(RawJson::new(params).unwrap()));
        let replies = [
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s 1"}"#,
            r#"{"resultType":"input_required","requestState":"s2"}"#,
            r#"{"resultType":"complete","content":[]}"#,
        ];
        let (sent, left) = (Mutex::new(Vec::new()), Mutex::new(replies.into_iter()));
        let result = answered(&call, |call| {
            sent.lock().unwrap().push(call.params.unwrap().as_str().to_owned());
            let reply = left.lock().unwrap().next().unwrap();
            async move { Ok(crate::message::reply_of(RawJson::new(reply).unwrap())) }
        });
        assert_eq!(result.await.unwrap().result.as_str(), replies[2]);
        let second = r#"{"name":"t","arguments":{"n":1e22},"inputResponses":{"a":{"asked":"roots/list"}},"requestState":"s 1"}"#;
        let third = r#"{"name":"t","arguments":{"n":1e22},"requestState":"s2"}"#;
        assert_eq!(*sent.lock().unwrap(), [params, second, third]);
    }

    #[tokio::test]
    async fn a_server_that_asks_for_ever_is_ended() {
        let call = legacy(None);
        let endless = r#"{"resultType":"input_required","requestState":"again"}"#;
        let error = answered(&call, |_| async {
            Ok(crate::message::reply_of(RawJson::new(endless).unwrap()))
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidReply);
    }
}
