//! Servers that break the rules.

use toolweir_wire::Limits;

use super::*;

const DONE: &str = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":7}\n";

fn small() -> StdioServer {
    let mut limits = Limits::default();
    limits.message = 64 << 10;
    StdioServer::new("peer", program("legacy"), Options::default().limits(limits))
}

#[tokio::test]
async fn noise_before_and_between_is_ignored() {
    let server = stdio("legacy");
    let noise = [
        "Starting server...\n",
        "\n\r\n",
        "{\"level\":\"info\"}\n",
        "\u{ff}\u{fe}\u{80}\n",
        "{\"jsonrpc\":\"1.0\",\"id\":77,\"result\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":1}\n",
        "[1,2,[3]]\n",
        "nul\u{0}nul\n",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"x\":\"\u{ff}\"}}\n",
    ];
    for line in noise {
        assert_eq!(value(&server, "say", json!({ "say": [line, DONE] })).await, 7, "{line:?}");
    }
    assert_eq!(value(&server, "say", json!({ "say": ["half a line", "\n", DONE] })).await, 7);
}

#[tokio::test]
async fn an_answer_in_pieces_and_one_with_carriage_return_are_whole() {
    let server = stdio("legacy");
    let pieces = ["{\"jsonrpc\":\"2.0\",", "\"id\":$ID,\"res", "ult\":7}", "\r\n"];
    assert_eq!(value(&server, "say", json!({ "say": pieces })).await, 7);
}

#[tokio::test]
async fn a_broken_answer_fails_its_call_and_no_other() {
    let deep = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}{}}}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let cases = [
        "{\"jsonrpc\":\"2.0\",\"id\":$ID}\n",
        "{\"jsonrpc\":\"1.0\",\"id\":$ID,\"result\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":\"text\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"message\":\"no code\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"text\":\"\u{ff}\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"a\":}}\n",
        "{\"result\":{\"a\":},\"jsonrpc\":\"2.0\",\"id\":$ID}\n",
        &*deep,
    ];
    let server = stdio("legacy");
    let held = tool("hold", json!({}));
    let mut held = Box::pin(server.call(&held));
    for case in cases {
        tokio::select! {
            biased;
            _ = &mut held => panic!("another call's answer was taken"),
            result = call(&server, "say", json!({ "say": [case] })) => {
                let shown: String = case.chars().take(60).collect();
                assert_eq!(result.unwrap_err().kind(), Kind::InvalidReply, "{shown}");
            }
        }
    }
    assert_eq!(value(&server, "say", json!({ "say": [DONE] })).await, 7);
}

#[tokio::test]
async fn a_byte_order_mark_does_not_hide_an_answer() {
    let answer = format!("\u{ef}\u{bb}\u{bf}{DONE}");
    assert_eq!(value(&stdio("legacy"), "say", json!({ "say": [answer] })).await, 7);
}

#[tokio::test]
async fn a_line_over_the_cap_fails_its_call_and_the_connection_lives() {
    let server = small();
    let process = {
        within(server.connect(soon())).await.unwrap();
        server.process_id()
    };
    let error = call(&server, "large", json!({ "size": 1 << 20 })).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidReply);
    assert!(call(&server, "large", json!({ "size": 32 << 10 })).await.is_ok());
    assert_eq!(server.process_id(), process);
}

/// Beside other calls nobody knew whose answer it was, and the call waited until its deadline.
#[tokio::test]
async fn an_answer_over_the_cap_fails_its_own_call_at_once() {
    let server = small();
    let held = tool("hold", json!({}));
    let mut held = Box::pin(server.call(&held));
    for order in ["id first", "result first"] {
        tokio::select! {
            biased;
            _ = &mut held => panic!("another call's answer was taken"),
            result = call(&server, "large", json!({ "size": 1 << 20, "order": order })) => {
                assert_eq!(result.unwrap_err().kind(), Kind::InvalidReply, "{order}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_over_the_cap_is_never_written() {
    let server = small();
    let error = call(&server, "echo", json!({ "a": "z".repeat(1 << 17) })).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::TooLarge, true));
    assert!(call(&server, "echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_flood_on_stderr_blocks_nothing() {
    assert_eq!(value(&stdio("legacy"), "flood", json!({ "chunks": 64 })).await, json!({}));
}

#[tokio::test]
async fn a_child_that_stops_reading_is_left_for_another() {
    let mut limits = Limits::default();
    limits.write = Duration::from_millis(200);
    let server = StdioServer::new("peer", program("legacy"), Options::default().limits(limits));
    call(&server, "stop", json!({})).await.unwrap();
    let large = json!({ "a": "z".repeat(1 << 20) }); // far over what a pipe holds
    let error = call(&server, "echo", large).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
    assert!(call(&server, "echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn only_so_many_calls_are_in_flight() {
    let mut limits = Limits::default();
    limits.in_flight = 2;
    let server = StdioServer::new("peer", program("legacy"), Options::default().limits(limits));
    within(server.connect(soon())).await.unwrap();
    let calls = [tool("hold", json!({})), tool("hold", json!({}))];
    let mut held = calls.each_ref().map(|call| Box::pin(server.call(call)));
    for call in &mut held {
        assert!(futures_ready(call).await.is_none());
    }
    let error = call(&server, "echo", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Overloaded, true));
    drop(held);
    assert!(call(&server, "echo", json!({})).await.is_ok());
}

/// Polls once.
async fn futures_ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}
