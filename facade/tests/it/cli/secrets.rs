//! What is secret is never printed.

use super::{Folder, Gateway, Run, TERM, command, finish};

const CANARY: &str = "c4nary";

/// Secrets wherever a configuration can have them, and servers that fail with them.
const CONFIG: &str = r#"{
  "mcpServers": {
    "hub": { "command": "${PROGRAM}", "args": ["demo-server", "github"], "env": { "KEY": "c4nary-env", "OTHER": "${VARIABLE}" } },
    "gone": { "command": "false", "args": ["${VARIABLE}"], "env": { "KEY": "c4nary-env" } },
    "dead": { "command": "/nonexistent/toolweir-test", "args": ["${VARIABLE}"], "env": { "KEY": "c4nary-env" } },
    "refused": { "url": "http://127.0.0.1:1/${VARIABLE}", "headers": { "Authorization": "Bearer c4nary-header", "X-Key": "${VARIABLE}" } },
  },
  "toolweir": { "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "token": "c4nary-token" },
}"#;

fn check(what: &str, run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains(CANARY), "{what}: {text}");
    }
}

#[tokio::test]
async fn no_command_prints_a_secret() {
    let folder = Folder::with(CONFIG);
    for arguments in [
        &["check"] as &[&str],
        &["check", "--json"],
        &["list"],
        &["list", "--json"],
        &["call", "hub__search_repositories", "--tool-arg", "query=x"],
        &["call", "gone__x"],
        &["call", "dead__x", "--json"],
        &["call", "refused__x"],
        &["route", "notifications", "text=x"],
    ] {
        let mut command = command(folder.path(), arguments);
        command.env("VARIABLE", "c4nary-variable").env("TOOLWEIR_LOG", "trace");
        check(&format!("{arguments:?}"), &finish(command).await);
    }
}

#[tokio::test]
async fn a_broken_file_is_shown_without_its_secrets() {
    let broken = CONFIG.replace(r#""headers""#, r#""heads": 5, "headers""#).replace("},\n}", "}");
    let folder = Folder::with(&broken.replace("\"token\"", "\"tokn\": true, \"token\""));
    let mut command = command(folder.path(), &["check"]);
    command.env("VARIABLE", "c4nary-variable");
    let run = finish(command).await;
    assert_eq!(run.exit, 6, "{run:?}");
    check("check", &run);
}

#[tokio::test]
async fn a_gateway_prints_no_secret() {
    let config = CONFIG.replace("${VARIABLE}", "${VARIABLE:-c4nary-default}");
    let gateway = Gateway::start(&config, &[]).await;
    let refused = gateway.health(&[]).await;
    assert_eq!(refused.exit, 3);
    check("refused", &refused);
    let health = gateway.health(&["--token", "c4nary-token"]).await;
    assert_eq!(health.json()["upstreams"][0]["name"], "hub");
    check("health", &health);
    let run = gateway.end(TERM).await;
    assert_eq!(run.exit, 0);
    check("serve", &run);
}
