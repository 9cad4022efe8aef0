//! 2024-11-05 to 2025-11-25.

use std::time::Duration;

use serde_json::json;
use toolweir_wire::Limits;

use super::{Pair, initialize, open, start, tool, within};
use crate::peer::client::Client;

fn short() -> Limits {
    let mut limits = Limits::default();
    limits.keep_alive = Duration::from_millis(20);
    limits
}

#[tokio::test]
async fn initialize_agrees_on_a_revision() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let cases = [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1.0", "2025-11-25"),
    ];
    let mut ids = std::collections::HashSet::new();
    for (asked, agreed) in cases {
        let answer = client.post(&[], &initialize(asked, "{}")).await;
        let id = answer.header("mcp-session-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(ids.insert(id));
        let body = answer.json().await;
        let result = &body["result"];
        assert_eq!(result["protocolVersion"], agreed);
        assert_eq!(result["serverInfo"]["name"], "scripted");
        assert_eq!(result["instructions"], "be kind");
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    }
    let bad = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let answer = client.post(&[], bad).await;
    assert_eq!((answer.status, answer.header("mcp-session-id")), (200, None));
    assert_eq!(answer.json().await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_session_lives_from_initialize_to_delete() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-06-18", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let roots = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    let response = r#"{"jsonrpc":"2.0","id":9,"result":{}}"#;
    let discover = r#"{"jsonrpc":"2.0","id":"p","method":"server/discover"}"#;
    let unknown = r#"{"jsonrpc":"2.0","id":"p","method":"no/such"}"#;
    let version = |version| ("mcp-protocol-version", version);
    let cases: Vec<(Vec<Pair>, &str, u16)> = vec![
        (vec![session], ping, 200),
        (vec![session, version("2025-06-18")], ping, 200),
        (vec![session, version("2025-03-26")], ping, 200),
        (vec![session, version("2026-07-28")], ping, 400),
        (vec![session, version("nonsense")], ping, 400),
        (vec![session, version("1999-01-01")], ping, 400),
        (vec![], ping, 400),
        (vec![("mcp-session-id", "0123456789abcdef0123456789abcdef")], ping, 404),
        (vec![("mcp-session-id", "")], ping, 404),
        (vec![session], note, 202),
        (vec![session], roots, 202),
        (vec![session], response, 202),
        (vec![session], discover, 200),
        (vec![session], unknown, 200),
        (vec![session], "[]", 400),
        (vec![session], r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400),
        (vec![], response, 400),
        (vec![], note, 400),
    ];
    for (headers, body, status) in cases {
        let answer = client.post(&headers, body).await;
        assert_eq!(answer.status, status, "{headers:?} {body}");
        let text = answer.text().await;
        assert_eq!(text.is_empty(), status == 202, "{text}");
        if body == ping && status == 200 {
            assert_eq!(text, r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
        }
        if body == discover || body == unknown {
            assert!(text.contains("-32601"), "{text}");
        }
    }
    assert_eq!(*server.notes.lock().unwrap(), ["notifications/roots/list_changed"]);
    let who = client.post(&[session], &tool("1", "who", "{}", "")).await.json().await;
    assert_eq!(who["result"]["version"], "2025-06-18");
    assert_eq!(who["result"]["info"]["name"], "t");
    assert_eq!(who["result"].get("resultType"), None);
    assert_eq!(client.send("DELETE", "/mcp", &[session], "").await.status, 204);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(client.send(method, "/mcp", &[session], ping).await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn a_disconnect_is_no_cancellation() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let mut other = Client::connect(listener.local_addr()).await;
    let body = tool("7", "hold", r#"{"note":true}"#, r#""progressToken":1"#);
    let mut stream = other.post(&[session], &body).await;
    assert_eq!(stream.event().await.unwrap()["method"], "notifications/progress");
    drop((other, stream));
    // The listener has heard of the closed socket once it has answered on a later one.
    let answer = client.post(&[session], &tool("8", "echo", "{}", "")).await;
    assert_eq!(answer.status, 200);
    server.holds(1).await;
    // The session's end is its calls' end.
    assert_eq!(client.send("DELETE", "/mcp", &[session], "").await.status, 204);
    server.holds(0).await;
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_and_never_answered() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let mut other = Client::connect(listener.local_addr()).await;
    let body = tool(r#""x""#, "hold", r#"{"note":true}"#, r#""progressToken":1"#);
    let mut stream = other.post(&[session], &body).await;
    assert!(stream.event().await.is_some());
    let cancel = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        )
    };
    for nobody in ["7", "\"y\"", "null"] {
        assert_eq!(client.post(&[session], &cancel(nobody)).await.status, 202);
    }
    server.holds(1).await;
    assert_eq!(client.post(&[session], &cancel(r#""\u0078""#)).await.status, 202);
    server.holds(0).await;
    assert!(stream.event().await.is_none() && stream.has_ended());
    // One whose answer was to be plain JSON ends with no message either.
    let json = [session, ("accept", "application/json")];
    let hold = tool("5", "hold", "{}", "");
    let (answer, ()) = tokio::join!(other.post(&json, &hold), async {
        server.holds(1).await;
        assert_eq!(client.post(&[session], &cancel("5")).await.status, 202);
    });
    assert_eq!((answer.status, answer.text().await.as_str()), (202, ""));
}

#[tokio::test]
async fn the_same_id_twice_in_flight_is_answered_twice() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let mut other = Client::connect(listener.local_addr()).await;
    let (headers, hold) = ([session], tool("1", "hold", "{}", ""));
    let (held, ()) = tokio::join!(other.post(&headers, &hold), async {
        server.holds(1).await;
        let echo = client.post(&[session], &tool("1", "echo", r#"{"nonce":5}"#, "")).await;
        assert_eq!(echo.json().await["result"]["nonce"], 5);
        server.release.notify_one();
    });
    assert_eq!(held.json().await["result"]["held"], true);
}

#[tokio::test]
async fn a_get_stream_carries_what_belongs_to_no_call() {
    let (listener, server) = start(short()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let changed = "notifications/tools/list_changed";
    // Before any stream is open: kept, once.
    server.say(changed.into(), None);
    server.say(changed.into(), None);
    let mut first = Client::connect(listener.local_addr()).await;
    assert_eq!(first.get(&[session, ("accept", "application/json")]).await.status, 406);
    let mut stream = first.get(&[session]).await;
    assert!(stream.is_stream());
    assert_eq!(stream.event().await.unwrap()["method"], changed);
    assert_eq!(stream.block().await.unwrap(), ": keepalive");
    // Updates come only of what this session subscribed to.
    let subscribe = |method: &str, uri: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"resources/{method}","params":{{"uri":"{uri}"}}}}"#
        )
    };
    for uri in ["test://a", "test://a", "test://refused"] {
        client.post(&[session], &subscribe("subscribe", uri)).await.text().await;
    }
    let updated = "notifications/resources/updated";
    for uri in ["test://other", "test://refused", "test://ab", "test://a/part"] {
        server.say(updated.into(), Some(json!({"uri": uri})));
    }
    assert_eq!(stream.event().await.unwrap()["params"]["uri"], "test://a/part");
    // A newer stream takes the older one's place.
    let mut second = Client::connect(listener.local_addr()).await;
    let mut newer = second.get(&[session]).await;
    assert!(stream.event().await.is_none() && stream.has_ended());
    server.say(changed.into(), None);
    assert_eq!(newer.event().await.unwrap()["method"], changed);
    // The end of the session gives up its one subscription.
    assert_eq!(client.send("DELETE", "/mcp", &[session], "").await.status, 204);
    assert!(newer.event().await.is_none() && newer.has_ended());
    server.has_seen("resources/unsubscribe", Some("test://a")).await;
    let calls = server.calls.lock().unwrap();
    let count = |name: &str| calls.iter().filter(|(method, _)| method == name).count();
    assert_eq!((count("resources/subscribe"), count("resources/unsubscribe")), (2, 1));
}

#[tokio::test]
async fn a_client_is_asked_on_its_calls_stream() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", r#"{"sampling":{},"elicitation":{}}"#).await;
    let session = ("mcp-session-id", id.as_str());
    let mut other = Client::connect(listener.local_addr()).await;
    let ask = |method: &str| tool("1", "ask", &format!(r#"{{"method":"{method}"}}"#), "");
    let mut stream = other.post(&[session], &ask("sampling/createMessage")).await;
    let question = stream.event().await.unwrap();
    assert_eq!(question["method"], "sampling/createMessage");
    assert_eq!(question["params"], json!({"q": 1}));
    let result = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"Paris"}}}}"#);
    assert_eq!(client.post(&[session], &result("12345")).await.status, 202);
    let answer = result(&question["id"].to_string());
    assert_eq!(client.post(&[session], &answer).await.status, 202);
    assert_eq!(stream.event().await.unwrap()["result"]["answer"]["text"], "Paris");
    assert!(stream.event().await.is_none());
    // A refusal passes as it is.
    let mut stream = other.post(&[session], &ask("elicitation/create")).await;
    let question = stream.event().await.unwrap();
    let refusal = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-1,"message":"declined"}}}}"#,
        question["id"]
    );
    assert_eq!(client.post(&[session], &refusal).await.status, 202);
    assert_eq!(stream.event().await.unwrap()["error"], json!({"code": -1, "message": "declined"}));
    // What was not declared is not asked; nor is anything where no stream can carry it.
    let answer = other.post(&[session], &ask("roots/list")).await;
    assert!(!answer.is_stream());
    assert!(answer.text().await.contains("did not declare `roots`"));
    let json_only = [session, ("accept", "application/json")];
    let answer = other.post(&json_only, &ask("sampling/createMessage")).await;
    assert_eq!(answer.json().await["error"]["code"], -31006);
    // A question that is not answered in time is withdrawn.
    let late = tool("1", "ask", r#"{"method":"sampling/createMessage","ms":30}"#, "");
    let mut stream = other.post(&[session], &late).await;
    let question = stream.event().await.unwrap();
    let withdrawn = stream.event().await.unwrap();
    assert_eq!(withdrawn["method"], "notifications/cancelled");
    assert_eq!(withdrawn["params"]["requestId"], question["id"]);
    assert_eq!(stream.event().await.unwrap()["error"]["code"], -31007);
}

#[tokio::test]
async fn batches_are_taken_in_one_revision_alone() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-03-26", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let batch = format!(
        r#"[{},{{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}},{},{{"bad":1}}]"#,
        tool("1", "echo", r#"{"n":1}"#, ""),
        tool("2", "echo", r#"{"n":2}"#, ""),
    );
    let answers = client.post(&[session], &batch).await.json().await;
    let mut answers = answers.as_array().unwrap().clone();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers[0]["error"]["code"], -32600);
    assert_eq!(answers[1]["result"]["n"], 1);
    assert_eq!(answers[2]["result"]["n"], 2);
    assert_eq!(server.notes.lock().unwrap().len(), 1);
    let notes = r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
    assert_eq!(client.post(&[session], notes).await.status, 202);
    assert_eq!(client.post(&[session], "[]").await.status, 400);
    // Progress precedes the answers on one stream.
    let burst = tool("3", "burst", r#"{"count":2}"#, r#""progressToken":"t""#);
    let mut stream = client.post(&[session], &format!("[{burst}]")).await;
    for number in 0..2 {
        assert_eq!(stream.event().await.unwrap()["params"]["progress"], number);
    }
    assert_eq!(stream.event().await.unwrap()[0]["result"]["done"], true);
}

#[tokio::test]
async fn logs_follow_the_sessions_level() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = ("mcp-session-id", id.as_str());
    let log = tool("1", "log", "{}", "");
    let text = client.post(&[session], &log).await.text().await;
    assert!(text.contains("\"debug\"") && text.contains("\"error\""));
    let level =
        r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"error"}}"#;
    assert_eq!(client.post(&[session], level).await.status, 200);
    let text = client.post(&[session], &log).await.text().await;
    assert!(!text.contains("\"debug\"") && text.contains("\"error\""));
}

#[tokio::test]
async fn sessions_are_few_and_end_when_idle() {
    let mut limits = Limits::default();
    limits.sessions = 2;
    let (listener, server) = start(limits).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(open(&mut client, "2025-11-25", "{}").await);
    }
    let mut busy = Client::connect(listener.local_addr()).await;
    let held = [("mcp-session-id", ids[0].as_str())];
    let hold = tool("1", "hold", "{}", "");
    let (held, ()) = tokio::join!(busy.post(&held, &hold), async {
        server.holds(1).await;
        // A third makes the idle one go; the busy one stays.
        let third = open(&mut client, "2025-11-25", "{}").await;
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        for (id, status) in [(&ids[1], 404), (&ids[0], 200), (&third, 200)] {
            let answer = client.post(&[("mcp-session-id", id)], ping).await;
            assert_eq!(answer.status, status);
        }
        // Where all are busy there is no room.
        let mut stream = Client::connect(listener.local_addr()).await;
        let stream = stream.get(&[("mcp-session-id", &third)]).await;
        let answer = client.post(&[], &initialize("2025-11-25", "{}")).await;
        assert_eq!(answer.status, 503);
        drop(stream);
        server.release.notify_one();
    });
    assert_eq!(held.status, 200);

    let mut limits = Limits::default();
    limits.session_idle = Duration::from_millis(40);
    let (listener, _server) = start(limits).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    // The stream of an idle session stays open, and keeps the session.
    let mut stream = client.get(&[("mcp-session-id", &id)]).await;
    let wait = tokio::time::timeout(Duration::from_millis(120), stream.event()).await;
    assert!(wait.is_err());
    drop((client, stream));
    within(async {
        loop {
            let mut client = Client::connect(listener.local_addr()).await;
            // A session that is asked for is used: it is only looked at, by a header that it refuses.
            let probe = [("mcp-session-id", id.as_str()), ("mcp-protocol-version", "x")];
            if client.send("DELETE", "/mcp", &probe, "").await.status == 404 {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}
