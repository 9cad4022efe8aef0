//! Servers at the other end of any streams.

use toolweir_wire::{Service, serve_stdio};

use super::*;
use crate::peer::server::streams;

/// One that plays `script` in this program.
fn inside(script: &'static str) -> StdioServer {
    StdioServer::over("peer", streams(script), Options::default())
}

#[tokio::test(start_paused = true)]
async fn a_server_in_this_program_is_one_like_any_other() {
    for (script, version) in
        [("legacy", "2025-11-25"), ("modern", "2026-07-28"), ("exits", "2025-11-25")]
    {
        let server = inside(script);
        let listener = Listener::at(&server);
        assert_eq!(value(&server, "give", json!({ "it": 7 })).await, 7, "{script}");
        assert_eq!(server.process_id(), None);
        let error = call(&server, "crash", json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
        assert_eq!(value(&server, "give", json!({ "it": 8 })).await, 8, "{script}");
        let connected = format!("connected {version}");
        assert_eq!(listener.heard(), [&*connected, "disconnected", &*connected]);
        server.close(soon()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_cannot_be_opened_leave_the_call_unsent() {
    let open = || -> std::io::Result<(tokio::io::Empty, tokio::io::Sink)> {
        Err(std::io::ErrorKind::ConnectionRefused.into())
    };
    let server = StdioServer::over("peer", open, Options::default());
    let error = call(&server, "echo", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
    assert!(format!("{server:?}").contains("streams"));
}

/// A gateway can stand behind a gateway without a process between them.
#[tokio::test(start_paused = true)]
async fn a_listener_can_be_the_other_end() {
    let service = Service::new(Arc::new(inside("legacy")));
    let open = move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (input, output) = tokio::io::split(far);
        tokio::spawn(serve_stdio(service.clone(), input, output));
        Ok(tokio::io::split(near))
    };
    let server = StdioServer::over("outer", open, Options::default());
    assert_eq!(value(&server, "give", json!({ "it": { "a": 1 } })).await["a"], 1);
    let error = call(&server, "fail", json!({ "it": { "code": 5, "message": "m" } })).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Protocol { code: 5 });
}
