//! FAULTS 12: what a gateway started ends with it, even where it was killed.

use super::{Folder, Gateway, KILL, PATIENCE, TERM, is_alive};

/// A server as `npx` would start it: a shell, its child, that one's child; and one that left for a session of its own.
fn config(mark: &str) -> String {
    let server = |name: &str| {
        format!(
            r#""{name}": {{
              "command": "sh",
              "args": ["-c", "setsid sleep 600 & (sleep 600 & exec sleep 600) & ${{PROGRAM}} demo-server github; :"],
              "env": {{ "TREE": "{mark}" }}
            }}"#
        )
    };
    let servers = ["one", "two", "three"].map(server).join(",");
    format!(
        r#"{{ "mcpServers": {{ {servers} }}, "toolweir": {{ "listen": "127.0.0.1:0", "admin": "127.0.0.1:0" }} }}"#
    )
}

/// The processes that have the mark in their environment.
fn tree(mark: &str) -> Vec<u32> {
    let wanted = format!("TREE={mark}\0");
    let entries = std::fs::read_dir("/proc").unwrap();
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        std::fs::read(format!("/proc/{id}/environ"))
            .is_ok_and(|all| String::from_utf8_lossy(&all).contains(&wanted))
            && is_alive(*id)
    })
    .collect()
}

async fn until(what: impl Fn() -> bool) {
    let looking = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("in time");
}

fn mark(what: &str) -> String {
    format!("{what}-{}", std::process::id())
}

/// Five processes a server.
const TREE: usize = 15;

#[tokio::test]
async fn nothing_outlives_a_killed_gateway() {
    let mark = mark("killed");
    let gateway = Gateway::start(&config(&mark), &[]).await;
    gateway.children(3, |_| true).await;
    until(|| tree(&mark).len() == TREE).await;
    assert_eq!(gateway.end(KILL).await.exit, -1);
    until(|| tree(&mark).is_empty()).await;
}

/// It was killed while its servers were only being started.
#[tokio::test]
async fn nothing_outlives_a_gateway_that_is_killed_as_it_begins() {
    let mark = mark("begins");
    for _ in 0..5 {
        let gateway = Gateway::start(&config(&mark), &[]).await;
        until(|| !tree(&mark).is_empty()).await;
        assert_eq!(gateway.end(KILL).await.exit, -1);
        until(|| tree(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn in_good_order_nothing_is_left_either() {
    let mark = mark("order");
    let gateway = Gateway::start(&config(&mark), &[]).await;
    gateway.children(3, |_| true).await;
    until(|| tree(&mark).len() == TREE).await;
    assert_eq!(gateway.end(TERM).await.exit, 0);
    until(|| tree(&mark).is_empty()).await; // what left its group, the watchdog finds
}

/// One that is started by hand and told nothing has nothing to do.
#[tokio::test]
async fn it_ends_with_its_input() {
    let run = super::run(&Folder::new(), &["watchdog", "nobody"]).await;
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}
