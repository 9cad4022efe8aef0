//! What each command says of itself.

use super::{Folder, run};

/// Where the texts are kept; `TOOLWEIR_BLESS=1` writes them anew.
const TEXTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cli/help");

#[tokio::test]
async fn every_command_names_its_options() {
    let folder = Folder::new();
    for name in ["toolweir", "serve", "check", "list", "call", "explain", "route", "health", "demo"]
    {
        let arguments: &[&str] = if name == "toolweir" { &["--help"] } else { &[name, "--help"] };
        let run = run(&folder, arguments).await;
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{name}");
        let path = format!("{TEXTS}/{name}.txt");
        if std::env::var_os("TOOLWEIR_BLESS").is_some() {
            std::fs::write(&path, &run.stdout).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        assert_eq!(run.stdout, expected, "{name}; TOOLWEIR_BLESS=1 takes it as it is");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_a_mistake_of_usage() {
    let folder = Folder::new();
    for arguments in [
        &["--no-such-option"] as &[&str],
        &["no-such-command"],
        &[],
        &["call"],
        &["call", "t", "--tool-arg", "no-value"],
        &["call", "t", "--tool-arg", "a=1", "--tool-arg", "a=2"],
        &["call", "t", "--tool-args-json", "[1]"],
        &["call", "t", "--tool-args-json", "{"],
        &["call", "t", "--tool-arg", "a=1", "--tool-args-json", "{}"],
        &["route"],
        &["route", "type", "no-value"],
        &["serve", "--stdio", "--listen", "127.0.0.1:0"],
        &["serve", "--listen", "localhost"],
        &["demo", "--listen", "127.0.0.1:0"],
        &["demo-server", "nothing-known"],
        &["health", "--url", "ftp://127.0.0.1"],
    ] {
        let plain = run(&folder, arguments).await;
        assert_eq!((plain.exit, plain.stdout.as_str()), (2, ""), "{arguments:?}: {plain:?}");
        assert!(!plain.stderr.is_empty(), "{arguments:?}");
        let json = run(&folder, &[&["--json"], arguments].concat()).await;
        assert_eq!((json.exit, json.stdout.as_str()), (2, ""), "{arguments:?}: {json:?}");
        assert_eq!(json.error()["code"], "usage", "{arguments:?}");
        assert!(!json.error()["message"].as_str().unwrap().contains('\n'), "{json:?}");
    }
}

#[tokio::test]
async fn the_version_is_told() {
    let run = run(&Folder::new(), &["--version"]).await;
    assert_eq!(run.stdout, format!("toolweir {}\n", env!("CARGO_PKG_VERSION")));
}
