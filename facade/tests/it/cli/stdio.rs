//! `toolweir serve --stdio`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{Folder, PATIENCE, command, is_alive, two_servers};

#[tokio::test]
async fn it_speaks_the_protocol_and_nothing_else_until_its_input_ends() {
    let folder = Folder::with(&two_servers(""));
    let mut child = command(folder.path(), &["serve", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let requests = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
            "name": "hub__search_repositories", "arguments": { "query": "weir" } } }),
    ];
    let mut answers = Vec::new();
    let talk = async {
        for request in requests {
            input.write_all(format!("{request}\n").as_bytes()).await.unwrap();
            let Some(id) = request.get("id") else { continue };
            // Notifications may come in between; every line is a message.
            loop {
                let line = lines.next_line().await.unwrap().expect("a line");
                let message: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(message["jsonrpc"], "2.0");
                if message.get("id") == Some(id) {
                    answers.push(message);
                    break;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("answers");
    assert_eq!(answers[0]["result"]["serverInfo"]["name"], "toolweir");
    assert!(answers[1].to_string().contains("chat__slack_post_message"), "{}", answers[1]);
    assert!(answers[2]["result"].to_string().contains("river/weir"), "{}", answers[2]);
    let process = child.id().unwrap();
    let children = children_of(process);
    assert_eq!(children.len(), 2);
    drop(input);
    let ended = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            serde_json::from_str::<Value>(&line).unwrap();
        }
        child.wait_with_output().await.unwrap()
    };
    let output = tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert!(output.status.success(), "{output:?}");
    for child in children {
        assert!(!is_alive(child), "{child}");
    }
}

fn children_of(process: u32) -> Vec<u32> {
    let is_child = |process_id: &u32| {
        std::fs::read_to_string(format!("/proc/{process_id}/stat")).is_ok_and(|stat| {
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(&process.to_string())
        })
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    let ids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_server = |process: &u32| {
        std::fs::read_to_string(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| line.contains("demo-server"))
    };
    ids.filter(is_child).filter(is_server).collect()
}

/// Two windows of one client start a gateway each from one file: the second must not fail because the first has the
/// admin address.
#[tokio::test]
async fn an_admin_address_that_is_taken_is_no_reason_not_to_serve() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap();
    let folder = Folder::with(
        &two_servers("").replace(r#""admin": "127.0.0.1:0""#, &format!(r#""admin": "{admin}""#)),
    );
    let mut child = command(folder.path(), &["serve", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}\n").await.unwrap();
    drop(input);
    let output =
        tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("\"serverInfo\""));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("cannot listen on {admin}")), "{told}");
}
