//! Clients that break off, say nothing, or read nothing; and those beside them.

use std::time::Duration;

use tokio::net::TcpStream;
use toolweir_core::{Clock, TokioClock};
use toolweir_wire::serve_stdio;

use super::*;
use crate::peer::Stopped;
use crate::peer::client::LineClient;
use crate::peer::script::{Framing, Names, Next, Step};

/// Connects, plays a script as a client, and goes.
async fn play(address: std::net::SocketAddr, steps: &[Step]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for step in steps {
        let played = step.play(&mut stream, Framing::Post, &Names::default()).await;
        if played.is_ok_and(|next| next == Next::Reset) {
            let _ = stream.set_zero_linger();
        }
    }
    stream
}

/// A legacy call of a tool, in a session.
fn in_session(session: &str, body: &str) -> Step {
    Step::Bytes(format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: {session}\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[tokio::test]
async fn a_request_cut_at_any_byte_is_no_call() {
    let (listener, server) = start(Limits::default()).await;
    let address = listener.local_addr();
    let mut client = Client::connect(address).await;
    let session = open(&mut client, "2025-11-25", "{}").await;
    let body = tool("1", "echo", r#"{"text":"na\u00efve é"}"#, "");
    let request = in_session(&session, &body);
    let mut whole = Vec::new();
    request.play(&mut whole, Framing::Post, &Names::default()).await.unwrap();
    for at in 0..whole.len() {
        let end = if at % 2 == 0 { Step::Close } else { Step::Reset };
        drop(play(address, &[Step::Cut(vec![request.clone()], at), end]).await);
    }
    let answer = client.post(&[("mcp-session-id", &*session)], &tool("2", "raw", "{}", "")).await;
    assert_eq!(answer.status, 200);
    let calls = server.calls.lock().unwrap().clone();
    assert_eq!(calls, [("tools/call".to_owned(), Some("raw".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn a_line_cut_at_any_byte_is_no_call() {
    let server = Scripted::new();
    let line = modern_with("1", "tools/call", r#""name":"echo","arguments":{"text":"é"}"#, "");
    for at in 0..=line.len() {
        let (mut near, far) = tokio::io::duplex(64 << 10);
        let (input, output) = tokio::io::split(far);
        let serving = tokio::spawn(serve_stdio(Service::new(server.clone()), input, output));
        let cut = Step::Cut(vec![Step::Frame(line.clone())], at);
        cut.play(&mut near, Framing::Line, &Names::default()).await.unwrap();
        drop(near);
        let _ = within(serving).await.unwrap(); // its writer may have found nobody there
    }
    assert!(server.calls.lock().unwrap().is_empty());
    assert_eq!(Arc::strong_count(&server), 1);
}

/// The clock stands still, so nobody waits for a slow one; and once it moves, those are gone.
#[tokio::test]
async fn good_clients_wait_for_none_of_two_hundred_slow_ones() {
    let (listener, server) = start(Limits::default()).await;
    let address = listener.local_addr();
    let clock = Stopped::new();
    let begun = TokioClock.now();
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let bytes = |text: String| vec![Step::Bytes(text)];
    let ways = [
        vec![],
        bytes("POST /mcp HT".to_owned()),
        bytes(format!("{head}X: {}", "x".repeat(30_000))),
        bytes(format!("{head}Content-Length: 100\r\n\r\n{{")),
        bytes(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n12")),
    ];
    let mut slow = Vec::new();
    for number in 0..200 {
        slow.push(play(address, &ways[number % ways.len()]).await);
    }
    for number in 0..100 {
        let mut client = Client::connect(address).await;
        let answer = call(&mut client, "echo", &format!(r#"{{"n":{number}}}"#), "").await;
        assert_eq!(answer.json().await["result"]["n"], number);
    }
    assert_eq!(TokioClock.now(), begun);
    assert_eq!(server.calls.lock().unwrap().len(), 100);
    drop(clock);
    // Nothing is read until the listener has none of them left.
    listener.shutdown(Duration::from_secs(3_600)).await;
    assert!(TokioClock.now() - begun <= Duration::from_secs(61), "its head, and again its body");
}

/// A client that reads nothing costs its own connection, and no other client a moment.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_slows_nobody() {
    let server = Scripted::new();
    let service = Service::new(server.clone());
    let (mut deaf, input, output) = LineClient::pair();
    let deaf_one = tokio::spawn(serve_stdio(service.clone(), input, output));
    let (mut good, input, output) = LineClient::pair();
    let serving = tokio::spawn(serve_stdio(service, input, output));
    let begun = TokioClock.now();
    let meta = r#","progressToken":"t""#;
    for number in 0..20 {
        let burst = r#""name":"burst","arguments":{"count":2000}"#;
        deaf.send(&modern_with(&number.to_string(), "tools/call", burst, meta)).await;
    }
    for number in 0..100 {
        let id = number.to_string();
        good.send(&modern_with(&id, "tools/call", r#""name":"echo","arguments":{"a":1}"#, ""))
            .await;
        assert!(good.next().await.unwrap().contains(&format!(r#""id":{id},"result""#)));
    }
    assert_eq!(TokioClock.now(), begun);
    let ended = within_an_hour(deaf_one).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(TokioClock.now() - begun <= Duration::from_secs(31));
    drop(good);
    let _ = within(serving).await.unwrap();
    drop(deaf);
    assert_eq!(Arc::strong_count(&server), 1);
}

async fn within_an_hour<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3_600), future).await.unwrap()
}
