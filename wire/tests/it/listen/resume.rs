//! Streams that a legacy client takes up again with `Last-Event-ID`.

use serde_json::json;
use toolweir_wire::{HttpListener, Limits};

use super::{open, start, tool};
use crate::peer::client::{Answer, Client};

const TOKEN: &str = r#""progressToken":"t""#;

/// Takes a stream up behind this event, on a connection of its own.
async fn take_up(listener: &HttpListener, session: &str, last: &str) -> (Client, Answer) {
    let mut client = Client::connect(listener.local_addr()).await;
    let stream = client.get(&[("mcp-session-id", session), ("last-event-id", last)]).await;
    (client, stream)
}

#[tokio::test]
async fn a_broken_connection_loses_nothing_of_a_call() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let burst = tool("1", "burst", r#"{"count":1000,"yield":true}"#, TOKEN);
    let mut stream = client.post(&[("mcp-session-id", &id)], &burst).await;
    for number in 0..10 {
        assert_eq!(stream.event().await.unwrap()["params"]["progress"], number);
    }
    let last = stream.last_id().to_owned();
    drop((stream, client));
    // Twice, since the second connection may break, too.
    for _ in 0..2 {
        let (_client, mut stream) = take_up(&listener, &id, &last).await;
        assert_eq!((stream.status, stream.is_stream()), (200, true));
        for number in 10..1_000 {
            assert_eq!(stream.event().await.unwrap()["params"]["progress"], number);
        }
        assert_eq!(stream.event().await.unwrap()["result"]["done"], true);
        assert!(stream.event().await.is_none() && stream.has_ended());
    }
}

#[tokio::test]
async fn a_call_goes_on_while_its_client_is_away() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let hold = tool("1", "hold", r#"{"note":true}"#, TOKEN);
    let mut stream = client.post(&[("mcp-session-id", &id)], &hold).await;
    // What primes says from where all of it comes again.
    let prime = stream.block().await.unwrap();
    assert_eq!(prime, "id: 1-0\nretry: 1000\ndata:");
    drop((stream, client));
    let (_one, mut first) = take_up(&listener, &id, "1-0").await;
    assert_eq!(first.event().await.unwrap()["params"]["progress"], 1);
    // Whoever takes it up last has it.
    let (_two, mut second) = take_up(&listener, &id, "1-1").await;
    assert!(first.event().await.is_none() && first.has_ended());
    server.release.notify_one();
    assert_eq!(second.event().await.unwrap()["result"]["held"], true);
}

#[tokio::test]
async fn a_question_waits_for_a_client_that_comes_back() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", r#"{"sampling":{}}"#).await;
    let session = [("mcp-session-id", id.as_str())];
    let hold = tool("1", "keep", "{}", TOKEN);
    let only_events = [session[0], ("accept", "text/event-stream")];
    let stream = client.post(&only_events, &tool("2", "ask", ASK, TOKEN)).await;
    client = Client::connect(listener.local_addr()).await;
    drop(stream);
    server.has_seen("tools/call", Some("ask")).await;
    let (_other, mut stream) = take_up(&listener, &id, "1-0").await;
    let question = stream.event().await.unwrap();
    assert_eq!(question["method"], "sampling/createMessage");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"text": "Paris"}});
    assert_eq!(client.post(&session, &answer.to_string()).await.status, 202);
    let result = stream.event().await.unwrap();
    assert_eq!((&result["id"], &result["result"]["answer"]["text"]), (&json!(2), &json!("Paris")));
    assert_eq!(client.post(&session, &hold).await.status, 200);
}

const ASK: &str = r#"{"method":"sampling/createMessage"}"#;

#[tokio::test]
async fn what_belongs_to_no_call_is_taken_up_too() {
    let (listener, server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = [("mcp-session-id", id.as_str())];
    for uri in ["test://a", "test://b"] {
        let subscribe = json!({
            "jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": uri}
        });
        client.post(&session, &subscribe.to_string()).await.text().await;
    }
    let say =
        |uri: &str| server.say("notifications/resources/updated".into(), Some(json!({"uri": uri})));
    let mut stream = client.get(&session).await;
    say("test://a");
    assert_eq!(stream.event().await.unwrap()["params"]["uri"], "test://a");
    let last = stream.last_id().to_owned();
    assert_eq!(last, "g1-1");
    say("test://b");
    drop((stream, client));
    let (_client, mut stream) = take_up(&listener, &id, &last).await;
    assert_eq!(stream.event().await.unwrap()["params"]["uri"], "test://b");
    // One that is not kept any more: any other of its kind will do.
    let (_client, mut stream) = take_up(&listener, &id, "g99-7").await;
    say("test://a");
    assert_eq!(stream.event().await.unwrap()["params"]["uri"], "test://a");
    assert_eq!(stream.last_id(), "g2-1");
}

#[tokio::test]
async fn ids_that_name_nothing_are_refused() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    for last in ["1-0", "g", "another server's", "1-0-0"] {
        let (_client, answer) = take_up(&listener, &id, last).await;
        assert_eq!(answer.status, 400, "{last}");
        assert!(answer.text().await.contains("Last-Event-ID"));
    }
    let (_client, answer) = take_up(&listener, "nobody's", "1-0").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn an_older_client_gets_ids_but_no_empty_event() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-06-18", "{}").await;
    let burst = tool("1", "burst", r#"{"count":1}"#, TOKEN);
    let mut stream = client.post(&[("mcp-session-id", &id)], &burst).await;
    assert!(stream.block().await.unwrap().starts_with("id: 1-1\nevent: message\ndata: {"));
}

#[tokio::test]
async fn where_nothing_is_to_be_kept_events_have_no_ids() {
    let mut limits = Limits::default();
    limits.replay = 0;
    let (listener, _server) = start(limits).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let burst = tool("1", "burst", r#"{"count":1}"#, TOKEN);
    let mut stream = client.post(&[("mcp-session-id", &id)], &burst).await;
    assert!(stream.block().await.unwrap().starts_with("event: message\ndata: {"));
}
