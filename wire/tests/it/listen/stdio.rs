//! One message a line.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, ReadHalf, SimplexStream, WriteHalf,
};
use tokio::task::JoinHandle;
use toolweir_core::{Clock, Method, TokioClock};
use toolweir_wire::{Limits, Service, serve_stdio};

use super::server::{Scripted, progress};
use super::{initialize, modern, modern_with, tool, within};
use crate::peer::client::LineClient;

/// A client at the other end.
pub(super) struct Client {
    writer: WriteHalf<SimplexStream>,
    reader: Lines<BufReader<ReadHalf<SimplexStream>>>,
    serving: JoinHandle<std::io::Result<()>>,
    server: Arc<Scripted>,
}

impl Client {
    pub(super) fn start(limits: Limits) -> Self {
        Self::start_with(limits, 64 << 10)
    }

    /// With so much room for what the client has not read yet.
    fn start_with(limits: Limits, room: usize) -> Self {
        let (input, writer) = tokio::io::simplex(64 << 10);
        let (reader, output) = tokio::io::simplex(room);
        let server = Scripted::new();
        let service = Service::new(server.clone()).limits(limits);
        let serving = tokio::spawn(serve_stdio(service, input, output));
        Self { writer, reader: BufReader::new(reader).lines(), serving, server }
    }

    pub(super) fn server(&self) -> &Scripted {
        &self.server
    }

    pub(super) async fn send(&mut self, line: &str) {
        within(self.writer.write_all(format!("{line}\n").as_bytes())).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Option<Value> {
        let line = within(self.reader.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    async fn ask(&mut self, line: &str) -> Value {
        self.send(line).await;
        self.next().await.unwrap()
    }

    async fn initialize(&mut self, version: &str, capabilities: &str) {
        let answer = self.ask(&initialize(version, capabilities)).await;
        assert_eq!(answer["result"]["protocolVersion"], version);
    }

    /// Closes the client's side and waits for the end.
    pub(super) async fn close(mut self) -> Vec<Value> {
        self.writer.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(message) = self.next().await {
            rest.push(message);
        }
        within(self.serving).await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&self.server), 1, "something still holds the server");
        rest
    }
}

fn modern_tool(id: &str, name: &str, arguments: &str, meta: &str) -> String {
    modern_with(id, "tools/call", &format!(r#""name":"{name}","arguments":{arguments}"#), meta)
}

#[tokio::test(start_paused = true)]
async fn both_eras_are_spoken_message_by_message() {
    let mut client = Client::start(Limits::default());
    let discovered = client.ask(&modern("\"d\"", "server/discover", "")).await;
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]));
    let early = client.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert_eq!(early["error"]["code"], -32602);
    client.initialize("2025-06-18", "{}").await;
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let legacy = client.ask(&tool("1", "who", "{}", "")).await;
    assert_eq!(legacy["result"]["version"], "2025-06-18");
    assert_eq!(legacy["result"].get("resultType"), None);
    let answer = client.ask(&modern_tool("2", "who", "{}", "")).await;
    assert_eq!(answer["result"]["version"], "2026-07-28");
    assert_eq!(answer["result"]["resultType"], "complete");
    for method in ["ping", "initialize", "logging/setLevel"] {
        let answer = client.ask(&modern("3", method, "")).await;
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
    let wrong = modern("4", "tools/list", "").replace("2026-07-28", "2027-01-01");
    let answer = client.ask(&wrong).await;
    assert_eq!(answer["error"]["code"], -32022);
    let ping = client.ask(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert_eq!(ping, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    assert!(client.close().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bad_line_is_answered_and_the_next_goes_on() {
    let mut limits = Limits::default();
    limits.message = 2_000;
    let mut client = Client::start(limits);
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(5_000));
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":1,"params":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let cases = [
        ("{", -32700, Value::Null),
        ("\u{feff}{}", -32700, Value::Null),
        ("not json", -32700, Value::Null),
        ("1", -32600, Value::Null),
        (r#"{"id":7,"method":"ping"}"#, -32600, 7.into()),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600, Value::Null),
        ("[]", -32600, Value::Null),
        (&long, -32600, Value::Null),
        (&deep, -32600, Value::Null),
    ];
    for (line, code, id) in cases {
        client.send("").await;
        let answer = client.ask(line).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&code.into(), &id), "{line}");
        let answer = client.ask(&modern_tool("1", "echo", r#"{"n":1}"#, "")).await;
        assert_eq!(answer["result"]["n"], 1);
    }
    client.writer.write_all(b"\xff\xfe{}\n").await.unwrap();
    assert_eq!(client.next().await.unwrap()["error"]["code"], -32700);
    assert!(client.close().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn calls_run_side_by_side_and_are_cancelled_by_id() {
    let mut limits = Limits::default();
    limits.in_flight = 2;
    let mut client = Client::start(limits);
    client.initialize("2025-11-25", "{}").await;
    client.send(&tool("1", "hold", "{}", "")).await;
    client.send(&modern_tool(r#""m""#, "hold", "{}", "")).await;
    client.server.holds(2).await;
    let refused = client.ask(&tool("3", "echo", "{}", "")).await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&3.into(), &(-31003).into()));
    for id in ["1", r#""m""#] {
        client
            .send(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            ))
            .await;
    }
    client.server.holds(0).await;
    let answer = client.ask(&tool("4", "echo", "{}", "")).await;
    assert_eq!(answer["id"], 4);
    let answer = client.ask(&tool("5", "panic", "{}", "")).await;
    assert_eq!(answer["error"]["code"], -31014);
    assert!(client.close().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn progress_precedes_its_result() {
    for arguments in [r#"{"count":2000}"#, r#"{"count":2000,"yield":true}"#] {
        let mut client = Client::start(Limits::default());
        client.send(&modern_tool("1", "burst", arguments, r#","progressToken":"t""#)).await;
        for number in 0..2_000 {
            assert_eq!(client.next().await.unwrap()["params"]["progress"], number);
        }
        assert_eq!(client.next().await.unwrap()["result"]["done"], true);
        assert!(client.close().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_lets_calls_finish() {
    let mut client = Client::start(Limits::default());
    client.send(&modern_tool("1", "hold", "{}", "")).await;
    client.server.holds(1).await;
    let server = client.server.clone();
    let release = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.release.notify_one();
    });
    let rest = client.close_with(release).await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["result"]["held"], true);
}

impl Client {
    async fn close_with(self, other: JoinHandle<()>) -> Vec<Value> {
        let Self { mut writer, mut reader, serving, .. } = self;
        writer.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = within(reader.next_line()).await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        other.await.unwrap();
        within(serving).await.unwrap().unwrap();
        rest
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_finish_are_ended_after_the_end_of_input() {
    let mut client = Client::start(Limits::default());
    client.initialize("2025-11-25", r#"{"sampling":{}}"#).await;
    client.send(&tool("1", "hold", "{}", "")).await;
    client.server.holds(1).await;
    // A question that nobody can answer any more ends its call at once.
    client.send(&tool("2", "ask", r#"{"method":"sampling/createMessage"}"#, "")).await;
    assert_eq!(client.next().await.unwrap()["method"], "sampling/createMessage");
    let rest = client.close().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!((&rest[0]["id"], &rest[0]["error"]["code"]), (&2.into(), &(-31006).into()));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_asked_and_told_of_changes() {
    let mut client = Client::start(Limits::default());
    client.server.say("notifications/tools/list_changed".into(), None); // not yet a session
    client.initialize("2025-11-25", r#"{"roots":{}}"#).await;
    let question = client.ask(&tool("1", "ask", r#"{"method":"roots/list"}"#, "")).await;
    assert_eq!(question["method"], "roots/list");
    let id = &question["id"];
    let answer =
        client.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[]}}}}"#)).await;
    assert_eq!(answer["result"]["answer"], json!({"roots": []}));
    client.server.say("notifications/tools/list_changed".into(), None);
    assert_eq!(client.next().await.unwrap()["method"], "notifications/tools/list_changed");
    client.server.say("notifications/resources/updated".into(), Some(json!({"uri": "test://a"})));
    let subscribe =
        r#"{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"test://a"}}"#;
    assert_eq!(client.ask(subscribe).await["id"], 2);
    client.server.say("notifications/resources/updated".into(), Some(json!({"uri": "test://a"})));
    assert_eq!(client.next().await.unwrap()["params"]["uri"], "test://a");
    client.close_and_check_unsubscribed().await;
}

impl Client {
    async fn close_and_check_unsubscribed(self) {
        let server = self.server.clone();
        let Self { mut writer, serving, .. } = self;
        writer.shutdown().await.unwrap();
        within(serving).await.unwrap().unwrap();
        server.has_seen("resources/unsubscribe", Some("test://a")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_listen_request_lives_until_it_is_cancelled_or_the_end() {
    let mut client = Client::start(Limits::default());
    let listen = |id: &str| {
        modern(id, "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#)
    };
    for id in ["\"s\"", "8"] {
        let first = client.ask(&listen(id)).await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    }
    let cancel =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s"}}"#;
    client.send(cancel).await;
    // Read behind the cancellation, and answered when it is done: two tasks in the order of their wake-ups.
    assert_eq!(client.ask(&modern_tool("1", "echo", r#"{"n":1}"#, "")).await["result"]["n"], 1);
    client.server.say("notifications/tools/list_changed".into(), None);
    let changed = client.next().await.unwrap();
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 8);
    let rest = client.close().await;
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert_eq!((&rest[0]["id"], &rest[0]["result"]["resultType"]), (&8.into(), &"complete".into()));
    assert_eq!(rest[1]["method"], "notifications/cancelled");
    assert_eq!(rest[1]["params"]["requestId"], 8);
}

/// A stream was acknowledged before any server had been asked for what it promises: a change right behind the
/// acknowledgement was never told.
#[tokio::test(start_paused = true)]
async fn a_listen_stream_is_acknowledged_once_its_subscriptions_are_taken() {
    let mut client = Client::start(Limits::default());
    let listen = |id: &str, uri: &str| {
        modern(
            id,
            "subscriptions/listen",
            &format!(r#""notifications":{{"resourceSubscriptions":["test://a","{uri}"]}}"#),
        )
    };
    let updated = || Some(json!({ "uri": "test://a" }));
    client.send(&listen("1", "test://slow")).await;
    for uri in ["test://slow", "test://a"] {
        client.server.has_seen("resources/subscribe", Some(uri)).await;
    }
    client.server.say(Method::RESOURCE_UPDATED, updated()); // too early to be promised to anyone
    let answer = client.ask(&modern_tool("2", "echo", "{}", "")).await;
    assert_eq!(answer["id"], 2, "{answer}");
    client.server.release.notify_one();
    let first = client.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    client.server.say(Method::RESOURCE_UPDATED, updated());
    assert_eq!(client.next().await.unwrap()["method"], "notifications/resources/updated");
    client
        .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    for uri in ["test://slow", "test://a"] {
        client.server.has_seen("resources/unsubscribe", Some(uri)).await;
    }

    // A server that does not answer holds it up for a while, and the others' changes no longer.
    let before = tokio::time::Instant::now();
    let first = client.ask(&listen("3", "test://never")).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    client.server.say(Method::RESOURCE_UPDATED, updated());
    assert_eq!(client.next().await.unwrap()["method"], "notifications/resources/updated");
    client.close().await;
}

/// The end of its stream could not be written to a client that had gone with both of its pipes: that ended the connection
/// at once, and the server went on telling of what nobody listened for.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_all_at_once_leaves_no_subscription_behind() {
    let listen = r#""notifications":{"resourceSubscriptions":["test://a"]}"#;
    let subscribe =
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"test://a"}}"#;
    for round in 0..10 {
        let server = Scripted::new();
        let (mut client, input, output) = LineClient::pair();
        let serving = tokio::spawn(serve_stdio(Service::new(server.clone()), input, output));
        let first = match round % 2 {
            0 => modern("1", "subscriptions/listen", listen),
            _ => subscribe.to_owned(),
        };
        for line in [&initialize("2025-11-25", "{}"), &first] {
            client.send(line).await;
            client.next().await.unwrap();
        }
        client.send(&modern_tool("2", "hold", "{}", "")).await;
        server.holds(1).await;
        drop(client);
        server.release.notify_one(); // its answer finds nobody, nor does the end of the stream
        let _ = within(serving).await.unwrap(); // tells whether anything could not be written
        server.has_seen("resources/unsubscribe", Some("test://a")).await;
        server.holds(0).await;
        assert_eq!(Arc::strong_count(&server), 1, "something still holds the server");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let mut client = Client::start_with(Limits::default(), 64);
    client
        .send(&modern_tool("1", "echo", &format!(r#"{{"x":"{}"}}"#, "x".repeat(1_000)), ""))
        .await;
    let ended = client.serving.await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(Arc::strong_count(&client.server), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_the_call_that_floods_it_and_no_answer() {
    let mut limits = Limits::default();
    limits.queue = 4_000;
    let mut client = Client::start_with(limits, 64);
    let flood = modern_tool("1", "burst", r#"{"count":1000}"#, r#","progressToken":"t""#);
    client.send(&flood).await;
    for id in 2..20 {
        client.send(&modern_tool(&id.to_string(), "echo", &format!(r#"{{"n":{id}}}"#), "")).await;
    }
    let mut answers = std::collections::HashMap::new();
    while answers.len() < 19 {
        let message = client.next().await.unwrap();
        if let Some(id) = message["id"].as_u64() {
            answers.insert(id, message);
        }
    }
    assert_eq!(answers[&1]["error"]["code"], -31003);
    for id in 2..20 {
        assert_eq!(answers[&id]["result"]["n"], id);
    }
    assert!(client.close().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn batches_are_taken_in_one_revision_alone() {
    let mut client = Client::start(Limits::default());
    let batch = format!(
        "[{},{}]",
        tool("1", "echo", r#"{"n":1}"#, ""),
        tool("2", "echo", r#"{"n":2}"#, "")
    );
    assert_eq!(client.ask(&batch).await["error"]["code"], -32600);
    client.initialize("2025-03-26", "{}").await;
    let answers = client.ask(&batch).await;
    assert_eq!(answers.as_array().unwrap().len(), 2);
    client.initialize("2025-06-18", "{}").await;
    assert_eq!(client.ask(&batch).await["error"]["code"], -32600);
    assert!(client.close().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_ends_its_calls() {
    let mut client = Client::start(Limits::default());
    client.send(&modern_tool("1", "hold", "{}", "")).await;
    client.server.holds(1).await;
    client.serving.abort();
    client.server.holds(0).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_call_comes_behind_its_answer() {
    let mut client = Client::start(Limits::default());
    client.initialize("2025-11-25", r#"{"roots":{}}"#).await;
    for keep in [
        tool("1", "keep", "{}", r#""progressToken":1"#),
        modern_tool("1", "keep", "{}", r#","progressToken":1"#),
    ] {
        assert_eq!(client.ask(&keep).await["id"], 1);
        let peer = client.server.kept.lock().unwrap().take().unwrap();
        peer.notify(progress(1));
        let deadline = TokioClock.now() + Duration::from_secs(1);
        assert!(peer.request(Method::ROOTS_LIST, None, deadline).await.is_err());
        assert_eq!(client.ask(&tool("2", "echo", "{}", "")).await["id"], 2);
    }
    assert!(client.close().await.is_empty());
}
