//! Streams of legacy servers that are taken up again with `Last-Event-ID`.

use super::*;
use crate::peer::http::*;
use toolweir_core::Principal;

fn stream(blocks: &str) -> Answer {
    Answer::Close([EVENTS.as_bytes(), blocks.as_bytes()].concat())
}

fn event(id: &str, message: &Value) -> String {
    format!("id: {id}\nretry: 5\ndata: {message}\n\n")
}

/// A server whose answer to a call ends before its result; what a GET is answered is for `then`, which is given the
/// `Last-Event-ID` and the id of the call.
async fn broken_off(
    begin: &'static str,
    then: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
) -> Web {
    let id = Mutex::new(Value::Null);
    Web::start(move |seen| match (&*seen.method, seen.header("last-event-id")) {
        ("GET", Some(last)) => then(last, &id.lock().unwrap()),
        _ => legacy(seen, |seen| {
            *id.lock().unwrap() = seen.json()["id"].clone();
            stream(begin)
        }),
    })
    .await
}

#[tokio::test]
async fn a_stream_that_ends_early_goes_on_where_it_ended() {
    let web = broken_off("id: a\nretry: 5\ndata: \n\n", |last, id| match last {
        "a" => {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                                   "params": { "progressToken": id, "progress": 1 } });
            stream(&format!("{}id: c\n\nid: never ended", event("b", &progress)))
        }
        "c" => stream(&event("d", &json!({ "jsonrpc": "2.0", "id": id, "result": { "n": 1e22 } }))),
        _ => http("404 Not Found", "", ""),
    })
    .await;
    let server = web.server();
    let caller = Arc::new(Caller::default());
    let params = r#"{"name":"x","_meta":{"progressToken":"mine"}}"#;
    let call = Call::new(Method::TOOLS_CALL, Some(RawJson::new(params).unwrap()))
        .target("x")
        .peer(caller.clone());
    let reply = within(server.call(&call)).await.unwrap();
    assert_eq!(reply.result.get::<Value>().unwrap(), json!({ "n": 1e22 }));
    assert_eq!(caller.heard()[0].1, json!({ "progressToken": "mine", "progress": 1 }));
    assert_eq!(web.of("tools/call").len(), 1, "the call itself is never sent again");
    let gets = web.of("GET");
    let taken_up = gets.iter().filter_map(|seen| seen.header("last-event-id"));
    assert_eq!(taken_up.collect::<Vec<_>>(), ["a", "c"]);
    assert!(gets.iter().all(|seen| seen.header("mcp-session-id") == Some("s-1")));
}

#[tokio::test]
async fn a_stream_is_not_taken_up_for_ever() {
    for (status, tries) in [("503 No", 5), ("405 No", 1), ("404 No", 1)] {
        let web = broken_off("id: a\nretry: 1\ndata: \n\n", move |_, _| http(status, "", "")).await;
        let error = call(&web.server(), "x", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false), "{status}");
        let gets = web.of("GET");
        let count = gets.iter().filter(|seen| seen.header("last-event-id").is_some()).count();
        assert_eq!(count, tries, "{status}");
        assert_eq!(web.of("tools/call").len(), 1);
    }
}

#[tokio::test]
async fn without_an_event_id_there_is_nothing_to_take_up() {
    let web = broken_off("retry: 1\ndata: \n\n", |_, _| stream("")).await;
    let error = call(&web.server(), "x", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
    assert!(web.of("GET").iter().all(|seen| seen.header("last-event-id").is_none()));
}

#[tokio::test]
async fn what_nobody_asked_for_is_heard_from_where_it_was_lost() {
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    let web = Web::start(move |seen| match (&*seen.method, seen.header("last-event-id")) {
        ("GET", None) => stream(&event("a", &changed)),
        ("GET", Some("a")) => stream(&event("b", &changed)),
        // It keeps nothing that long: the next stream is an ordinary one.
        ("GET", Some(_)) => http("400 Bad Request", "", ""),
        _ => legacy(seen, |_| http("500 No", "", "")),
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    listener.hears("notifications/tools/list_changed", 3).await;
    let gets = web.of("GET");
    let ids: Vec<_> = gets.iter().map(|seen| seen.header("last-event-id")).collect();
    assert_eq!(ids[..4], [None, Some("a"), Some("b"), None]);
}

/// The SDKs send a question that names no request on the stream that belongs to no call: it was refused, always.
#[tokio::test]
async fn a_question_beside_a_call_is_its_callers_where_it_is_the_only_one() {
    for callers in [1, 2] {
        // Calls end when the question has been answered; until then their streams are taken up again and again.
        let state = Arc::new(Mutex::new((Vec::new(), false, 0)));
        let seen_by = state.clone();
        let web = Web::start(move |seen| {
            let mut state = seen_by.lock().unwrap();
            let (calls, is_answered, rounds) = &mut *state;
            match (&*seen.what(), seen.header("last-event-id")) {
                ("GET", None) if calls.len() < callers => stream("retry: 50\n\n"),
                ("GET", None) => {
                    let ask = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" });
                    Answer::Open([EVENTS.as_bytes(), format!("data: {ask}\n\n").as_bytes()].concat())
                }
                ("GET", Some(last)) => {
                    *rounds += 1;
                    let id = last.split('.').next().unwrap();
                    let message = match is_answered {
                        true => json!({ "jsonrpc": "2.0", "id": id.parse::<u64>().unwrap(), "result": {} }).to_string(),
                        false => String::new(),
                    };
                    stream(&format!("id: {id}.{rounds}\nretry: 20\ndata: {message}\n\n"))
                }
                ("POST", None) => {
                    *is_answered = true;
                    http("202 Accepted", "", "")
                }
                _ => legacy(seen, |seen| {
                    let id = seen.json()["id"].clone();
                    let prime = format!("id: {id}.0\nretry: 20\ndata: \n\n");
                    calls.push(id);
                    stream(&prime)
                }),
            }
        })
        .await;
        let server = web.server();
        let calls = (0..callers).map(|_| {
            let call = tool("x", json!({})).peer(Arc::new(Caller::default()));
            let (server, call) = (
                server.clone(),
                call.client(Arc::new(toolweir_core::Client::new(Principal::local()))),
            );
            tokio::spawn(async move { server.call(&call).await })
        });
        for call in calls.collect::<Vec<_>>() {
            within(call).await.unwrap().unwrap();
        }
        let answer = web.of("POST")[0].json();
        assert_eq!(answer["id"], "q");
        if callers == 1 {
            assert_eq!(answer["result"], json!({ "answered": "roots/list" }));
        } else {
            let text = answer["error"]["message"].as_str().unwrap();
            assert!(text.contains("which client's call"), "{text}");
        }
    }
}

/// A question in a first call was lost where the stream for it was not open yet.
#[tokio::test]
async fn the_first_call_waits_for_the_stream_that_questions_come_on() {
    for listens in [true, false] {
        let web = Web::start(move |seen| match &*seen.what() {
            "GET" if listens => Answer::Open(EVENTS.into()),
            _ => legacy(seen, |seen| result(seen, &json!({}))),
        })
        .await;
        call(&web.server(), "x", json!({})).await.unwrap();
        let order: Vec<String> = web.seen().iter().map(Seen::what).collect();
        let at = |what: &str| order.iter().position(|seen| seen == what).unwrap();
        assert!(at("GET") < at("tools/call"), "{order:?}");
    }
}
