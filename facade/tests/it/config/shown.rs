//! How mistakes are shown, and what must not be.

use std::fs;
use std::path::Path;

use toolweir::config::Config;

use super::{env, read, right};

/// Everything that a mistake can make a file show, with the secrets that must not be in it.
#[test]
fn secrets_are_never_shown() {
    for text in [
        r#"{"mcpServers":{"s":{"command":"c","env":{"A":"hushhush"},"args":1}}}"#,
        r#"{"mcpServers":{"s":{"url":"http://h","headers":{"A":"${NO:-hushhush}${NO}"}}}}"#,
        r#"{"mcpServers":{"s":{"url":"http://me:hushhush@h"}}}"#,
        r#"{"mcpServers":{},"toolweir":{"token":"hush hush"}}"#,
        r#"{"mcpServers":{"s":{"env":{"A":"hushhush"} "args":1}}}"#,
        r#"{"toolweir":{"token":"hushhush" "listen":1}}"#,
        r#"{"toolweir":{"token":"hushhush}}"#,
        r#"{"toolweir":{"token":hushhush}}"#,
        r#"{"toolweir":{"token":'hushhush'}}"#,
        r#"{"toolweir":{"token":"hush\qhush"}}"#,
        r#"{"mcpServers":{"s":{"env":{"A":"x"},"env":{"A":"hushhush"}}}}"#,
        r#"{"mcpServers":{"s":{"url":"http://me:hushhush@h" "headers":{}}}}"#,
        r#"{"mcpServers":{"s":"x","apiKey":"hushhush"}}"#,
        r#"{"mcpServers":{"s":{"url":"${TOKEN}","args":["${TOKEN}"],"prefix":"${TOKEN} "}}}"#,
    ] {
        let errors = read(text).expect_err(text);
        let shown = format!("{errors} {errors:?} {}", errors.render(true));
        for secret in ["hush", "t0ps3cret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let config = right(
        r#"{"mcpServers":{"s":{"command":"c","args":["${TOKEN}"],"env":{"A":"hushhush"}},
                          "h":{"url":"http://h/?k=${TOKEN}","headers":{"A":"hushhush"}}},"toolweir":{"token":"hushhush"}}"#,
    );
    let shown = format!("{config:?} {}", config.error_at(&config.servers[0].place, "x"));
    assert!(!shown.contains("hush") && !shown.contains("t0ps3cret"), "{shown}");
}

#[test]
fn terminal_escapes_are_not_passed_on() {
    let errors = read("{\"mcpServers\":{\"\u{1b}[31m\\u001b[2J\":{}}}").expect_err("not a prefix");
    assert!(!errors.to_string().contains('\u{1b}'), "{errors}");
    assert!(errors.render(true).contains('\u{1b}'));
}

#[test]
fn a_later_finding_is_shown_the_same_way() {
    let config = right("{\n  \"mcpServers\": {\n    \"s\": { \"command\": \"c\" }\n  }\n}");
    let problem = config
        .error_at(&config.servers[0].place, "two tools are called `s__get`")
        .with_help("add a `prefix`");
    let expected = "\
error: two tools are called `s__get`
 --> toolweir.jsonc:3:5
  |
3 |     \"s\": { \"command\": \"c\" }
  |     ^^^
  |
  = help: add a `prefix`";
    assert_eq!(problem.to_string(), expected);
}

#[test]
fn many_mistakes_and_long_lines_are_bounded() {
    let entries: Vec<_> =
        (0..20_000).map(|n| format!(r#""s{n}":{{"command":"","timeoutMs":0}}"#)).collect();
    let text = format!(r#"{{"mcpServers":{{{}}}}}"#, entries.join(","));
    let errors = read(&text).expect_err("all are wrong");
    assert_eq!(errors.problems().len(), 40_000);
    let shown = errors.to_string();
    assert!(
        shown.ends_with("and 39900 more\n40000 errors in toolweir.jsonc"),
        "{}",
        &shown[shown.len() - 100..]
    );
    assert!(shown.len() < 100_000, "{}", shown.len());
}

/// Every file in `broken/` against the text beside it; `TOOLWEIR_BLESS=1` writes the texts anew.
#[test]
fn broken_files_are_told_as_written_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonc"));
    assert!(files.len() >= 20, "{}", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let errors = Config::from_str(&text, &name, &env).expect_err(&name);
        for problem in errors.problems() {
            let place = problem.place().unwrap();
            assert!(problem.to_string().contains(&format!("--> {name}:{place}\n")), "{problem}");
            assert!(problem.advice().is_some(), "{problem}");
        }
        let shown = format!("{errors}\n");
        let beside = path.with_extension("txt");
        if std::env::var_os("TOOLWEIR_BLESS").is_some() {
            fs::write(&beside, &shown).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(shown, expected, "{name}");
    }
}
