//! Finding out how a server speaks.

use super::*;

/// A server that plays `script` and waits a moment only for an answer to the probe.
fn hasty(script: &str) -> StdioServer {
    let mut options = Options::default().connect_timeout(Duration::from_secs(10));
    options.probe_timeout = Duration::from_millis(50);
    StdioServer::new("peer", program(script), options)
}

#[tokio::test]
async fn servers_of_every_age_are_understood() {
    let cases = [
        ("legacy", "2025-11-25"),
        ("modern", "2026-07-28"),
        ("exits", "2025-11-25"), // ends when the first message is not `initialize`
        ("dual", "2025-11-25"),  // -32022, and a version that we speak
        ("again", "2026-07-28"), // refuses its first request, whatever it is
        ("nonsense", "2025-11-25"), // the probe's result is of no known shape
        ("malformed", "2025-11-25"), // the probe's answer is no JSON-RPC
    ];
    for (script, version) in cases {
        let server = stdio(script);
        let info = within(server.connect(soon())).await.expect(script);
        assert_eq!(&*info.protocol_version, version, "{script}");
        assert!(call(&server, "echo", json!({})).await.is_ok(), "{script}");
        server.close(soon()).await;
    }
    let server = hasty("silent");
    let info = within(server.connect(soon())).await.unwrap();
    assert_eq!(&*info.protocol_version, "2025-11-25");
    assert_eq!(info.instructions.as_deref(), Some("be gentle"));
    assert_eq!(info.identity.as_str(), r#"{"name":"peer","version":"1"}"#);
}

#[tokio::test]
async fn a_handshake_that_fails_leaves_nothing_sent() {
    for script in ["future", "lies"] {
        let error = call(&stdio(script), "echo", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true), "{script}");
        assert_eq!(error.server_name(), Some("peer"));
    }
    let missing = StdioServer::new("none", Program::new("/nonexistent/x"), Options::default());
    let error = call(&missing, "echo", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
    assert!(error.to_string().contains("/nonexistent/x"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_is_given_up_in_time() {
    let options = Options::default().connect_timeout(Duration::from_millis(200));
    let server = StdioServer::new("peer", program("hangs"), options);
    let error = call(&server, "echo", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
}

#[tokio::test]
async fn a_modern_server_is_told_version_and_capabilities_with_every_call() {
    let server = stdio("modern");
    let echoed = value(&server, "echo", json!({ "a": 1 })).await;
    let meta = &echoed["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    assert_eq!(echoed["arguments"], json!({ "a": 1 }));
    let legacy = value(&stdio("legacy"), "echo", json!({ "a": 1 })).await;
    assert_eq!(legacy, json!({ "name": "echo", "arguments": { "a": 1 } }));
}
