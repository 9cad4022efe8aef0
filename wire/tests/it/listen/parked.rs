//! A legacy server's questions to a modern client: the call is parked until the answers come.

use std::time::Duration;

use serde_json::{Value, json};
use toolweir_wire::Limits;

use super::stdio::Client as Stdio;
use super::{VERSION, modern_headers, start};
use crate::peer::client::Client;

/// Everything that a client can be asked.
const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

/// A call of `interview`, or what goes on with one.
fn interview(rounds: &Value, capabilities: &str, more: &Value) -> String {
    let mut params = json!({
        "name": "interview", "arguments": { "rounds": rounds },
        "_meta": {
            "progressToken": 99,
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities":
                serde_json::from_str::<Value>(capabilities).unwrap(),
        },
    });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

fn asks(text: &str) -> Value {
    json!({ "method": "elicitation/create", "params": { "message": text, "n": 1 } })
}

fn roots() -> Value {
    json!({ "method": "roots/list" })
}

/// The answers to these questions, in order; and the state.
fn answers(result: &Value, answers: &[Value]) -> Value {
    let questions = result["inputRequests"].as_object().unwrap();
    assert_eq!(questions.len(), answers.len(), "{result}");
    let given: serde_json::Map<_, _> =
        questions.keys().cloned().zip(answers.iter().cloned()).collect();
    json!({ "inputResponses": given, "requestState": result["requestState"] })
}

/// The answer to the call, behind its progress; over stdio.
async fn answer(client: &mut Stdio, line: &str) -> Value {
    client.send(line).await;
    loop {
        let message = client.next().await.unwrap();
        if message["method"].is_null() {
            return message;
        }
    }
}

async fn result(client: &mut Stdio, line: &str) -> Value {
    let mut answer = answer(client, line).await;
    assert_eq!(answer["error"], Value::Null, "{answer}");
    answer["result"].take()
}

async fn error(client: &mut Stdio, line: &str) -> Value {
    answer(client, line).await["error"].take()
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_with_the_answers_round_by_round() {
    let mut client = Stdio::start(Limits::default());
    let rounds = json!([[asks("one")], [asks("two"), roots()], [asks("three")]]);
    let first = result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    assert_eq!(first["resultType"], "input_required");
    let questions: Vec<_> = first["inputRequests"].as_object().unwrap().values().collect();
    assert_eq!(questions, [&asks("one")], "as the server asked it");
    let more = answers(&first, &[json!({ "action": "accept", "content": { "x": 1 } })]);
    let second = result(&mut client, &interview(&rounds, ALL, &more)).await;
    let questions: Vec<_> = second["inputRequests"].as_object().unwrap().values().collect();
    assert_eq!(questions, [&asks("two"), &roots()], "what is asked together comes together");
    assert_ne!(second["requestState"], first["requestState"], "each name is good once");
    let more = answers(&second, &[json!("a"), json!("b")]);
    let third = result(&mut client, &interview(&rounds, ALL, &more)).await;
    let more = answers(&third, &[json!({ "action": "decline" })]);
    let last = result(&mut client, &interview(&rounds, ALL, &more)).await;
    assert_eq!(last["resultType"], "complete");
    let expected = json!([
        [{ "action": "accept", "content": { "x": 1 } }], ["a", "b"], [{ "action": "decline" }]
    ]);
    assert_eq!(last["answers"], expected);
    assert_eq!(client.server().calls.lock().unwrap().len(), 1, "one call at the server");
    assert!(client.close().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_answered_is_asked_again() {
    let mut client = Stdio::start(Limits::default());
    let rounds = json!([[asks("one"), asks("two")]]);
    let first = result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    let one = first["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let more = json!({ "inputResponses": { one: "a", "of nobody": "x" }, "requestState": first["requestState"] });
    let second = result(&mut client, &interview(&rounds, ALL, &more)).await;
    let questions: Vec<_> = second["inputRequests"].as_object().unwrap().values().collect();
    assert_eq!(questions, [&asks("two")]);
    let none = json!({ "requestState": second["requestState"] });
    let third = result(&mut client, &interview(&rounds, ALL, &none)).await;
    assert_eq!(third["inputRequests"], second["inputRequests"]);
    let more = answers(&third, &[json!("b")]);
    let last = result(&mut client, &interview(&rounds, ALL, &more)).await;
    assert_eq!(last["answers"], json!([["a", "b"]]));
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn only_what_the_client_declared_is_asked() {
    let mut client = Stdio::start(Limits::default());
    let url = json!({ "method": "elicitation/create", "params": { "mode": "url" } });
    let sampling = json!({ "method": "sampling/createMessage" });
    let rounds = json!([[asks("x"), url, sampling, roots(), { "method": "x/unknown" }]]);
    for (capabilities, answered) in [
        (r#"{"elicitation":{}}"#, 1),
        (r#"{"elicitation":{"url":{}}}"#, 2),
        (r#"{"sampling":{}}"#, 1),
        (r#"{"roots":{}}"#, 1),
        (ALL, 4),
    ] {
        let first = result(&mut client, &interview(&rounds, capabilities, &json!({}))).await;
        let more = answers(&first, &vec![json!({ "ok": 1 }); answered]);
        let last = result(&mut client, &interview(&rounds, capabilities, &more)).await;
        let given = last["answers"][0].as_array().unwrap();
        let (ok, refused): (Vec<_>, Vec<_>) = given.iter().partition(|answer| answer.is_object());
        assert_eq!((ok.len(), refused.len()), (answered, 5 - answered), "{capabilities}: {last}");
        let told = |text: &&Value| text.as_str().unwrap().contains("client");
        assert!(refused.iter().all(told), "{refused:?}");
    }
    // Nothing declared: the call is never parked.
    let last = result(&mut client, &interview(&rounds, "{}", &json!({}))).await;
    assert_eq!(last["resultType"], "complete");
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_not_good_is_refused_and_harms_nobody() {
    let mut client = Stdio::start(Limits::default());
    let rounds = json!([[asks("one")], [asks("two")]]);
    let first = result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    let good = answers(&first, &[json!("a")]);
    let other = interview(&json!([[asks("one")]]), ALL, &good);
    let mut unknown = good.clone();
    unknown["requestState"] = json!("toolweir-parked:00000000000000000000000000000000");
    for line in [other, interview(&rounds, ALL, &unknown)] {
        let error = error(&mut client, &line).await;
        assert_eq!(
            (&error["code"], &error["data"]["reason"]),
            (&json!(-32602), &json!("invalid_request_state"))
        );
        assert!(error["message"].as_str().unwrap().contains("make the call anew"), "{error}");
    }
    let second = result(&mut client, &interview(&rounds, ALL, &good)).await;
    let again = error(&mut client, &interview(&rounds, ALL, &good)).await;
    assert_eq!(again["data"]["reason"], "invalid_request_state", "it is good once");
    let last =
        result(&mut client, &interview(&rounds, ALL, &answers(&second, &[json!("b")]))).await;
    assert_eq!(last["answers"], json!([["a"], ["b"]]));
    // What does not bear our name belongs to the server.
    let own = json!({ "requestState": "the server's own" });
    let passed = result(&mut client, &interview(&json!([]), ALL, &own)).await;
    assert_eq!(passed["resultType"], "complete");
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_come_back_is_forgotten_and_the_call_cancelled() {
    let mut limits = Limits::default();
    (limits.parked, limits.parked_idle) = (2, Duration::from_secs(60));
    let mut client = Stdio::start(limits);
    let rounds = json!([[asks("one")]]);
    let first = result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    client.server().holds(2).await;
    let full = error(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    assert!(full["message"].as_str().unwrap().contains("2 calls wait"), "{full}");
    client.server().holds(2).await; // the third was cancelled, nobody else
    tokio::time::sleep(Duration::from_secs(61)).await;
    client.server().holds(0).await;
    let late = error(&mut client, &interview(&rounds, ALL, &answers(&first, &[json!("a")]))).await;
    assert_eq!(late["data"]["reason"], "invalid_request_state");
    result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    client.server().holds(1).await;
    client.close().await; // nothing is left, and nobody waits for the parked call
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cancels_cancels_the_call_whichever_request_it_is_at() {
    let mut client = Stdio::start(Limits::default());
    let rounds = json!([[asks("one")], [roots()]]);
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let first = result(&mut client, &interview(&rounds, ALL, &json!({}))).await;
    client.send(cancel).await; // of a request that has its answer: nothing
    client.server().holds(1).await;
    let second =
        result(&mut client, &interview(&rounds, ALL, &answers(&first, &[json!("a")]))).await;
    assert_eq!(second["resultType"], "input_required");
    client.server().holds(1).await;
    client.close().await;
}

/// A way back that goes on between two requests: what is said meanwhile comes with the next.
#[tokio::test]
async fn progress_comes_on_the_stream_that_is_open() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let headers = modern_headers("tools/call", Some("interview"));
    let rounds = json!([[asks("one")], [asks("two")]]);
    let mut more = json!({});
    for number in 1..=2 {
        let mut stream = client.post(&headers, &interview(&rounds, ALL, &more)).await;
        assert_eq!(stream.event().await.unwrap()["params"]["progress"], number);
        let result = stream.event().await.unwrap()["result"].take();
        assert_eq!(result["resultType"], "input_required");
        more = answers(&result, &[json!("a")]);
    }
    let last = client.post(&headers, &interview(&rounds, ALL, &more)).await.json().await;
    assert_eq!(last["result"]["answers"], json!([["a"], ["a"]]));
    server.holds(0).await;
    // A stream that closes before the questions cancels the call; one that closes after them does not.
    let body = interview(&json!([[asks("one")]]), ALL, &json!({}));
    let parked = client.post(&headers, &body).await.text().await;
    assert!(parked.contains("input_required"));
    drop(client);
    server.holds(1).await;
    super::within(listener.shutdown(Duration::from_secs(20))).await;
    server.holds(0).await;
}
