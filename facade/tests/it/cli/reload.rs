//! `toolweir serve` takes its configuration up again when the file changes, and at SIGHUP.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Folder, Gateway, TERM, is_alive};

const HANG_UP: i32 = 1;

/// A configuration with these of the demonstration's servers.
fn config(servers: &[&str], settings: &str) -> String {
    let entry = |kind: &&str| {
        format!(r#""{kind}": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "{kind}"] }}"#)
    };
    let entries: Vec<String> = servers.iter().map(entry).collect();
    format!(
        r#"{{ "mcpServers": {{ {} }}, "toolweir": {{ "listen": "127.0.0.1:0", "admin": "127.0.0.1:0"{settings} }} }}"#,
        entries.join(", ")
    )
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("toolweir.jsonc"), text).unwrap();
}

/// As editors do: another file takes the name.
fn rename(folder: &Path, text: &str) {
    std::fs::write(folder.join("next"), text).unwrap();
    std::fs::rename(folder.join("next"), folder.join("toolweir.jsonc")).unwrap();
}

#[tokio::test]
async fn only_what_changed_restarts_and_a_broken_file_changes_nothing() {
    let gateway = Gateway::start(&config(&["github", "slack"], ""), &[]).await;
    let first = gateway.children(2, |_| true).await;
    write(gateway.folder(), &config(&["github", "slack", "notion"], ""));
    let three = gateway.children(3, |_| true).await;
    assert_eq!(three[..2], first[..], "those that were there stay");
    gateway.told("configuration taken up: started notion; 2 unchanged").await;

    let broken = config(&["github"], ", \"timeoutMs\": \"soon\"");
    rename(gateway.folder(), &broken);
    let said = gateway.told("not taken up").await;
    let said =
        if said.contains("toolweir.jsonc:1:") { said } else { gateway.told("\"soon\"").await };
    assert!(said.contains("`timeoutMs`") && said.contains("^^^^^^"), "{said}");
    assert_eq!(gateway.children(3, |_| true).await, three);
    rename(gateway.folder(), &broken[..broken.len() / 2]); // half of one

    rename(
        gateway.folder(),
        &config(&["slack", "notion"], ", \"timeoutMs\": 5000, \"shutdownGraceMs\": 1"),
    );
    let two = gateway.children(2, |_| true).await;
    assert_eq!(two[..], three[1..], "other terms need no other process");
    gateway.told("`shutdownGraceMs` takes effect when toolweir is started again").await;
    while is_alive(first[0]) {
        tokio::task::yield_now().await;
    }
    let metrics = gateway.page("/metrics").await;
    assert!(metrics.contains("toolweir_config_reloads_total{result=\"applied\"} 2\n"), "{metrics}");
    assert!(
        !metrics.contains("toolweir_config_reloads_total{result=\"refused\"} 0\n"),
        "{metrics}"
    );
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    assert_eq!(gateway.end(TERM).await.exit, 0);
    assert!(!is_alive(two[0]) && !is_alive(two[1]));
}

/// A Kubernetes config map: the file is a link through `..data`, which is swapped.
#[tokio::test]
async fn a_swapped_link_is_followed() {
    let gateway = {
        let folder = Folder::new();
        for (version, servers) in [("..1", &["github"][..]), ("..2", &["github", "slack"])] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            std::fs::write(folder.path().join(version).join("toolweir.jsonc"), config(servers, ""))
                .unwrap();
        }
        symlink("..1", folder.path().join("..data")).unwrap();
        symlink("..data/toolweir.jsonc", folder.path().join("toolweir.jsonc")).unwrap();
        Gateway::start_in(folder, &[]).await
    };
    let first = gateway.children(1, |_| true).await;
    let swap = |version: &str| {
        symlink(version, gateway.folder().join("..data_tmp")).unwrap();
        std::fs::rename(gateway.folder().join("..data_tmp"), gateway.folder().join("..data"))
            .unwrap();
    };
    swap("..2");
    let second = gateway.children(2, |_| true).await;
    assert_eq!(second[0], first[0]);
    swap("..1");
    assert_eq!(gateway.children(1, |_| true).await, first);
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn a_signal_has_it_read_again() {
    let gateway = Gateway::start(&config(&["github"], ""), &[]).await;
    let first = gateway.children(1, |_| true).await;
    gateway.signal(HANG_UP);
    gateway.told("configuration taken up: 1 unchanged").await;
    assert_eq!(gateway.children(1, |_| true).await, first);
    assert_eq!(gateway.end(TERM).await.exit, 0);
}
