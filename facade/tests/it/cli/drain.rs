//! FAULTS 23: a gateway that is told to end finishes what it took, then ends its servers; told again, it ends at once.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use toolweir::core::{Clock, TokioClock};

use super::{Folder, Gateway, PATIENCE, TERM, command, is_alive, kill};
use crate::effects::upstream::Upstream;

fn config(upstream: &Upstream) -> String {
    format!(
        r#"{{
          "mcpServers": {{
            "web": {{ "url": "{}" }},
            "hub": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "github"] }},
          }},
          "toolweir": {{ "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "shutdownGraceMs": 30000 }},
        }}"#,
        upstream.url()
    )
}

#[tokio::test]
async fn what_was_taken_is_answered_and_no_more_is_taken() {
    const CALLS: usize = 20;
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream), &[]).await;
    let children = gateway.children(1, |_| true).await;
    let calls: Vec<_> = (0..CALLS).map(|_| tokio::spawn(gateway.calling("web__gated"))).collect();
    while upstream.calls() < CALLS {
        tokio::task::yield_now().await;
    }
    let endpoint = gateway.endpoint;
    gateway.signal(TERM);
    let refuses = async {
        while tokio::net::TcpStream::connect(endpoint).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refuses).await.expect("nobody new is taken");
    assert!(is_alive(children[0]), "servers stay until the calls have ended");
    upstream.open();
    let mut lost = 0;
    for call in calls {
        lost += usize::from(call.await.unwrap().is_err());
    }
    assert_eq!(lost, 0, "calls that were taken and not answered");
    assert_eq!(gateway.ended().await.exit, 0);
    assert!(!is_alive(children[0]));
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_second_signal_means_now() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream), &[]).await;
    let children = gateway.children(1, |_| true).await;
    let call = tokio::spawn(gateway.calling("web__hang"));
    while upstream.calls() < 1 {
        tokio::task::yield_now().await;
    }
    let begun = TokioClock.now();
    gateway.signal(TERM);
    gateway.told("finishing what is in flight").await;
    assert_eq!(gateway.end(TERM).await.exit, 0);
    assert!(TokioClock.now() - begun < Duration::from_secs(20), "the grace is 30 s");
    assert!(call.await.unwrap().is_err());
    assert!(!is_alive(children[0]));
    upstream.shutdown().await;
}

/// The answer to a call that a stdio client had made was thrown away when the gateway was told to end.
#[tokio::test]
async fn a_stdio_client_is_answered_too() {
    let upstream = Upstream::start().await;
    let folder = Folder::with(&config(&upstream));
    let mut child = command(folder.path(), &["serve", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let requests = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "web__gated", "arguments": {} } }),
    ];
    for request in requests {
        input.write_all(format!("{request}\n").as_bytes()).await.unwrap();
    }
    while upstream.calls() < 1 {
        tokio::task::yield_now().await;
    }
    kill(i32::try_from(child.id().unwrap()).unwrap(), TERM);
    let is_told = async {
        let mut answered = false;
        upstream.open();
        while let Some(line) = lines.next_line().await.unwrap() {
            let message: Value = serde_json::from_str(&line).unwrap();
            answered |= message["id"] == 2 && message.to_string().contains("gated 1");
        }
        answered
    };
    assert!(tokio::time::timeout(PATIENCE, is_told).await.expect("it ends"));
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    drop(input); // open until here: not its end is what ended the gateway
    upstream.shutdown().await;
}
