//! HTTP+SSE as of 2024-11-05: what is asked is posted, all answers come on one stream.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use toolweir_wire::WebServer;

use super::*;
use crate::peer::http::{Answer, EVENTS, Seen, Web, http, legacy, result};

/// A server that has nothing else.
#[derive(Default)]
struct Old {
    stream: Mutex<Option<UnboundedSender<Vec<u8>>>>,
    streams: AtomicUsize,
    asking: Mutex<Value>,
}

impl Old {
    fn say(&self, message: &Value) {
        self.say_raw(&format!("event: message\ndata: {message}\n\n"));
    }

    fn say_raw(&self, event: &str) {
        let _ = self.stream.lock().unwrap().as_ref().unwrap().send(event.as_bytes().to_vec());
    }

    fn answer(&self, seen: &Seen, endpoint: &str) -> Answer {
        if seen.method == "GET" {
            let (sender, receiver) = unbounded_channel();
            *self.stream.lock().unwrap() = Some(sender);
            let number = self.streams.fetch_add(1, Ordering::SeqCst) + 1;
            let begin = format!("{EVENTS}event: endpoint\ndata: {endpoint}?s={number}\n\n");
            return Answer::Fed(begin.into_bytes(), receiver);
        }
        if !seen.path.starts_with("/messages") {
            return http("405 Method Not Allowed", "", "");
        }
        let message = seen.json();
        let done = |result: Value| {
            self.say(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }));
        };
        match (&*seen.what(), message["params"]["name"].as_str().unwrap_or_default()) {
            ("initialize", _) => done(
                json!({ "protocolVersion": "2024-11-05", "capabilities": { "tools": {} }, "serverInfo": { "name": "old", "version": "1" } }),
            ),
            (_, "deaf") => return Answer::Open(Vec::new()), // never accepts it
            (_, "hang") => {}
            (_, "busy") => return http("429 Too Many Requests", "Retry-After: 7\r\n", ""),
            (_, "broken") => return http("500 Internal Server Error", "", ""),
            (_, "forgotten") => return http("404 Not Found", "", "no such session"),
            (_, "progress") => {
                let token = &message["params"]["_meta"]["progressToken"];
                let params = json!({ "progressToken": token, "progress": 1 });
                self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }));
                done(json!({}));
            }
            (_, "leave") => *self.stream.lock().unwrap() = None,
            (_, "ask") => {
                *self.asking.lock().unwrap() = message["id"].clone();
                self.say(&json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" }));
            }
            (_, "large") => self.say_raw(&format!("data: {}\n\n", "x".repeat(1 << 20))),
            (_, "lines") => self.say_raw(&format!(
                "data: {{\"jsonrpc\":\"2.0\",\ndata: \"id\":{},\"result\":{{\"n\":1e22}}}}\n\n",
                message["id"]
            )),
            ("tools/call", _) => done(message["params"]["arguments"].clone()),
            ("POST", _) => {
                let id = self.asking.lock().unwrap().clone();
                self.say(&json!({ "jsonrpc": "2.0", "id": id, "result": message["result"] }));
            }
            _ => {}
        }
        http("202 Accepted", "", "")
    }
}

async fn old() -> (Web, Arc<Old>) {
    let old = Arc::new(Old::default());
    let answers = old.clone();
    (Web::start(move |seen| answers.answer(seen, "/messages")).await, old)
}

fn at(web: &Web, options: Options) -> WebServer {
    let endpoint = Endpoint::new(&format!("http://{}/sse", web.address)).unwrap();
    WebServer::new("web", endpoint.header("x-key", "canary").unwrap(), options).unwrap()
}

#[tokio::test]
async fn a_server_that_has_nothing_else_is_spoken_with() {
    for first in [false, true] {
        let (web, _) = old().await;
        let server = at(&web, Options::default());
        let server = if first { server.sse_first() } else { server };
        let info = within(server.connect(soon())).await.unwrap();
        assert_eq!(&*info.protocol_version, "2024-11-05");
        assert_eq!(value(&server, "x", json!({ "a": 1 })).await, json!({ "a": 1 }));
        let reply = call(&server, "lines", json!({})).await.unwrap();
        assert_eq!(reply.result.as_str(), r#"{"n":1e22}"#, "over two lines");
        let seen = web.seen();
        let tried = seen.iter().filter(|seen| seen.method == "POST" && seen.path == "/sse").count();
        assert_eq!(tried > 0, !first, "Streamable HTTP was tried first");
        let spoken: Vec<_> =
            seen.iter().filter(|seen| seen.path == "/messages?s=1").map(Seen::what).collect();
        assert_eq!(spoken, ["initialize", "notifications/initialized", "tools/call", "tools/call"]);
        assert!(seen.iter().all(|seen| seen.header("x-key") == Some("canary")));
        within(server.close(soon())).await;
    }
}

#[tokio::test]
async fn a_question_is_asked_of_the_caller_and_its_answer_posted() {
    let (web, _) = old().await;
    let server = at(&web, Options::default()).sse_first();
    let caller = Arc::new(Caller::default());
    let asks = tool("ask", json!({})).peer(caller);
    let reply = within(server.call(&asks)).await.unwrap();
    assert_eq!(reply.result.as_str(), r#"{"answered":"roots/list"}"#);
}

#[tokio::test]
async fn a_lost_stream_is_opened_again_and_no_call_sent_again() {
    let (web, old) = old().await;
    let server = at(&web, Options::default()).sse_first();
    let (hang, leave) = (tool("hang", json!({})), tool("leave", json!({})));
    let leaving = async {
        web.sees("tools/call", 1).await;
        within(server.call(&leave)).await
    };
    let (hung, left) = tokio::join!(within(server.call(&hang)), leaving);
    for lost in [hung, left] {
        let error = lost.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false), "{error}");
    }
    assert_eq!(value(&server, "x", json!({})).await, json!({}));
    assert_eq!(old.streams.load(Ordering::SeqCst), 2);
    assert_eq!(web.of("tools/call").len(), 3);
}

#[tokio::test]
async fn nothing_is_posted_to_another_origin() {
    let old = Old::default();
    let elsewhere = Web::start(|_| http("202 Accepted", "", "")).await;
    let endpoint = format!("http://{}/messages", elsewhere.address);
    let web = Web::start(move |seen| old.answer(seen, &endpoint)).await;
    let error = within(at(&web, Options::default()).sse_first().connect(soon())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("another origin"), "{error}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_message_that_is_not_accepted_slows_no_other() {
    let (web, _) = old().await;
    let server = at(&web, Options::default()).sse_first();
    within(server.connect(soon())).await.unwrap();
    let deaf = tool("deaf", json!({}));
    let others = async {
        web.sees("tools/call", 1).await;
        for number in 0..20 {
            assert_eq!(value(&server, "x", json!({ "n": number })).await, json!({ "n": number }));
        }
    };
    tokio::select! {
        _ = server.call(&deaf) => panic!("it has no answer"),
        () = others => {}
    }
}

#[tokio::test]
async fn an_event_over_the_cap_ends_the_stream_and_its_calls() {
    let (web, _) = old().await;
    let mut limits = Limits::default();
    limits.message = 64 << 10;
    let server = at(&web, Options::default().limits(limits)).sse_first();
    let error = call(&server, "large", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("larger than 65536 bytes"), "{error}");
    assert_eq!(value(&server, "x", json!({})).await, json!({}), "the next has a new one");
}

#[tokio::test]
async fn a_server_that_moved_on_is_spoken_with_as_it_wants() {
    let web = Web::start(|seen| legacy(seen, |seen| result(seen, &json!({ "a": 1 })))).await;
    let server = at(&web, Options::default()).sse_first();
    assert_eq!(value(&server, "x", json!({})).await, json!({ "a": 1 }));
    assert_eq!(web.of("initialize").len(), 1);
}

#[tokio::test]
async fn a_refusal_of_credentials_is_no_other_transport() {
    let web = Web::start(|_| http("401 Unauthorized", "", "")).await;
    let error = within(at(&web, Options::default()).connect(soon())).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    assert!(web.seen().iter().all(|seen| seen.method == "POST"), "no stream is tried");
}

#[tokio::test]
async fn a_message_that_is_refused_costs_its_own_call() {
    let (web, old) = old().await;
    let server = at(&web, Options::default()).sse_first();
    let hang = tool("hang", json!({}));
    let hung = within(server.call(&hang));
    let others = async {
        web.sees("tools/call", 1).await;
        let error = call(&server, "busy", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Throttled { retry_after: Some(Duration::from_secs(7)) });
        let error = call(&server, "broken", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Status { status: 500 }, false));
        assert_eq!(value(&server, "x", json!({})).await, json!({}));
        assert_eq!(old.streams.load(Ordering::SeqCst), 1);
        // Nobody carried it out; with the session all else ends too.
        let error = call(&server, "forgotten", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Status { status: 404 }, true));
    };
    let (hung, ()) = tokio::join!(hung, others);
    let error = hung.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
    assert_eq!(value(&server, "x", json!({})).await, json!({}), "the next has a new one");
    assert_eq!(old.streams.load(Ordering::SeqCst), 2);
    assert_eq!(web.of("tools/call").len(), 6);
}

#[tokio::test]
async fn progress_comes_and_a_cancellation_goes() {
    let (web, _) = old().await;
    let server = at(&web, Options::default()).sse_first();
    let caller = Arc::new(Caller::default());
    let params = r#"{"name":"progress","_meta":{"progressToken":"mine"}}"#;
    let reports = Call::new(Method::TOOLS_CALL, Some(RawJson::new(params).unwrap()));
    within(server.call(&reports.target("progress").peer(caller.clone()))).await.unwrap();
    assert_eq!(caller.heard()[0].1, json!({ "progressToken": "mine", "progress": 1 }));
    let hang = tool("hang", json!({}));
    tokio::select! {
        _ = server.call(&hang) => panic!("it has no answer"),
        () = web.sees("tools/call", 2) => {}
    }
    web.sees("notifications/cancelled", 1).await;
    let id = &web.of("tools/call")[1].json()["id"];
    assert_eq!(web.of("notifications/cancelled")[0].json()["params"]["requestId"], *id);
}

#[tokio::test]
async fn a_server_that_comes_back_with_the_other_transport_is_spoken_with_and_no_call_sent_twice() {
    let old = Arc::new(Old::default());
    let (answers, is_old) = (old.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let changes = is_old.clone();
    let web = Web::start(move |seen| match changes.load(Ordering::SeqCst) {
        true => answers.answer(seen, "/messages"),
        false => legacy(seen, |seen| result(seen, &json!({ "is": "new" }))),
    })
    .await;
    let server = at(&web, Options::default());
    assert_eq!(value(&server, "x", json!({})).await, json!({ "is": "new" }));
    is_old.store(true, Ordering::SeqCst);
    let mut failures = 0;
    let result = loop {
        match call(&server, "x", json!({ "is": "old" })).await {
            Ok(reply) => break reply.result,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        failures += 1;
        assert!(failures < 2, "found out by the call that was refused");
    };
    assert_eq!(result.as_str(), r#"{"is":"old"}"#);
    let carried =
        web.of("tools/call").iter().filter(|seen| seen.path.starts_with("/messages")).count();
    assert_eq!(carried, 1);
}

#[tokio::test]
async fn a_stream_that_says_no_endpoint_is_given_up() {
    let web = Web::start(|_| Answer::Open(EVENTS.as_bytes().to_vec())).await;
    let options = Options::default().connect_timeout(Duration::from_secs(1));
    let error = within(at(&web, options).sse_first().connect(soon())).await.unwrap_err();
    assert!(error.to_string().contains("no `endpoint` within 0.5 s"), "{error}");
}
