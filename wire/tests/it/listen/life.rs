//! Bounds, deadlines, and the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use toolweir_wire::Limits;

use super::{call, initialize, modern, modern_headers, modern_with, open, start, tool, within};
use crate::peer::client::Client;

/// All that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset counts as an end: the other side closed with our bytes unread.
    let _ = within(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn shutdown_lets_calls_finish_and_leaves_nothing() {
    let (listener, server) = start(Limits::default()).await;
    let address = listener.local_addr();
    let mut client = Client::connect(address).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = [("mcp-session-id", id.as_str())];
    let mut get = client.get(&session).await;
    let mut idle = Client::connect(address).await;
    assert_eq!(call(&mut idle, "echo", "{}", "").await.status, 200);
    let (mut one, mut two) = (Client::connect(address).await, Client::connect(address).await);
    let hold = tool("1", "hold", "{}", "");
    let shutdown = async {
        server.holds(2).await;
        let shutdown = tokio::spawn(listener.shutdown(Duration::from_secs(20)));
        assert!(get.event().await.is_none() && get.has_ended());
        assert!(TcpStream::connect(address).await.is_err());
        server.holds(2).await;
        server.release.notify_waiters();
        shutdown.await.unwrap();
    };
    let (modern, legacy, ()) = within(async {
        tokio::join!(call(&mut one, "hold", "{}", ""), two.post(&session, &hold), shutdown)
    })
    .await;
    assert_eq!(modern.json().await["result"]["held"], true);
    assert_eq!(legacy.json().await["result"]["held"], true);
    assert_eq!(Arc::strong_count(&server), 1, "something still holds the server");
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_ended() {
    let mut limits = Limits::default();
    limits.keep_alive = Duration::from_millis(10);
    let (listener, server) = start(limits).await;
    let address = listener.local_addr();
    let mut client = Client::connect(address).await;
    let id = open(&mut client, "2025-11-25", r#"{"sampling":{}}"#).await;
    let session = [("mcp-session-id", id.as_str())];
    let subscribe =
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"test://a"}}"#;
    assert_eq!(client.post(&session, subscribe).await.status, 200);
    let (mut one, mut two) = (Client::connect(address).await, Client::connect(address).await);
    let mut modern = call(&mut one, "hold", "{}", "").await;
    let mut legacy = two.post(&session, &tool("1", "hold", "{}", "")).await;
    let ask = tool("2", "ask", r#"{"method":"sampling/createMessage"}"#, "");
    let mut three = Client::connect(address).await;
    let mut asked = three.post(&session, &ask).await;
    assert!(asked.event().await.is_some());
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    server.holds(2).await;
    within(listener.shutdown(Duration::from_millis(40))).await;
    server.holds(0).await;
    for stream in [&mut modern, &mut legacy, &mut asked] {
        while let Some(event) = stream.event().await {
            assert_ne!(event["result"]["held"], true);
        }
    }
    assert_eq!(rest(&mut half).await, "");
    assert_eq!(Arc::strong_count(&server), 1, "something still holds the server");
}

#[tokio::test]
async fn a_dropped_listener_ends_what_it_began() {
    let (listener, server) = start(Limits::default()).await;
    let address = listener.local_addr();
    let mut client = Client::connect(address).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let body = tool("1", "hold", r#"{"note":true}"#, r#""progressToken":1"#);
    let stream = client.post(&[("mcp-session-id", id.as_str())], &body).await;
    let mut other = Client::connect(address).await;
    let params = r#""name":"hold","arguments":{"note":true}"#;
    let body = modern_with("1", "tools/call", params, r#","progressToken":1"#);
    let modern = other.post(&modern_headers("tools/call", Some("hold")), &body).await;
    server.holds(2).await;
    drop(listener);
    server.holds(0).await;
    drop((stream, modern));
}

#[tokio::test]
async fn bodies_are_bounded_in_size_depth_and_time() {
    let mut limits = Limits::default();
    limits.message = 1_000;
    limits.depth = 16;
    limits.read = Duration::from_millis(60);
    let (listener, server) = start(limits).await;
    let address = listener.local_addr();
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let long = "x".repeat(1_200);
    let cases = [
        (format!("{head}Content-Length: 1001\r\n\r\n"), "413"),
        (format!("{head}Content-Length: 99999999999999999999\r\n\r\n"), "400"),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n4b0\r\n{long}\r\n"), "413"),
        (format!("{head}Content-Length: 10\r\n\r\n12345"), "408"),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"), "408"),
        (format!("{head}Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\nzz"), "400"),
        (format!("{head}X: {}\r\n\r\n", "x".repeat(200 << 10)), "431"),
        (format!("{head}{}\r\n", "X: x\r\n".repeat(200)), "431"),
    ];
    for (request, status) in cases {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The answer may come, and the connection close, before all is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = rest(&mut stream).await;
        let start: String = request.chars().skip(head.len()).take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{start}: {answer}");
    }
    // A head that never ends, and a connection that says nothing, are closed.
    for begun in ["", "POST /mcp HT"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        rest(&mut stream).await;
    }
    let mut client = Client::connect(address).await;
    let deep = format!(r#""x":{}{}"#, "[".repeat(20), "]".repeat(20));
    let body = modern("1", "tools/list", &deep);
    let answer = client.post(&modern_headers("tools/list", None), &body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json().await["error"]["code"], -32600);
    assert!(server.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connections_are_bounded_and_the_next_waits_its_turn() {
    let mut limits = Limits::default();
    limits.connections = 2;
    let (listener, server) = start(limits).await;
    let address = listener.local_addr();
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(address).await;
        running.push(tokio::spawn(async move {
            assert_eq!(call(&mut client, "hold", "{}", "").await.status, 200);
            client
        }));
    }
    server.holds(2).await;
    let mut three = Client::connect(address).await;
    let waiting = tokio::spawn(async move { call(&mut three, "echo", "{}", "").await.status });
    // Those at work stay, and the third waits.
    assert!(
        tokio::time::timeout(
            Duration::from_millis(50),
            server.has_seen("tools/call", Some("echo"))
        )
        .await
        .is_err()
    );
    server.release.notify_one();
    assert_eq!(within(waiting).await.unwrap(), 200);
    server.holds(1).await;
    server.release.notify_one();
    for running in running {
        within(running).await.unwrap();
    }
}

#[tokio::test]
async fn quiet_connections_make_room_for_new_ones() {
    let mut limits = Limits::default();
    limits.connections = 4;
    let (listener, server) = start(limits).await;
    let address = listener.local_addr();
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = format!("{head}Content-Length: 10\r\n\r\n12");
    let mut busy = Client::connect(address).await;
    let busy = tokio::spawn(async move { call(&mut busy, "hold", "{}", "").await.json().await });
    server.holds(1).await;
    // However many say nothing, half a head or half a body, the next is served at once.
    let mut slow = Vec::new();
    for number in 0..30 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun = ["", head, &body][number % 3];
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
        let mut client = Client::connect(address).await;
        assert_eq!(call(&mut client, "echo", "{}", "").await.status, 200);
    }
    server.release.notify_one();
    assert_eq!(within(busy).await.unwrap()["result"]["held"], true);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_dropped() {
    let mut limits = Limits::default();
    limits.write = Duration::from_millis(50);
    let (listener, server) = start(limits).await;
    let address = listener.local_addr();
    let params = format!(r#""name":"echo","arguments":{{"x":"{}"}}"#, "x".repeat(8 << 20));
    let body = modern_with("1", "tools/call", &params, "");
    let headers = modern_headers("tools/call", Some("echo"));
    let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    within(stream.write_all(request.as_bytes())).await.unwrap();
    server.has_seen("tools/call", Some("echo")).await;
    // Nothing is read until the listener has no connection left.
    within(listener.shutdown(Duration::from_secs(10))).await;
    let answer = rest(&mut stream).await;
    assert!(answer.len() < 8 << 20, "{}", answer.len());
}

#[tokio::test]
async fn calls_of_a_session_are_bounded() {
    let mut limits = Limits::default();
    limits.in_flight = 2;
    let (listener, server) = start(limits).await;
    let address = listener.local_addr();
    let mut client = Client::connect(address).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let mut running = Vec::new();
    for number in 0..2 {
        let (id, mut client) = (id.clone(), Client::connect(address).await);
        running.push(tokio::spawn(async move {
            let hold = tool(&number.to_string(), "hold", "{}", "");
            client.post(&[("mcp-session-id", id.as_str())], &hold).await.json().await
        }));
    }
    server.holds(2).await;
    let session = [("mcp-session-id", id.as_str())];
    let answer = client.post(&session, &tool("9", "echo", "{}", "")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().await["error"]["code"], -31003);
    server.release.notify_waiters();
    for running in running {
        assert_eq!(within(running).await.unwrap()["result"]["held"], true);
    }
    let answer = client.post(&session, &tool("9", "echo", r#"{"n":1}"#, "")).await;
    assert_eq!(answer.json().await["result"]["n"], 1);
    assert_eq!(client.post(&[], &initialize("2025-11-25", "{}")).await.status, 200);
}
