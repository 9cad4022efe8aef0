//! Plain JSON or events, in order, within bounds.

use std::time::Duration;

use toolweir_wire::Limits;

use super::{call, modern_headers, modern_with, open, start, tool};
use crate::peer::client::Client;

const TOKEN: &str = r#","progressToken":"t""#;

#[tokio::test]
async fn a_burst_arrives_in_order_and_before_its_result() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = [("mcp-session-id", id.as_str())];
    for arguments in [r#"{"count":2000}"#, r#"{"count":2000,"yield":true}"#] {
        for era in ["modern", "legacy"] {
            let mut stream = match era {
                "modern" => call(&mut client, "burst", arguments, TOKEN).await,
                _ => client.post(&session, &tool("1", "burst", arguments, &TOKEN[1..])).await,
            };
            assert!(stream.is_stream());
            for number in 0..2_000 {
                let event = stream.event().await.unwrap();
                assert_eq!(event["params"]["progress"], number, "{era} {arguments}");
                assert_eq!(event["params"]["progressToken"], "t");
            }
            let last = stream.event().await.unwrap();
            assert_eq!((&last["id"], &last["result"]["done"]), (&1.into(), &true.into()));
            assert!(stream.event().await.is_none() && stream.has_ended());
        }
    }
}

#[tokio::test]
async fn the_answer_is_plain_where_nothing_precedes_it() {
    let (listener, _server) = start(Limits::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let accepts = [
        ("application/json, text/event-stream", 200, false, true),
        ("text/event-stream, application/json;q=0.5", 200, false, true),
        ("*/*", 200, false, true),
        ("application/json", 200, false, false),
        ("text/event-stream", 200, true, true),
        ("text/html", 406, false, false),
    ];
    for (accept, status, is_stream, is_burst_stream) in accepts {
        for (tool, meta, expected) in [
            ("echo", TOKEN, is_stream),
            ("burst", "", is_stream),
            ("burst", TOKEN, is_burst_stream),
        ] {
            let mut headers = modern_headers("tools/call", Some(tool));
            headers.push(("accept", accept));
            let params = format!(r#""name":"{tool}","arguments":{{"count":3}}"#);
            let body = modern_with("1", "tools/call", &params, meta);
            let answer = client.post(&headers, &body).await;
            assert_eq!(answer.status, status, "{accept}");
            assert_eq!(answer.is_stream(), expected && status == 200, "{accept} {tool} {meta}");
            if status == 200 && !answer.is_stream() {
                assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
                assert!(answer.header("content-length").is_some());
            }
            let text = answer.text().await;
            assert_eq!(
                text.matches("\"resultType\":\"complete\"").count(),
                usize::from(status == 200)
            );
        }
    }
}

#[tokio::test]
async fn a_long_silence_is_filled_with_comments() {
    let mut limits = Limits::default();
    limits.keep_alive = Duration::from_millis(20);
    let (listener, server) = start(limits).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let mut stream = call(&mut client, "hold", "{}", "").await;
    assert!(stream.is_stream());
    for _ in 0..2 {
        assert_eq!(stream.block().await.unwrap(), ": keepalive");
    }
    server.release.notify_one();
    assert_eq!(stream.event().await.unwrap()["result"]["held"], true);
    assert!(stream.event().await.is_none());
    // A client that reads no events waits for its answer.
    let mut headers = modern_headers("tools/call", Some("hold"));
    headers.push(("accept", "application/json"));
    let body = modern_with("1", "tools/call", r#""name":"hold","arguments":{}"#, "");
    let (answer, ()) = tokio::join!(client.post(&headers, &body), async {
        server.holds(1).await;
        tokio::time::timeout(Duration::from_millis(60), std::future::pending::<()>()).await.ok();
        server.release.notify_one();
    });
    assert_eq!(answer.json().await["result"]["held"], true);
}

#[tokio::test]
async fn a_modern_client_that_goes_cancels_its_call() {
    let (listener, server) = start(Limits::default()).await;
    for arguments in ["{}", r#"{"note":true}"#] {
        let mut client = Client::connect(listener.local_addr()).await;
        let body = format!(r#""name":"hold","arguments":{arguments}"#);
        let body = modern_with("1", "tools/call", &body, TOKEN);
        let headers = modern_headers("tools/call", Some("hold"));
        tokio::select! {
            mut answer = client.post(&headers, &body) => {
                assert!(answer.event().await.is_some());
                server.holds(1).await;
            }
            () = server.holds(1) => {}
        }
        drop(client);
        server.holds(0).await;
    }
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_loses_its_call_alone() {
    let mut limits = Limits::default();
    limits.queue = 2_000;
    let (listener, _server) = start(limits).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let id = open(&mut client, "2025-11-25", "{}").await;
    let session = [("mcp-session-id", id.as_str())];
    for era in ["modern", "legacy"] {
        // More in one go than may wait: no reader is fast enough for this.
        let mut stream = match era {
            "modern" => call(&mut client, "burst", r#"{"count":1000}"#, TOKEN).await,
            _ => client.post(&session, &tool("1", "burst", r#"{"count":1000}"#, &TOKEN[1..])).await,
        };
        let mut count = 0;
        let last = loop {
            let event = stream.event().await.unwrap();
            if event.get("id").is_some() {
                break event;
            }
            assert_eq!(event["params"]["progress"], count);
            count += 1;
        };
        assert!(count > 0 && count < 1_000, "{count}");
        assert_eq!(last["error"]["code"], -31003, "{era}");
        assert!(stream.event().await.is_none() && stream.has_ended());
        assert_eq!(call(&mut client, "echo", "{}", "").await.status, 200);
    }
}
