//! 2026-07-28.

use serde_json::{Value, json};

use super::{Pair, VERSION, call, modern, modern_headers, modern_with, start};
use crate::peer::client::Client;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

#[tokio::test]
async fn headers_and_envelope_are_checked_in_the_expected_order() {
    let (listener, server) = start(Default::default()).await;
    let full = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}","params":{{{params}}}}}"#)
    };
    let echo = full("tools/call", &format!(r#""name":"echo","arguments":{{}},{META}"#));
    let v999 = echo.replace("2026-07-28", "v999");
    let list = full("tools/list", META);
    let version = ("mcp-protocol-version", VERSION);
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "echo");
    let accented = echo.replace("echo", "é");
    let quoted = echo.replace("echo", "=?base64?x?=");
    let no_meta = full("tools/list", "");
    let no_capabilities =
        full("tools/list", r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#);
    let bad_info = list.replace(
        "Capabilities\":{}",
        "Capabilities\":{},\"io.modelcontextprotocol/clientInfo\":{}",
    );
    let bad_level = list.replace(
        "Capabilities\":{}",
        "Capabilities\":{},\"io.modelcontextprotocol/logLevel\":\"loud\"",
    );
    let list_method = ("mcp-method", "tools/list");
    let cases: Vec<(&str, Vec<Pair>, u16, Option<i64>)> = vec![
        (&echo, vec![version, method, name], 200, None),
        (&echo, vec![version, method, ("mcp-name", "  echo  ")], 200, None),
        (&echo, vec![version, method, ("mcp-name", "=?base64?ZWNobw==?=")], 200, None),
        (&echo, vec![version, method, ("mcp-name", "=?base64?ZWNobw?=")], 400, Some(-32020)),
        (&echo, vec![version, method, ("mcp-name", "=?base64?ZW!!bw==?=")], 400, Some(-32020)),
        (&echo, vec![version, method, ("mcp-name", "Echo")], 400, Some(-32020)),
        (&echo, vec![version, method], 400, Some(-32020)),
        (&echo, vec![version, name], 400, Some(-32020)),
        (&echo, vec![method, name], 400, Some(-32020)),
        (&echo, vec![version, ("mcp-method", "Tools/Call"), name], 400, Some(-32020)),
        (&echo, vec![version, list_method, name], 400, Some(-32020)),
        (&echo, vec![version, method, method, name], 400, Some(-32020)),
        (&echo, vec![("mcp-protocol-version", "2025-11-25"), method, name], 400, Some(-32020)),
        (&v999, vec![version, method, name], 400, Some(-32020)),
        (&v999, vec![("mcp-protocol-version", "v999"), method, name], 400, Some(-32022)),
        // Known by its headers, unknown to the scripted server.
        (&accented, vec![version, method, ("mcp-name", "=?base64?w6k=?=")], 200, Some(-32602)),
        (&quoted, vec![version, method, ("mcp-name", "=?base64?x?=")], 400, Some(-32020)),
        (&list, vec![version, list_method], 200, None),
        (&no_meta, vec![version, list_method], 400, Some(-32602)),
        (&no_capabilities, vec![version, list_method], 400, Some(-32602)),
        (&bad_info, vec![version, list_method], 400, Some(-32602)),
        (&bad_level, vec![version, list_method], 400, Some(-32602)),
    ];
    for (body, headers, status, code) in cases {
        let mut client = Client::connect(listener.local_addr()).await;
        let answer = client.post(&headers, body).await;
        let context = format!("{headers:?} {body}");
        assert_eq!(answer.status, status, "{context}");
        assert_eq!(answer.header("mcp-session-id"), None);
        let body = answer.json().await;
        assert_eq!(body["id"], "q", "{context}");
        assert_eq!(body["error"]["code"].as_i64(), code, "{context}: {body}");
        if code == Some(-32022) {
            let data = json!({"supported": [VERSION], "requested": "v999"});
            assert_eq!(body["error"]["data"], data);
        }
    }
    assert_eq!(server.calls.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn removed_and_unknown_methods_are_not_found() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "no/such",
    ] {
        let answer = client.post(&modern_headers(method, None), &modern("5", method, "")).await;
        assert_eq!(answer.status, 404, "{method}");
        let body = answer.json().await;
        assert_eq!((&body["id"], &body["error"]["code"]), (&json!(5), &json!(-32601)), "{method}");
    }
}

#[tokio::test]
async fn what_is_neither_era_is_refused() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let version = ("mcp-protocol-version", VERSION);
    let cases: [(&[Pair], &str, u16, i64); 8] = [
        (&[], ping, 400, -32600),
        (&[], r#"{"jsonrpc":"2.0","method":"x"}"#, 400, -32600),
        (&[version], r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400, -32600),
        (&[version], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 400, -32600),
        (&[version], &super::initialize(VERSION, "{}"), 400, -32020),
        (&[], "{", 400, -32700),
        (&[], r#"{"id":1,"method":"ping"}"#, 400, -32600),
        (&[("content-type", "text/plain")], ping, 415, -32600),
    ];
    for (headers, body, status, code) in cases {
        let answer = client.post(headers, body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json().await["error"]["code"], code, "{body}");
    }
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(client.post(&[version], note).await.status, 202);
    for method in ["GET", "DELETE"] {
        let answer = client.send(method, "/mcp", &[version], "").await;
        assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some("POST")));
    }
}

#[tokio::test]
async fn discovery_tells_what_the_server_offers() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let method = "server/discover";
    let answer = client.post(&modern_headers(method, None), &modern("\"d\"", method, "")).await;
    let result = answer.json().await["result"].take();
    assert_eq!(result["supportedVersions"], json!([VERSION]));
    assert_eq!(result["resultType"], "complete");
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(0), &json!("private")));
    assert_eq!(result["capabilities"]["resources"]["subscribe"], true);
    assert_eq!(result["instructions"], "be kind");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "scripted");
    assert_eq!(result["serverInfo"], Value::Null);
}

#[tokio::test]
async fn results_get_what_the_era_requires_and_keep_every_other_byte() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let text = call(&mut client, "raw", "{}", "").await.text().await;
    let expected = r#"{"jsonrpc":"2.0","id":1,"result":{"n": 1e22,"a":1,  "x":[1.10],"resultType":"complete"}}"#;
    assert_eq!(text, expected);
    let body = call(&mut client, "input", "{}", "").await.json().await;
    assert_eq!(body["result"], json!({"resultType": "input_required"}));
    let list = modern("1", "tools/list", "");
    let body = client.post(&modern_headers("tools/list", None), &list).await.json().await;
    let expected =
        json!({"tools": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
    assert_eq!(body["result"], expected);
    let read = modern("1", "resources/read", r#""uri":"test://a""#);
    let headers = modern_headers("resources/read", Some("test://a"));
    let body = client.post(&headers, &read).await.json().await;
    let expected =
        json!({"contents": [], "ttlMs": 7, "resultType": "complete", "cacheScope": "private"});
    assert_eq!(body["result"], expected);
    let body = call(
        &mut client,
        "who",
        "{}",
        r#","io.modelcontextprotocol/clientInfo":{"name":"n","version":"2"}"#,
    );
    let body = body.await.json().await;
    assert_eq!(body["result"]["info"]["name"], "n");
    assert_eq!(body["result"]["version"], VERSION);
    assert_eq!(body["result"]["principal"], "local");
}

#[tokio::test]
async fn errors_keep_their_code_and_data_but_for_the_old_one() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let cases = [
        (-32602, -32602, 200),
        (-32603, -32603, 200),
        (7, 7, 200),
        (-32601, -32601, 404),
        (-32021, -32021, 400),
        (-32020, -32020, 200),
        (-32022, -32022, 200),
        (-32002, -32602, 200),
    ];
    for (given, seen, status) in cases {
        let answer = call(&mut client, "fail", &format!(r#"{{"code":{given}}}"#), "").await;
        assert_eq!(answer.status, status, "{given}");
        let error = answer.json().await["error"].take();
        assert_eq!(error, json!({"code": seen, "message": "m", "data": {"k": [1]}}));
    }
    let answer = call(&mut client, "panic", "{}", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().await["error"]["code"], -31014);
    assert_eq!(call(&mut client, "echo", "{}", "").await.status, 200);
}

#[tokio::test]
async fn logs_come_only_where_they_are_asked_for() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    assert!(!call(&mut client, "log", "{}", "").await.is_stream());
    let level = r#","io.modelcontextprotocol/logLevel":"warning""#;
    let mut answer = call(&mut client, "log", "{}", level).await;
    assert!(answer.is_stream());
    assert_eq!(answer.event().await.unwrap()["params"]["level"], "error");
    assert_eq!(answer.event().await.unwrap()["result"]["done"], true);
}

#[tokio::test]
async fn a_modern_client_that_declared_nothing_is_never_asked() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let asked = call(&mut client, "ask", r#"{"method":"sampling/createMessage"}"#, "").await;
    let error = asked.json().await["error"].take();
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("2026-07-28"), "{error}");
}

#[tokio::test]
async fn a_listen_stream_is_acknowledged_and_carries_changes() {
    let (listener, server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let method = "subscriptions/listen";
    let body = modern(
        "\"s1\"",
        method,
        r#""notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["test://a"]}"#,
    );
    let mut stream = client.post(&modern_headers(method, None), &body).await;
    assert!(stream.is_stream());
    assert_eq!(stream.header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(stream.header("cache-control").as_deref(), Some("no-cache, no-transform"));
    let meta = json!({"io.modelcontextprotocol/subscriptionId": "s1"});
    let first = stream.event().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let asked_and_offered =
        json!({"toolsListChanged": true, "resourceSubscriptions": ["test://a"]});
    assert_eq!(first["params"], json!({"notifications": asked_and_offered, "_meta": meta}));
    server.has_seen("resources/subscribe", Some("test://a")).await;
    for _ in 0..1_000 {
        server.say("notifications/tools/list_changed".into(), None);
    }
    server.say("notifications/prompts/list_changed".into(), None);
    server.say("notifications/message".into(), Some(json!({"level": "error"})));
    server.say("notifications/resources/updated".into(), Some(json!({"uri": "test://b"})));
    server.say("notifications/resources/updated".into(), Some(json!({"uri": "test://a"})));
    let changed = stream.event().await.unwrap();
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"], meta);
    let mut updated = stream.event().await.unwrap();
    let mut repeats = 0;
    while updated["method"] == "notifications/tools/list_changed" {
        repeats += 1;
        updated = stream.event().await.unwrap();
    }
    assert!(repeats < 1_000, "list changes are not coalesced");
    assert_eq!(updated["params"], json!({"uri": "test://a", "_meta": meta}));
    let shutdown = tokio::spawn(listener.shutdown(std::time::Duration::from_secs(20)));
    let last = stream.event().await.unwrap();
    assert_eq!(last["id"], "s1");
    assert_eq!(last["result"], json!({"resultType": "complete", "_meta": meta}));
    assert!(stream.event().await.is_none() && stream.has_ended());
    super::within(shutdown).await.unwrap();
    server.has_seen("resources/unsubscribe", Some("test://a")).await;
}

#[tokio::test]
async fn a_listen_stream_that_can_carry_nothing_ends_at_once() {
    let (listener, server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let method = "subscriptions/listen";
    let nothing = modern("1", method, r#""notifications":{"promptsListChanged":true}"#);
    let mut stream = client.post(&modern_headers(method, None), &nothing).await;
    assert_eq!(stream.event().await.unwrap()["params"]["notifications"], json!({}));
    assert_eq!(stream.event().await.unwrap()["result"]["resultType"], "complete");
    assert!(stream.event().await.is_none());
    for bad in ["", r#""notifications":3"#, r#""notifications":{"toolsListChanged":1}"#] {
        let answer = client.post(&modern_headers(method, None), &modern("1", method, bad)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json().await["error"]["code"], -32602, "{bad}");
    }
    // A client that goes takes its subscriptions with it.
    let body = modern("2", method, r#""notifications":{"resourceSubscriptions":["test://c"]}"#);
    let mut stream = client.post(&modern_headers(method, None), &body).await;
    assert!(stream.event().await.is_some());
    server.has_seen("resources/subscribe", Some("test://c")).await;
    drop((client, stream));
    server.has_seen("resources/unsubscribe", Some("test://c")).await;
}

#[tokio::test]
async fn progress_carries_the_clients_token() {
    let (listener, _server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    for token in [r#""my token""#, "7"] {
        let params = r#""name":"burst","arguments":{"count":1}"#;
        let body = modern_with("1", "tools/call", params, &format!(r#","progressToken":{token}"#));
        let mut answer = client.post(&modern_headers("tools/call", Some("burst")), &body).await;
        let params = answer.event().await.unwrap()["params"].take();
        assert_eq!(params["progressToken"].to_string(), token);
        assert_eq!(answer.event().await.unwrap()["result"]["done"], true);
    }
}

#[tokio::test]
async fn arguments_that_a_schema_mirrors_in_headers_must_agree() {
    let (listener, server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let schema = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "n": {"type": "integer", "x-mcp-header": "Count"},
        "on": {"type": "boolean", "x-mcp-header": "On"},
        "deep": {"type": "object", "properties": {"x": {"type": "string", "x-mcp-header": "X"}}},
        "free": {"type": "string"},
    }});
    server.tools.lock().unwrap().push(json!({"name": "echo", "inputSchema": schema}));
    let list = modern("1", "tools/list", "");
    assert_eq!(client.post(&modern_headers("tools/list", None), &list).await.status, 200);
    let cases: [(&str, &[Pair], u16); 17] = [
        ("{}", &[], 200),
        (r#"{"free":"x"}"#, &[], 200),
        (r#"{"region":null}"#, &[("mcp-param-region", "eu")], 200),
        (r#"{"region":"eu"}"#, &[("mcp-param-region", "eu")], 200),
        (r#"{"region":"eu"}"#, &[("Mcp-Param-Region", " eu ")], 200),
        (r#"{"region":"eu"}"#, &[], 400),
        (r#"{"region":"eu"}"#, &[("mcp-param-region", "us")], 400),
        (r#"{"region":""}"#, &[("mcp-param-region", "")], 200),
        (r#"{"region":"é"}"#, &[("mcp-param-region", "=?base64?w6k=?=")], 200),
        (r#"{"region":"é"}"#, &[("mcp-param-region", "=?base64?w6k?=")], 400),
        (r#"{"n":42}"#, &[("mcp-param-count", "42")], 200),
        (r#"{"n":42.0}"#, &[("mcp-param-count", "42")], 200),
        (r#"{"n":9007199254740993}"#, &[("mcp-param-count", "9007199254740992")], 400),
        (r#"{"on":true}"#, &[("mcp-param-on", "true")], 200),
        (r#"{"on":true}"#, &[("mcp-param-on", "false")], 400),
        (r#"{"deep":{"x":"y"}}"#, &[("mcp-param-x", "y"), ("mcp-param-other", "z")], 200),
        (r#"{"deep":{"x":"y"}}"#, &[("mcp-param-x", "z")], 400),
    ];
    for (arguments, more, status) in cases {
        let mut headers = modern_headers("tools/call", Some("echo"));
        headers.extend(more);
        let params = format!(r#""name":"echo","arguments":{arguments}"#);
        let answer = client.post(&headers, &modern("1", "tools/call", &params)).await;
        assert_eq!(answer.status, status, "{arguments} {more:?}");
        let code = answer.json().await["error"]["code"].as_i64();
        assert_eq!(code, (status == 400).then_some(-32020));
    }
    // A tool that is listed anew without them is free of them.
    *server.tools.lock().unwrap() = vec![json!({"name": "echo", "inputSchema": {}})];
    assert_eq!(client.post(&modern_headers("tools/list", None), &list).await.status, 200);
    assert_eq!(call(&mut client, "echo", r#"{"region":"eu"}"#, "").await.status, 200);
}
