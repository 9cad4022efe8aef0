//! `toolweir list`.

use super::{Folder, run, two_servers};

#[tokio::test]
async fn everything_is_listed() {
    let folder = Folder::with(&two_servers(""));
    let json = run(&folder, &["list", "--json"]).await;
    assert_eq!(json.exit, 0, "{json:?}");
    let listed = json.json();
    assert_eq!(listed["servers"][0]["name"], "hub");
    assert_eq!(listed["servers"][0]["health_status"], "healthy");
    assert!(listed["servers"][0]["tools"].to_string().contains("hub__create_issue"));
    assert_eq!(listed["servers"][1]["capabilities"][0], "slack");
    let plain = run(&folder, &["list"]).await;
    assert_eq!(plain.exit, 0);
    assert!(plain.stdout.contains("hub (healthy"), "{plain:?}");
    assert!(plain.stdout.contains("chat__slack_post_message"), "{plain:?}");
    assert!(plain.stderr.contains("hub: ready after"), "progress goes to stderr: {plain:?}");
}

const ONE_DEAD: &str = r#"{ "mcpServers": {
    "dead": { "command": "/nonexistent/toolweir-test" },
    "hub": { "command": "${PROGRAM}", "args": ["demo-server", "github"] },
    "gone": { "command": "false" },
} }"#;

#[tokio::test]
async fn a_dead_server_does_not_empty_the_others() {
    let run = run(&Folder::with(ONE_DEAD), &["list", "--json"]).await;
    assert_eq!(run.exit, 7, "{run:?}");
    let listed = run.json();
    let states = [0, 1, 2].map(|index| listed["servers"][index]["health_status"].clone());
    assert_eq!(states, ["unhealthy", "healthy", "unhealthy"]);
    assert!(listed["servers"][0]["reason"].as_str().unwrap().contains("toolweir-test"), "{run:?}");
    assert_eq!(listed["servers"][1]["tools"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn none_there_is_unreachable() {
    let config = r#"{ "mcpServers": { "dead": { "command": "/nonexistent/toolweir-test" } } }"#;
    let run = run(&Folder::with(config), &["list"]).await;
    assert_eq!(run.exit, 4, "{run:?}");
    assert!(run.stdout.contains("dead (unhealthy"), "{run:?}");
}

/// It was printed as one that is still starting, and counted as one that cannot be reached.
#[tokio::test]
async fn a_server_that_rests_is_listed_as_well() {
    let folder = Folder::with(
        r#"{ "mcpServers": { "hub": { "command": "${PROGRAM}", "args": ["demo-server", "github"], "start": "lazy" } },
             "toolweir": { "stateDir": "kept" } }"#,
    );
    let first = run(&folder, &["list"]).await;
    assert_eq!(first.exit, 0, "{first:?}");
    let second = run(&folder, &["list"]).await;
    assert_eq!(second.exit, 0, "{second:?}");
    assert!(second.stdout.contains("hub (resting"), "{second:?}");
    assert!(second.stdout.contains("hub__create_issue"), "{second:?}");
}
