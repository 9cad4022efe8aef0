//! A server that is another one after a restart, in the other era.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::peer::Stopped;
use crate::peer::http::{Answer, Seen, Web, http, legacy, modern, result};
use crate::peer::server::serve;

fn is_modern(seen: &Seen) -> bool {
    seen.header("mcp-protocol-version") == Some("2026-07-28")
}

fn error(seen: &Seen, status: &str, code: i64) -> Answer {
    let error = json!({ "code": code, "message": "no", "data": { "n": 1 } });
    let body = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "error": error });
    http(status, "Content-Type: application/json\r\n", &body.to_string())
}

/// A legacy server, which refuses what has no session of its own.
fn old(seen: &Seen) -> Answer {
    legacy(seen, |seen| match seen.header("mcp-session-id") {
        Some("s-1") if !is_modern(seen) => result(seen, &json!({ "era": "legacy" })),
        _ => http("400 Bad Request", "", "no session"),
    })
}

/// A modern one, which knows no other way.
fn new(seen: &Seen) -> Answer {
    if !is_modern(seen) {
        return error(seen, "400 Bad Request", -32022);
    }
    modern(seen, |seen| result(seen, &json!({ "resultType": "complete", "era": "modern" })))
}

/// The eras of a call's answers before and after the server has become another one, and the server.
async fn across(before: fn(&Seen) -> Answer, after: fn(&Seen) -> Answer) -> ([Value; 2], Web) {
    let changed = Arc::new(AtomicBool::new(false));
    let has_changed = changed.clone();
    let web =
        Web::start(
            move |seen| {
                if has_changed.load(Ordering::SeqCst) { after(seen) } else { before(seen) }
            },
        )
        .await;
    let server = web.server();
    let era = async || value(&server, "x", json!({})).await["era"].take();
    let first = era().await;
    changed.store(true, Ordering::SeqCst);
    let second = era().await;
    ([first, second], web)
}

/// The plain refusal of a server that had become a legacy one left the modern session as it was: all calls failed until
/// the gateway was started again.
#[tokio::test]
async fn a_modern_server_that_comes_back_as_a_legacy_one_is_spoken_with() {
    let (eras, web) = across(new, old).await;
    assert_eq!(eras, ["modern", "legacy"]);
    assert_eq!(web.of("tools/call").len(), 3, "the refused one was sent again, once");
    assert_eq!(web.of("initialize").len(), 1);
}

/// Errors that only modern servers have were taken for answers of a legacy one.
#[tokio::test]
async fn a_legacy_server_that_comes_back_as_a_modern_one_is_spoken_with() {
    for code in [-32020, -32021, -32022] {
        let changed = Arc::new(AtomicBool::new(false));
        let has_changed = changed.clone();
        let web = Web::start(move |seen| match has_changed.load(Ordering::SeqCst) {
            false => old(seen),
            true if is_modern(seen) => new(seen),
            true => error(seen, "400 Bad Request", code),
        })
        .await;
        let server = web.server();
        assert_eq!(value(&server, "x", json!({})).await["era"], "legacy");
        changed.store(true, Ordering::SeqCst);
        assert_eq!(value(&server, "x", json!({})).await["era"], "modern", "{code}");
        assert_eq!(web.of("tools/call").len(), 3);
    }
}

#[tokio::test]
async fn an_answer_that_only_looks_so_changes_nothing() {
    // A modern server, or what stands before it, has no such page.
    let web = Web::start(|seen| modern(seen, |_| http("404 Not Found", "", "nothing here"))).await;
    let server = web.server();
    let listener = Listener::at(&server);
    for _ in 0..3 {
        let error = call(&server, "x", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Status { status: 404 });
    }
    assert_eq!(web.of("tools/call").len(), 3, "not sent again");
    // A legacy server may use the number for what it likes.
    let web = Web::start(|seen| legacy(seen, |seen| error(seen, "200 OK", -32021))).await;
    let server = web.server();
    let other = Listener::at(&server);
    for _ in 0..3 {
        let error = call(&server, "x", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol { code: -32021 });
        let object = error.rpc().unwrap().as_str();
        assert_eq!(object, r#"{"code":-32021,"data":{"n":1},"message":"no"}"#);
    }
    assert_eq!(web.of("tools/call").len(), 3, "not sent again");
    assert_eq!(listener.heard(), ["connected 2026-07-28"]);
    assert_eq!(other.heard(), ["connected 2025-06-18"]);
}

/// Each call was followed by a probe, for as long as the server answered so.
#[tokio::test]
async fn a_server_whose_every_answer_looks_so_is_asked_for_its_era_now_and_then() {
    let stopped = Stopped::new();
    let web = Web::start(|seen| modern(seen, |_| http("404 Not Found", "", "nothing here"))).await;
    let server = web.server();
    for asked in [2, 3] {
        for _ in 0..3 {
            call(&server, "x", json!({})).await.unwrap_err();
        }
        assert_eq!(web.of("server/discover").len(), asked, "beside the handshake");
        tokio::time::advance(Duration::from_secs(11)).await;
    }
    drop(stopped);
}

/// That a program had ended when it was asked in the modern way was remembered for ever, so that a newer version of it was
/// never spoken with in that way.
#[tokio::test(start_paused = true)]
async fn a_program_is_asked_anew_once_it_is_another_version() {
    for (after, version, opened) in [
        ("exits", "2025-11-25", 3),  // the same as before: not asked again
        ("modern", "2026-07-28", 4), // knows no `initialize`
        ("newer", "2026-07-28", 4),  // knows both
    ] {
        let opens = Arc::new(Mutex::new(Vec::new()));
        let counted = opens.clone();
        let open = move || {
            let (near, far) = tokio::io::duplex(64 << 10);
            let mut opens = counted.lock().unwrap();
            let script = if opens.len() < 2 { "exits" } else { after };
            let (input, output) = tokio::io::split(far);
            let task = tokio::spawn(async move { serve(script, input, output).await });
            opens.push(task.abort_handle());
            Ok(tokio::io::split(near))
        };
        let server = StdioServer::over("peer", open, Options::default());
        let soon = || TokioClock.now() + Duration::from_secs(20);
        let info = server.connect(soon()).await.unwrap();
        assert_eq!(&*info.protocol_version, "2025-11-25");
        let listener = Listener::at(&server);
        opens.lock().unwrap()[1].abort();
        listener.hears("disconnected", 1).await;
        let info = server.connect(soon()).await.unwrap();
        assert_eq!(&*info.protocol_version, version, "{after}");
        assert!(server.call(&tool("echo", json!({})).deadline(soon())).await.is_ok(), "{after}");
        assert_eq!(opens.lock().unwrap().len(), opened, "{after}");
    }
}
