//! Answers as streams of events, and streams that nobody asked for.

use super::*;
use crate::peer::http::{
    Answer, EVENTS, Seen, Web, acknowledgement, http, legacy, listening, modern,
};
use crate::peer::script::{self, Step};
use crate::peer::{Stopped, server::streams};

fn events(messages: &[Value]) -> Vec<u8> {
    let mut text = String::from(EVENTS);
    for message in messages {
        text.push_str(&format!("event: message\ndata: {message}\n\n"));
    }
    text.into_bytes()
}

fn answer(seen: &Seen, text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "text": text } })
}

fn changed() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" })
}

#[tokio::test]
async fn progress_and_logs_come_before_the_streams_result() {
    let web = Web::start(|seen| {
        legacy(seen, |seen| {
            let token = &seen.json()["params"]["_meta"]["progressToken"];
            let progress = |token: &Value| json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                                                   "params": { "progressToken": token, "progress": 1 } });
            let log = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "data": 1 } });
            let late = json!({ "jsonrpc": "2.0", "id": 999, "result": {} });
            let other = json!(77);
            Answer::Close(events(&[progress(token), progress(&other), log, late, changed(), answer(seen, "done")]))
        })
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    let caller = Arc::new(Caller::default());
    let params = r#"{"name":"x","_meta":{"progressToken":"mine"}}"#;
    let call = Call::new(Method::TOOLS_CALL, Some(RawJson::new(params).unwrap()))
        .target("x")
        .peer(caller.clone());
    let reply = within(server.call(&call)).await.unwrap();
    assert_eq!(reply.result.as_str(), r#"{"text":"done"}"#);
    let heard = caller.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].1, json!({ "progressToken": "mine", "progress": 1 }));
    assert_eq!(heard[1].0, "notifications/message");
    listener.hears("notifications/tools/list_changed", 1).await;
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_gives_no_part_of_a_result() {
    let web = Web::start(|seen| {
        legacy(seen, |seen| {
            let whole = events(&[answer(seen, "caf\u{e9} and more")]);
            let at = seen.json()["params"]["arguments"]["at"].as_u64().unwrap();
            let at = usize::try_from(at).unwrap();
            Answer::Close(whole[..whole.len().min(EVENTS.len() + at)].to_vec())
        })
    })
    .await;
    let server = web.server();
    let mut whole = 0;
    for at in 0..110 {
        match call(&server, "x", json!({ "at": at })).await {
            Ok(reply) => {
                assert_eq!(reply.result.as_str(), "{\"text\":\"caf\u{e9} and more\"}");
                whole += 1;
            }
            Err(error) => {
                assert_eq!(whole, 0);
                assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
            }
        }
    }
    assert!((1..40).contains(&whole), "{whole}");
    assert_eq!(web.of("tools/call").len(), 110, "never sent again");
    assert_eq!(web.of("initialize").len(), 1);
}

/// Each answer as a stream cost a connection, because its last chunk was never read.
#[tokio::test]
async fn a_connection_is_used_again_after_a_stream() {
    let web = Web::start(|seen| {
        legacy(seen, |seen| {
            let event = format!("data: {}\n\n", answer(seen, "x"));
            let length = event.len();
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked";
            Answer::Keep(format!("{head}\r\n\r\n{length:x}\r\n{event}\r\n0\r\n\r\n").into_bytes())
        })
    })
    .await;
    let server = web.server();
    within(server.connect(soon())).await.unwrap();
    web.sees("GET", 1).await;
    let before = web.connections();
    for _ in 0..10 {
        call(&server, "x", json!({})).await.unwrap();
    }
    assert!(web.connections() <= before + 1, "{before} and then {}", web.connections());
}

#[tokio::test]
async fn a_body_cut_short_gives_no_part_of_a_result() {
    let web = Web::start(|seen| {
        legacy(seen, |seen| {
            let body = answer(seen, "x").to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            Answer::Close(format!("{head}{}", &body[..body.len() - 1]).into_bytes())
        })
    })
    .await;
    let error = call(&web.server(), "x", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
    assert_eq!(web.of("tools/call").len(), 1);
}

#[tokio::test]
async fn a_question_on_a_calls_stream_is_answered_by_its_caller() {
    let web = Web::start(|seen| match seen.json().get("method") {
        None if seen.method == "POST" => http("202 Accepted", "", ""),
        _ => legacy(seen, |seen| {
            let ask =
                |id: &str, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
            Answer::Open(events(&[
                ask("a", "sampling/createMessage"),
                ask("b", "ping"),
                ask("c", "nonsense"),
                answer(seen, "done"),
            ]))
        }),
    })
    .await;
    let server = web.server();
    let call = tool("x", json!({})).peer(Arc::new(Caller::default()));
    within(server.call(&call)).await.unwrap();
    web.sees("POST", 3).await;
    let mut answers: Vec<Value> = web.of("POST").iter().map(Seen::json).collect();
    answers.sort_by_key(|answer| answer["id"].to_string());
    assert_eq!(answers[0]["result"], json!({ "answered": "sampling/createMessage" }));
    assert_eq!(answers[1]["result"], json!({}));
    assert_eq!(answers[2]["error"]["code"], -32601);
    assert!(web.of("POST").iter().all(|seen| seen.header("mcp-session-id") == Some("s-1")));
}

/// Waits for ever where it is asked, and notes that the question was dropped.
#[derive(Debug, Default)]
struct Thinks {
    caller: Caller,
    asked: Notify,
    dropped: Arc<Notify>,
}

#[async_trait]
impl Peer for Thinks {
    fn notify(&self, notification: Notification) {
        self.caller.notify(notification);
    }

    async fn request(&self, _: Method, _: Option<RawJson>, _: Instant) -> Result<RawJson, Error> {
        struct Dropped(Arc<Notify>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let _dropped = Dropped(self.dropped.clone());
        self.asked.notify_one();
        std::future::pending().await
    }
}

/// The question stayed open at the client, which was told instead to drop whatever it knew by the server's number.
#[tokio::test]
async fn a_question_that_its_server_withdraws_is_withdrawn() {
    // On the call's own stream, and on the one that belongs to no call.
    for is_beside in [false, true] {
        let stream = Arc::new(Mutex::new(Vec::new()));
        let streams = stream.clone();
        let web = Web::start(move |seen| {
            let fed = |seen: &Seen| {
                let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
                streams.lock().unwrap().push((seen.json()["id"].clone(), sender));
                Answer::Fed(EVENTS.into(), receiver)
            };
            match &*seen.what() {
                "GET" => fed(seen),
                "POST" => http("202 Accepted", "", ""),
                _ => legacy(seen, fed),
            }
        })
        .await;
        let server = web.server();
        within(server.connect(soon())).await.unwrap();
        web.sees("GET", 1).await;
        let peer = Arc::new(Thinks::default());
        let call = tool("x", json!({})).peer(peer.clone());
        let talk = async {
            web.sees("tools/call", 1).await;
            let say = |to: usize, message: Value| {
                let event = format!("data: {message}\n\n").into_bytes();
                stream.lock().unwrap()[to].1.send(event).unwrap();
            };
            let on = usize::from(!is_beside);
            let method = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
            let mut question = method("roots/list", json!({}));
            question["id"] = 1.into();
            say(on, question);
            peer.asked.notified().await;
            say(on, method("notifications/cancelled", json!({ "requestId": "1" }))); // another's
            say(on, method("notifications/cancelled", json!({ "requestId": 1, "reason": "r" })));
            peer.dropped.notified().await;
            let id = stream.lock().unwrap()[1].0.clone();
            say(1, json!({ "jsonrpc": "2.0", "id": id, "result": {} }));
        };
        let (reply, ()) = within(async { tokio::join!(server.call(&call), talk) }).await;
        assert!(reply.is_ok());
        assert_eq!(peer.caller.heard(), [], "the number is the server's");
        assert!(web.of("POST").is_empty(), "what was withdrawn is not answered");
    }
}

#[tokio::test]
async fn a_lost_get_stream_is_opened_again() {
    let web = Web::start(|seen| match (&*seen.method, seen.json().get("method")) {
        ("GET", _) => Answer::Close(events(&[changed()])),
        _ => legacy(seen, |_| http("500 No", "", "")),
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    listener.hears("notifications/tools/list_changed", 2).await;
    assert!(web.of("GET").iter().all(|seen| seen.header("mcp-session-id") == Some("s-1")));
}

/// A ping on the stream that belongs to no call went unanswered, so the server took us for gone.
#[tokio::test]
async fn a_ping_on_the_get_stream_is_answered() {
    let web = Web::start(|seen| match (&*seen.method, seen.json().get("method")) {
        ("GET", _) => {
            Answer::Open(events(&[json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" })]))
        }
        ("POST", None) => http("202 Accepted", "", ""),
        _ => legacy(seen, |_| http("500 No", "", "")),
    })
    .await;
    let server = web.server();
    within(server.connect(soon())).await.unwrap();
    web.sees("POST", 1).await;
    assert_eq!(web.of("POST")[0].json(), json!({ "jsonrpc": "2.0", "id": "p", "result": {} }));
}

fn resource(method: Method, uri: &str) -> Call {
    Call::new(method, Some(RawJson::from(json!({ "uri": uri })))).target(uri)
}

/// A modern server knows no `resources/subscribe`; it was sent all the same.
#[tokio::test]
async fn a_subscription_to_a_resource_becomes_part_of_the_stream() {
    let web = Web::start(|seen| {
        modern(seen, |seen| match &*seen.what() {
            "subscriptions/listen" => listening(seen, &[]),
            _ => http("500 No", "", ""),
        })
    })
    .await;
    let server = web.server();
    within(server.connect(soon())).await.unwrap();
    web.sees("subscriptions/listen", 1).await;
    for uri in ["file:///a", "file:///b"] {
        let call = resource(Method::RESOURCES_SUBSCRIBE, uri);
        assert_eq!(within(server.call(&call)).await.unwrap().result, RawJson::EMPTY_OBJECT);
    }
    web.is_left().await; // the first stream
    let wanted = |index: usize| {
        web.of("subscriptions/listen")[index].json()["params"]["notifications"].clone()
    };
    assert_eq!(wanted(0), json!({ "toolsListChanged": true }));
    let both = json!(["file:///a", "file:///b"]);
    assert_eq!(wanted(1)["resourceSubscriptions"], json!(["file:///a"]));
    assert_eq!(wanted(2), json!({ "toolsListChanged": true, "resourceSubscriptions": both }));
    let call = resource(Method::RESOURCES_UNSUBSCRIBE, "file:///a");
    within(server.call(&call)).await.unwrap();
    web.sees("subscriptions/listen", 4).await;
    assert_eq!(wanted(3)["resourceSubscriptions"], json!(["file:///b"]));
    assert!(web.of("resources/subscribe").is_empty());
    assert!(web.of("resources/unsubscribe").is_empty());
    let mut all = tokio::task::JoinSet::new();
    for number in 1..1_024 {
        let server = server.clone();
        let call = resource(Method::RESOURCES_SUBSCRIBE, &format!("file:///{number}"));
        all.spawn(async move { server.call(&call).await });
    }
    within(async {
        while let Some(answered) = all.join_next().await {
            answered.unwrap().unwrap();
        }
    })
    .await;
    let call = resource(Method::RESOURCES_SUBSCRIBE, "file:///1024");
    let refused = within(server.call(&call)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded, "bounded");
}

/// What changed while no stream was open was never told.
#[tokio::test]
async fn a_watched_task_becomes_part_of_a_modern_servers_stream_and_costs_a_legacy_one_nothing() {
    let watch = |method: Method| Call::new(method, None).target("t1");
    let web = Web::start(|seen| {
        modern(seen, |seen| match &*seen.what() {
            "subscriptions/listen" => listening(
                seen,
                &[json!({
                    "jsonrpc": "2.0", "method": "notifications/tasks", "params": { "taskId": "t1" },
                })],
            ),
            _ => http("500 No", "", ""),
        })
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    web.sees("subscriptions/listen", 1).await;
    within(server.call(&watch(Method::TASK_WATCH))).await.unwrap();
    web.sees("subscriptions/listen", 2).await;
    listener.hears("notifications/tasks", 2).await;
    let params = |index: usize| web.of("subscriptions/listen")[index].json()["params"].clone();
    assert_eq!(params(1)["notifications"]["taskIds"], json!(["t1"]));
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let extensions = &params(1)["_meta"][capabilities]["extensions"];
    assert!(extensions["io.modelcontextprotocol/tasks"].is_object());
    assert_eq!(params(0)["_meta"][capabilities], json!({}));
    within(server.call(&watch(Method::TASK_UNWATCH))).await.unwrap();
    web.sees("subscriptions/listen", 3).await;
    assert_eq!(params(2)["notifications"], json!({ "toolsListChanged": true }));

    let old = Web::start(|seen| legacy(seen, |_| http("500 No", "", ""))).await;
    let server = old.server();
    for method in [Method::TASK_WATCH, Method::TASK_UNWATCH] {
        within(server.call(&watch(method))).await.unwrap();
    }
    assert!(old.of("toolweir/tasks/watch").is_empty());
}

#[tokio::test]
async fn lists_count_as_changed_after_a_gap() {
    let opened = std::sync::atomic::AtomicUsize::new(0);
    let web = Web::start(move |seen| {
        modern(seen, |seen| match &*seen.what() {
            "subscriptions/listen" => {
                match opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => Answer::Close(EVENTS.as_bytes().to_vec()),
                    _ => listening(seen, &[]),
                }
            }
            _ => http("500 No", "", ""),
        })
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    listener.hears("notifications/tools/list_changed", 1).await;
    assert_eq!(listener.heard(), ["connected 2026-07-28", "notifications/tools/list_changed"]);
    assert_eq!(web.of("subscriptions/listen").len(), 2);
}

/// What a child has seen, once `count` subscriptions are among it.
async fn subscribed(server: &StdioServer, count: usize) -> Vec<Value> {
    within(async {
        loop {
            let all: Vec<Value> = seen(server).await;
            if all.iter().filter(|line| line["method"] == "subscriptions/listen").count() >= count {
                return all;
            }
        }
    })
    .await
}

/// Has a child acknowledge the subscription that it has seen.
async fn acknowledge(server: &StdioServer, subscription: &Value) {
    let filter = &subscription["params"]["notifications"];
    let acknowledged = script::acknowledgement(&subscription["id"], filter);
    let say = [
        json!(format!("{acknowledged}\n")),
        json!("{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"),
    ];
    call(server, "say", json!({ "say": say })).await.unwrap();
}

/// A resource counted as subscribed to before the server knew of it, so a change right behind the answer was never told:
/// the stream that asks for it was opened 20 ms later.
#[tokio::test]
async fn a_subscription_is_answered_when_the_server_has_acknowledged_it() {
    let stopped = Stopped::new(); // so that no wait ends by itself
    let web = Web::start(|seen| {
        modern(seen, |seen| match &*seen.what() {
            "subscriptions/listen" if seen.body.contains("file:///a") => {
                let updated = json!({
                    "jsonrpc": "2.0", "method": "notifications/resources/updated",
                    "params": { "uri": "file:///a" },
                });
                Answer::Play(vec![
                    Step::Bytes(EVENTS.to_owned()),
                    Step::Held(1),
                    Step::frame(acknowledgement(seen).to_string()),
                    Step::frame(updated.to_string()),
                    Step::Deaf,
                ])
            }
            "subscriptions/listen" => listening(seen, &[]),
            _ => Answer::Open(EVENTS.as_bytes().to_vec()), // a call that is held
        })
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    web.sees("subscriptions/listen", 1).await;
    let call = resource(Method::RESOURCES_SUBSCRIBE, "file:///a");
    let subscribing = tokio::spawn({
        let server = server.clone();
        async move { server.call(&call).await }
    });
    while web.of("subscriptions/listen").len() < 2 {
        assert!(!subscribing.is_finished(), "the server has not been asked yet");
        tokio::time::advance(Duration::from_millis(1)).await; // further wishes are awaited for so long
    }
    let held = tool("hold", json!({}));
    let holding = server.call(&held);
    assert!(!subscribing.is_finished(), "the server has not agreed yet");
    let subscribed = async { within(subscribing).await.unwrap().unwrap() };
    tokio::select! {
        reply = subscribed => assert_eq!(reply.result, RawJson::EMPTY_OBJECT),
        _ = holding => panic!("a held call ended"),
    }
    listener.hears("notifications/resources/updated", 1).await;
    drop(stopped);
}

/// A server that never acknowledges its stream, though it must, is taken to tell what it was asked for.
#[tokio::test(start_paused = true)]
async fn a_server_that_acknowledges_nothing_holds_a_subscription_up_for_two_seconds() {
    let server = StdioServer::over("peer", streams("tells"), Options::default());
    within(server.connect(soon())).await.unwrap();
    subscribed(&server, 1).await;
    let before = tokio::time::Instant::now();
    let call = resource(Method::RESOURCES_SUBSCRIBE, "file:///a");
    within(server.call(&call)).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(2));

    // Who leaves, or has no such patience, has not subscribed.
    let call = resource(Method::RESOURCES_SUBSCRIBE, "file:///b");
    let hurried = call.deadline(TokioClock.now() + Duration::from_secs(1));
    let error = within(server.call(&hurried)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    let all = within(async {
        loop {
            let all = seen(&server).await;
            let last = all.iter().rfind(|line| line["method"] == "subscriptions/listen").cloned();
            let wanted = last.unwrap()["params"]["notifications"]["resourceSubscriptions"].clone();
            if wanted == json!(["file:///a"]) && all.len() > 4 {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(all.iter().any(|line| line.to_string().contains("file:///b")), "it was asked for");
}

/// A child that acknowledged without saying what made each subscription wait for two seconds.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_without_a_name_is_of_the_one_that_waits_for_it() {
    let server = StdioServer::over("peer", streams("tells"), Options::default());
    within(server.connect(soon())).await.unwrap();
    subscribed(&server, 1).await;
    let acknowledge = async |id: Option<Value>| {
        let mut message = script::acknowledgement(&Value::Null, &json!({}));
        match id {
            Some(id) => message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = id,
            None => message["params"]["_meta"] = json!({}),
        }
        let done = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n";
        call(&server, "say", json!({ "say": [format!("{message}\n"), done] })).await.unwrap();
    };
    acknowledge(None).await;
    for (uri, count) in [("file:///a", 2), ("file:///b", 3)] {
        let before = tokio::time::Instant::now();
        let subscribing = tokio::spawn({
            let server = server.clone();
            async move { server.call(&resource(Method::RESOURCES_SUBSCRIBE, uri)).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await; // further wishes are awaited for 20 ms
        subscribed(&server, count).await;
        acknowledge(Some("another's".into())).await;
        assert!(!subscribing.is_finished());
        acknowledge(None).await;
        within(subscribing).await.unwrap().unwrap();
        assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    }
}

/// Only servers over HTTP were listened to in this way.
#[tokio::test]
async fn a_modern_child_is_listened_to_by_subscription() {
    let server = stdio("tells");
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    let first = subscribed(&server, 1).await.remove(0);
    assert_eq!(first["params"]["notifications"], json!({ "toolsListChanged": true }));
    let say = json!({ "say": [
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"}\n",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n",
    ] });
    call(&server, "say", say).await.unwrap();
    assert_eq!(listener.heard(), ["connected 2026-07-28", "notifications/resources/updated"]);

    let subscribing = tokio::spawn({
        let server = server.clone();
        async move { server.call(&resource(Method::RESOURCES_SUBSCRIBE, "file:///a")).await }
    });
    let all = subscribed(&server, 2).await;
    assert_eq!(all.len(), 2, "the first is cancelled only when the new one is acknowledged");
    acknowledge(&server, &all[1]).await;
    assert_eq!(within(subscribing).await.unwrap().unwrap().result, RawJson::EMPTY_OBJECT);
    let all = within(async {
        loop {
            let all = seen(&server).await;
            if all.len() >= 3 {
                return all;
            }
        }
    })
    .await;
    let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"] });
    assert_eq!(all[1]["params"]["notifications"], wanted);
    assert_eq!(all[2]["method"], "notifications/cancelled");
    assert_eq!(all[2]["params"]["requestId"], first["id"]);

    // Ended by the child, in both of the ways that it may: opened again.
    for (count, end) in [
        (3, json!({ "id": all[1]["id"], "result": {} })),
        (4, json!({ "method": "notifications/cancelled" })),
    ] {
        let mut end = end;
        end["jsonrpc"] = "2.0".into();
        if end.get("method").is_some() {
            let open = subscribed(&server, 3).await.pop().unwrap();
            end["params"] = json!({ "requestId": open["id"] });
        }
        let done = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n";
        call(&server, "say", json!({ "say": [format!("{end}\n"), done] })).await.unwrap();
        let all = subscribed(&server, count).await;
        assert_eq!(all.last().unwrap()["params"]["notifications"], wanted);
        listener.hears("notifications/tools/list_changed", count - 2).await;
    }

    call(&server, "crash", json!({})).await.unwrap_err();
    let again = subscribed(&server, 1).await.remove(0);
    assert_eq!(again["params"]["notifications"], wanted, "by the child that took its place");
    within(server.close(soon())).await;
}

#[tokio::test]
async fn a_modern_server_is_listened_to_by_subscription() {
    let web = Web::start(|seen| {
        modern(seen, |seen| match &*seen.what() {
            "subscriptions/listen" => listening(seen, &[changed()]),
            _ => http("500 No", "", ""),
        })
    })
    .await;
    let server = web.server();
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    listener.hears("notifications/tools/list_changed", 1).await;
    let seen = web.of("subscriptions/listen").remove(0);
    assert_eq!(seen.header("mcp-method"), Some("subscriptions/listen"));
    assert_eq!(seen.json()["params"]["notifications"]["toolsListChanged"], true);
    assert!(web.of("GET").is_empty());
    within(server.close(soon())).await;
    web.is_left().await;
}
