//! Calls to HTTP servers: one POST, one answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use toolweir_wire::Limits;

use super::*;
use crate::peer::http::{Answer, EVENTS, Seen, Web, http, json_ok, legacy, modern, result};

#[tokio::test]
async fn a_legacy_session_is_kept() {
    let web = Web::start(|seen| legacy(seen, |seen| result(seen, &json!({ "a": 1 })))).await;
    let server = web.server();
    assert_eq!(value(&server, "x", json!({})).await, json!({ "a": 1 }));
    for seen in [&web.of("tools/call")[0], &web.of("notifications/initialized")[0]] {
        assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"), "{}", seen.what());
        assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
        assert_eq!(seen.header("mcp-method"), None);
    }
    within(server.close(soon())).await;
    assert_eq!(web.of("DELETE")[0].header("mcp-session-id"), Some("s-1"));
}

#[tokio::test]
async fn modern_headers_say_what_the_body_says() {
    let web = Web::start(|seen| modern(seen, |seen| result(seen, &json!({})))).await;
    let server = web.server();
    call(&server, "caf\u{e9}", json!({})).await.unwrap();
    call(&server, "plain", json!({})).await.unwrap();
    let seen = web.of("tools/call");
    for call in &seen {
        assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(call.header("mcp-method"), Some("tools/call"));
        assert_eq!(call.header("mcp-session-id"), None);
        assert_eq!(call.path, "/mcp?key=canary");
    }
    assert_eq!(seen[0].header("mcp-name"), Some("=?base64?Y2Fmw6k=?="));
    assert_eq!(seen[1].header("mcp-name"), Some("plain"));
}

fn tools() -> Value {
    let argument = |kind: &str, name: &str| json!({ "type": kind, "x-mcp-header": name });
    let schema = json!({ "type": "object", "properties": {
        "region": argument("string", "Region"), "count": argument("integer", "Count"),
        "deep": { "type": "object", "properties": { "dry": argument("boolean", "Dry") } } } });
    let broken = json!({ "type": "object", "properties": { "x": argument("number", "X") } });
    json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [
        { "name": "plain", "inputSchema": { "type": "object" } },
        { "name": "broken", "inputSchema": broken },
        { "name": "mirrored", "inputSchema": schema } ] })
}

/// Refuses a call whose headers do not repeat its arguments.
fn particular(seen: &Seen) -> Answer {
    if seen.what() == "tools/list" {
        let first = seen.json()["params"]["cursor"].is_null();
        let page = || json!({ "resultType": "complete", "tools": [], "nextCursor": "2" });
        return result(seen, &if first { page() } else { tools() });
    }
    if seen.json()["params"]["name"] == "mirrored" && seen.header("mcp-param-region").is_none() {
        let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"],
                           "error": { "code": -32020, "message": "header mismatch" } });
        let json = "Content-Type: application/json\r\n";
        return http("400 Bad Request", json, &body.to_string());
    }
    result(seen, &json!({}))
}

/// Such calls were refused for ever.
#[tokio::test]
async fn arguments_are_repeated_in_the_headers_that_the_schema_names() {
    for listed in [true, false] {
        let web = Web::start(|seen| modern(seen, particular)).await;
        let server = web.server();
        if listed {
            for cursor in [json!({}), json!({ "cursor": "2" })] {
                let list = Call::new(Method::TOOLS_LIST, Some(RawJson::from(cursor)));
                within(server.call(&list)).await.unwrap();
            }
        }
        let arguments = json!({ "region": "caf\u{e9}", "count": 42.0, "deep": { "dry": true } });
        for _ in 0..2 {
            call(&server, "mirrored", arguments.clone()).await.unwrap();
        }
        let calls = web.of("tools/call");
        assert_eq!(calls.len(), if listed { 2 } else { 3 }, "refused once, then known");
        assert_eq!(web.of("tools/list").len(), 2);
        let sent = calls.last().unwrap();
        assert_eq!(sent.header("mcp-param-region"), Some("=?base64?Y2Fmw6k=?="));
        assert_eq!(sent.header("mcp-param-count"), Some("42"));
        assert_eq!(sent.header("mcp-param-dry"), Some("true"));
        // Where the list knows nothing better, the refusal stands.
        let error = call(&server, "mirrored", json!({ "count": null })).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol { code: -32020 });
        assert_eq!(web.of("tools/call").len(), calls.len() + 1);
    }
}

#[tokio::test]
async fn a_tool_whose_headers_cannot_be_is_left_out_alone() {
    let web = Web::start(|seen| modern(seen, particular)).await;
    let list = Call::new(Method::TOOLS_LIST, Some(RawJson::from(json!({ "cursor": "2" }))));
    let listed: Value = within(web.server().call(&list)).await.unwrap().result.get().unwrap();
    let names: Vec<_> = listed["tools"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["plain", "mirrored"]);
    assert_eq!(listed["cacheScope"], "private");
}

#[tokio::test]
async fn a_status_is_told_as_what_it_means() {
    let cases = [
        ("401 Unauthorized", "", Kind::Status { status: 401 }),
        ("403 Forbidden", "", Kind::Status { status: 403 }),
        ("500 Internal Server Error", "", Kind::Status { status: 500 }),
        ("302 Found", "Location: /elsewhere\r\n", Kind::Status { status: 302 }), // not followed
        (
            "429 Too Many Requests",
            "Retry-After: 7\r\n",
            Kind::Throttled { retry_after: Some(Duration::from_secs(7)) },
        ),
        ("503 Service Unavailable", "", Kind::Throttled { retry_after: None }),
        ("503 Service Unavailable", "Retry-After: soon\r\n", Kind::Throttled { retry_after: None }),
        (
            "503 Service Unavailable",
            "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", // has passed
            Kind::Throttled { retry_after: Some(Duration::ZERO) },
        ),
        (
            "503 Service Unavailable",
            "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", // at most a day
            Kind::Throttled { retry_after: Some(Duration::from_secs(86_400)) },
        ),
        ("200 OK", "Content-Type: text/html\r\n", Kind::InvalidReply),
        ("200 OK", "Content-Type: application/json\r\n", Kind::InvalidReply),
        ("202 Accepted", "", Kind::InvalidReply),
    ];
    for (status, headers, kind) in cases {
        let web = Web::start(move |seen| legacy(seen, |_| http(status, headers, "<x>"))).await;
        let server = web.server();
        assert_eq!(call(&server, "x", json!({})).await.unwrap_err().kind(), kind, "{status}");
        assert_eq!(web.of("tools/call").len(), 1, "{status}: never sent again");
        assert!(web.seen().iter().all(|seen| seen.path.starts_with("/mcp")));
    }
}

#[tokio::test]
async fn a_json_rpc_error_stands_above_its_status() {
    let web = Web::start(|seen| {
        legacy(seen, |seen| {
            let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"],
                               "error": { "code": -32602, "message": "no", "data": [1] } });
            http("400 Bad Request", "Content-Type: application/json\r\n", &body.to_string())
        })
    })
    .await;
    let error = call(&web.server(), "x", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol { code: -32602 });
    assert_eq!(web.of("tools/call").len(), 1);
}

/// The server's own words about a pause were lost.
#[tokio::test]
async fn a_pause_keeps_the_error_that_came_along() {
    let object = r#"{"code":-32050,"message":"quota","data":{"team":1e2}}"#;
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let web = Web::start(move |seen| {
            legacy(seen, |_| {
                let body = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{object}}}"#);
                http(status, "Retry-After: 7\r\nContent-Type: application/json\r\n", &body)
            })
        })
        .await;
        let error = call(&web.server(), "x", json!({})).await.unwrap_err();
        let pause = Some(Duration::from_secs(7));
        assert_eq!(error.kind(), Kind::Throttled { retry_after: pause }, "{status}");
        assert_eq!(error.rpc().map(RawJson::as_str), Some(object), "{status}");
    }
}

/// A 404 that names the request may be an answer to it; it was sent a second time.
#[tokio::test]
async fn a_call_that_was_read_is_not_sent_again_in_a_new_session() {
    let calls = AtomicUsize::new(0);
    let web = Web::start(move |seen| {
        legacy(seen, |seen| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"],
                                   "error": { "code": -32001, "message": "no session" } });
                let json = "Content-Type: application/json\r\n";
                http("404 Not Found", json, &body.to_string())
            }
            _ => result(seen, &json!({})),
        })
    })
    .await;
    let server = web.server();
    let error = call(&server, "x", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol { code: -32001 });
    assert_eq!((web.of("tools/call").len(), web.of("initialize").len()), (1, 1));
    assert!(call(&server, "x", json!({})).await.is_ok());
    assert_eq!((web.of("tools/call").len(), web.of("initialize").len()), (2, 2));
}

/// An unknown method answered with 404 cost the session, and the call was sent twice.
#[tokio::test]
async fn an_unknown_method_is_no_lost_session() {
    let web = Web::start(|seen| {
        legacy(seen, |seen| {
            let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"],
                               "error": { "code": -32601, "message": "unknown" } });
            http("404 Not Found", "Content-Type: application/json\r\n", &body.to_string())
        })
    })
    .await;
    let error = call(&web.server(), "x", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol { code: -32601 });
    assert_eq!((web.of("tools/call").len(), web.of("initialize").len()), (1, 1));
}

#[tokio::test]
async fn a_session_that_is_gone_is_opened_again_once() {
    let null = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#;
    let cases = [
        ("404 Not Found", "", ""),
        ("404 Not Found", "Content-Type: application/json\r\n", null),
        ("400 Bad Request", "Content-Type: application/json\r\n", null),
        ("400 Bad Request", "Content-Type: text/plain\r\n", "no valid session id"),
    ];
    for (status, headers, body) in cases {
        for refusals in [1, 9] {
            let calls = AtomicUsize::new(0);
            let web = Web::start(move |seen| {
                legacy(seen, |seen| match calls.fetch_add(1, Ordering::SeqCst) {
                    count if count < refusals => http(status, headers, body),
                    _ => result(seen, &json!({})),
                })
            })
            .await;
            let answered = call(&web.server(), "x", json!({})).await;
            assert_eq!(answered.is_ok(), refusals == 1, "{status} {body}");
            assert_eq!((web.of("tools/call").len(), web.of("initialize").len()), (2, 2));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_used_again_when_it_is_back() {
    let web = Web::start(|seen| legacy(seen, |seen| result(seen, &json!({})))).await;
    let (server, address) = (web.server(), web.address);
    assert!(call(&server, "x", json!({})).await.is_ok());
    web.stop().await;
    let error = call(&server, "x", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true), "{error}");
    assert!(!format!("{error:?} {server:?}").contains("canary"));
    let web = Web::at(address, |seen| legacy(seen, |seen| result(seen, &json!({})))).await;
    assert!(call(&server, "x", json!({})).await.is_ok());
    assert_eq!(web.of("initialize").len(), 1);
}

#[tokio::test]
async fn only_configured_headers_are_sent() {
    let web = Web::start(|seen| legacy(seen, |seen| result(seen, &json!({})))).await;
    let with =
        |endpoint: Endpoint| endpoint.header("Authorization", "Bearer secret-canary").unwrap();
    let server = web.server_with(with, Options::default());
    call(&server, "x", json!({})).await.unwrap();
    assert!(!format!("{server:?}").contains("canary"));
    let expected = [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "mcp-protocol-version",
        "mcp-session-id",
    ];
    let mut names: Vec<_> =
        web.of("tools/call")[0].headers.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    assert_eq!(names, expected);
    for name in ["Mcp-Session-Id", "Host", "mcp-name", "Content-Length"] {
        let endpoint = Endpoint::new("http://127.0.0.1/").unwrap();
        assert!(endpoint.header(name, "x").is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_not_read_on() {
    let mut limits = Limits::default();
    limits.message = 4096;
    let options = || Options::default().limits(limits.clone());
    let big = format!("\"{}\"", "x".repeat(100_000));
    let event = format!("{EVENTS}data: {big}\n\n");
    let answers: [(bool, String); 2] = [(false, big), (true, event)];
    for (stream, answer) in answers {
        let web = Web::start(move |seen| {
            legacy(seen, |_| match stream {
                true => Answer::Close(answer.clone().into_bytes()),
                false => json_ok(&answer),
            })
        })
        .await;
        let server = web.server_with(|endpoint| endpoint, options());
        assert_eq!(call(&server, "x", json!({})).await.unwrap_err().kind(), Kind::InvalidReply);
        let large = json!({ "a": "y".repeat(8192) });
        let error = call(&server, "x", large).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::TooLarge, true));
    }
}

#[tokio::test]
async fn a_cancelled_call_is_told_in_the_way_of_its_era() {
    for is_legacy in [true, false] {
        let open = || Answer::Open(EVENTS.as_bytes().to_vec());
        let web = Web::start(move |seen| match is_legacy {
            true => legacy(seen, |_| open()),
            false => modern(seen, |_| open()),
        })
        .await;
        let server = web.server();
        let held = tool("x", json!({}));
        let mut held = Box::pin(server.call(&held));
        tokio::select! {
            biased;
            _ = &mut held => panic!("it is never answered"),
            () = web.sees("tools/call", 1) => {}
        }
        drop(held);
        if is_legacy {
            web.sees("notifications/cancelled", 1).await;
            let notice = web.of("notifications/cancelled").remove(0);
            assert_eq!(notice.json()["params"]["requestId"], web.of("tools/call")[0].json()["id"]);
            assert_eq!(notice.header("mcp-session-id"), Some("s-1"));
        } else {
            web.is_left().await;
            assert!(web.of("notifications/cancelled").is_empty());
        }
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let web = Web::start(|seen| legacy(seen, |_| Answer::Open(Vec::new()))).await;
    let server = web.server();
    within(server.connect(soon())).await.unwrap();
    let call = tool("x", json!({})).deadline(TokioClock.now() + Duration::from_millis(100));
    let error = within(server.call(&call)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, false));
    web.sees("notifications/cancelled", 1).await;
}

#[tokio::test]
async fn nothing_lives_after_close_or_drop() {
    for close in [true, false] {
        let web = Web::start(|seen| match seen.method.as_str() {
            "GET" => Answer::Open(EVENTS.as_bytes().to_vec()),
            _ => legacy(seen, |_| Answer::Open(EVENTS.as_bytes().to_vec())),
        })
        .await;
        let metrics = tokio::runtime::Handle::current().metrics();
        let server = web.server();
        let held = tool("x", json!({}));
        let mut held = Box::pin(server.call(&held));
        tokio::select! {
            biased;
            _ = &mut held => panic!("it is never answered"),
            () = async { web.sees("GET", 1).await; web.sees("tools/call", 1).await } => {}
        }
        drop(held);
        if close {
            within(server.close(soon())).await;
            assert_eq!(call(&server, "x", json!({})).await.unwrap_err().kind(), Kind::Closed);
        }
        drop(server);
        web.stop().await;
        within(async {
            while metrics.num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn dropping_a_server_that_is_being_connected_ends_the_attempt() {
    let web = Web::start(|_| Answer::Open(Vec::new())).await;
    let server = web.server();
    let mut connecting = Box::pin(server.connect(soon()));
    tokio::select! {
        biased;
        _ = &mut connecting => panic!("it is never answered"),
        () = web.sees("server/discover", 1) => {}
    }
    drop(connecting);
    drop(server);
    web.is_left().await;
}

/// Any number of calls could be in flight at an HTTP server.
#[tokio::test]
async fn only_so_many_calls_are_in_flight() {
    let web = Web::start(|seen| legacy(seen, |_| Answer::Open(Vec::new()))).await;
    let mut limits = Limits::default();
    limits.in_flight = 1;
    let server = web.server_with(|endpoint| endpoint, Options::default().limits(limits));
    let held = tool("x", json!({}));
    let mut held = Box::pin(server.call(&held));
    tokio::select! {
        biased;
        _ = &mut held => panic!("it is never answered"),
        () = web.sees("tools/call", 1) => {}
    }
    let error = call(&server, "x", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Overloaded, true));
}
