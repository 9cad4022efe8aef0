//! Nothing of an orchestrator is left once it has shut down.

use std::time::Duration;

use super::upstream::Upstream;
use super::{call, call_with, started};
use crate::cli::is_alive;
use crate::ledger::{Holdings, Ledger};

const CONFIG: &str = r#"{
  "mcpServers": {
    "hub": { "command": "${PROGRAM}", "args": ["demo-server", "github"] },
    "chat": { "command": "${PROGRAM}", "args": ["demo-server", "slack"] },
    "web": { "url": "${URL}", "trusted": true, "tools": { "hang_once": { "hints": { "readOnly": true } } } },
  },
  "toolweir": { "cache": { "ttlMs": 60000 }, "rateLimit": true },
}"#;

/// Starts two children and a server over HTTP, calls each, leaves two calls in flight, and shuts down.
async fn live_and_end() {
    let upstream = Upstream::start().await;
    let orchestrator = started(CONFIG, &upstream.url()).await;
    let query = serde_json::json!({ "query": "weir" });
    call_with(&orchestrator, "hub__search_repositories", query).await.unwrap();
    call(&orchestrator, "chat__slack_list_channels").await.unwrap();
    call(&orchestrator, "web__read").await.unwrap();
    let children: Vec<u32> =
        orchestrator.servers().iter().filter_map(|server| server.process_id).collect();
    assert!(children.len() == 2 && children.iter().all(|child| is_alive(*child)));
    // One that goes straight to its server, and one that the cache fetches.
    let in_flight = ["web__hang", "web__hang_once"].map(|tool| {
        let orchestrator = orchestrator.clone();
        tokio::spawn(async move { call(&orchestrator, tool).await })
    });
    while upstream.calls() < 3 {
        tokio::task::yield_now().await;
    }
    orchestrator.shutdown(Duration::from_secs(10)).await;
    for call in in_flight {
        assert!(call.await.unwrap().is_err(), "a call in flight ends");
    }
    for child in children {
        assert!(!is_alive(child), "{child}");
    }
    upstream.shutdown().await;
}

/// Of a debug build with all its tests; it grows by nothing in twenty rounds.
const MEMORY_KIB: u64 = 256 << 10;

fn tasks() -> u64 {
    tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64
}

fn holdings() -> Holdings {
    Holdings::of(std::process::id()).unwrap()
}

/// In a process of its own, because the descriptors of other tests come and go.
#[test]
fn nothing_is_left_however_often() {
    const INSIDE: &str = "TOOLWEIR_TEST_ALONE";
    if std::env::var_os(INSIDE).is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "effects::left::nothing_is_left_however_often", "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && told.contains("1 passed"),
            "{told}{}",
            String::from_utf8_lossy(&alone.stderr)
        );
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        live_and_end().await; // what the process keeps for good, such as the signal pipe, is made now
        let ledger = Ledger::default();
        let (tasks_before, held_before) = (tasks(), holdings());
        for _ in 0..20 {
            live_and_end().await;
            ledger.at_rest("tasks", tasks_before, tasks());
            ledger.holds(&held_before, &holdings(), MEMORY_KIB);
        }
        ledger.balances();
    });
}
