//! `toolweir check`.

use std::path::Path;

use super::{Folder, command, finish, run, two_servers};

const BROKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken");

#[tokio::test]
async fn every_broken_file_is_told_of_with_its_place() {
    let mut count = 0;
    for entry in std::fs::read_dir(BROKEN).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonc") {
            continue;
        }
        count += 1;
        let file = path.file_name().unwrap().to_str().unwrap();
        let plain = finish(command(Path::new(BROKEN), &["check", "--config", file])).await;
        assert_eq!((plain.exit, plain.stdout.as_str()), (6, ""), "{file}: {plain:?}");
        assert!(plain.stderr.contains(&format!("--> {file}:")), "{file}: {}", plain.stderr);
        assert!(plain.stderr.contains('^'), "{file}: {}", plain.stderr);
        let json = finish(command(Path::new(BROKEN), &["check", "--json", "--config", file])).await;
        assert_eq!((json.exit, json.stdout.as_str()), (6, ""), "{file}: {json:?}");
        let error = json.error();
        assert_eq!(error["code"], "config", "{file}");
        assert!(error["message"].as_str().unwrap().contains(&format!("{file}:")), "{error}");
        // Every other command says the same, and starts nothing.
        let serve = finish(command(Path::new(BROKEN), &["serve", "--config", file])).await;
        assert_eq!((serve.exit, &serve.stderr), (6, &plain.stderr), "{file}");
    }
    assert!(count > 20, "{count}");
}

#[tokio::test]
async fn a_good_file_is_ok_and_nothing_is_started() {
    let folder = Folder::new();
    let traces = folder.path().join("started");
    let config = format!(
        r#"{{ "mcpServers": {{
            "a": {{ "command": "touch", "args": ["{}"] }},
            "b": {{ "command": "touch", "args": ["{0}"], "disabled": true }},
            "c": {{ "capabilities": ["x"] }}
        }} }}"#,
        traces.display(),
    );
    std::fs::write(folder.path().join("toolweir.jsonc"), config).unwrap();
    let plain = run(&folder, &["check"]).await;
    assert_eq!(plain.exit, 0, "{plain:?}");
    assert_eq!(plain.stdout, "ok: 2 servers: a, c; disabled: b\n");
    assert!(plain.stderr.contains("warning: `c` says neither"), "{plain:?}");
    let json = run(&folder, &["check", "--json"]).await;
    assert_eq!(json.json()["servers"], serde_json::json!(["a", "c"]));
    assert_eq!(json.json()["warnings"], 1);
    assert!(!traces.exists());
}

#[tokio::test]
async fn without_a_file_the_advice_is_to_write_one() {
    let folder = Folder::new();
    for verb in ["check", "list", "serve"] {
        let plain = run(&folder, &[verb]).await;
        assert_eq!((plain.exit, plain.stdout.as_str()), (6, ""), "{plain:?}");
        assert!(plain.stderr.contains("neither toolweir.jsonc nor .mcp.json is here"), "{plain:?}");
        assert!(plain.stderr.contains("--config FILE"), "{plain:?}");
    }
    let missing = run(&folder, &["check", "--config", "no-such-file.jsonc"]).await;
    assert_eq!(missing.exit, 6);
    assert!(missing.stderr.contains("no-such-file.jsonc"), "{missing:?}");
}

#[tokio::test]
async fn both_default_files_are_found_ours_first() {
    let folder = Folder::new();
    let server = |name: &str| format!(r#"{{"mcpServers":{{"{name}":{{"command":"x"}}}}}}"#);
    std::fs::write(folder.path().join(".mcp.json"), server("theirs")).unwrap();
    assert!(run(&folder, &["check"]).await.stdout.contains("theirs"));
    std::fs::write(folder.path().join("toolweir.jsonc"), server("ours")).unwrap();
    assert!(run(&folder, &["check"]).await.stdout.contains("ours"));
}

#[tokio::test]
async fn a_wrong_handler_is_told_of_among_all_else() {
    let config = two_servers(
        r#", "timeoutMs": 0,
            "handlers": {
              "notifications": { "tool": "x", "renames": { "a": "b" } },
              "database": { "given": ["a"] },
              "documentation": { "rules": [{ "tool": 5 }] },
            }"#,
    );
    let run = run(&Folder::with(&config), &["check"]).await;
    assert_eq!(run.exit, 6);
    for line in [
        "error: `timeoutMs` must be",
        "error: `handlers.notifications`: `renames` is unknown",
        "error: `handlers.database`: a handler names no tool",
        "error: `handlers.documentation`: `tool` must be",
        "4 errors in toolweir.jsonc",
    ] {
        assert!(run.stderr.contains(line), "{line}: {}", run.stderr);
    }
    assert_eq!(run.stderr.matches("--> toolweir.jsonc:").count(), 4, "{}", run.stderr);
}
