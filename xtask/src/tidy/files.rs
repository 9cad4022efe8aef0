//! Which files may be tracked, and what must not stand in them.

use std::collections::BTreeSet;

use super::{Sources, Violation};

/// The largest file that may be tracked, `Cargo.lock` excepted.
pub(super) const SIZE_MAX: u64 = 512 * 1024;

/// What may stand at the root.
const ROOT_FILES: [&str; 16] = [
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "STATUS.md",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
];
const ROOT_FOLDERS: [&str; 8] =
    [".cargo", ".ci", ".config", ".github", "benchmarks", "docs", "examples", "fuzz"];

/// The crates, and what may stand in each.
const CRATES: [&str; 9] =
    ["breaker", "cache", "core", "facade", "metrics", "ratelimit", "router", "wire", "xtask"];
const CRATE_FILES: [&str; 2] = ["Cargo.toml", "README.md"];
const CRATE_FOLDERS: [&str; 5] = ["src", "tests", "benches", "examples", "fuzz"];

/// What only one crate has.
const OWN: [(&str, &str); 6] = [
    ("xtask", "nextest.toml"),
    ("xtask", "conformance"),
    ("xtask", "interop"),
    ("xtask", "peers"),
    ("xtask", "realworld"),
    ("facade", "assets"),
];

/// Starts of absolute paths that hold on one machine only; put together, so that this file passes its own check.
const MACHINE: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// What a merge leaves behind.
const CONFLICT: [&str; 3] = ["<<<<<<< ", ">>>>>>> ", "||||||| "];

/// Checks the places, sizes and contents of the tracked files.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut told = BTreeSet::new();
    for (path, file) in &sources.0 {
        if let Some(stray) = stray(path).filter(|stray| told.insert(stray.clone())) {
            violations.push(Violation::new(
                stray,
                "nothing of this name has a place here",
                "remove it, or add it to the lists in xtask/src/tidy/files.rs",
            ));
        }
        if file.size > SIZE_MAX && path != "Cargo.lock" {
            violations.push(Violation::new(
                path,
                format!("{} KiB, and at most {} are tracked", file.size / 1024, SIZE_MAX / 1024),
                "make it smaller, or write it when it is needed",
            ));
        }
    }
    for (path, text) in sources.texts() {
        let npm = ["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"];
        let is_npm_lock = npm.iter().any(|name| path.ends_with(name));
        for (number, line) in text.lines().enumerate() {
            let at = || format!("{path}:{}", number + 1);
            if CONFLICT.iter().any(|mark| line.starts_with(mark)) {
                violations.push(Violation::new(at(), "a mark of a merge conflict", "resolve it"));
            }
            if let Some(found) = machine_path(line) {
                violations.push(Violation::new(
                    at(),
                    format!("a path of one machine: `{found}…`"),
                    "write it relative to the checkout, or take it from the environment",
                ));
            }
            if is_npm_lock && line.contains("resolved") && line.contains("://") {
                violations.push(Violation::new(
                    at(),
                    "the lock file names a registry's host",
                    "write it again with `npm install --omit-lockfile-registry-resolved`",
                ));
            }
        }
    }
    violations
}

/// The part of `path` that has no place: a file or folder at the root, or one in a crate.
fn stray(path: &str) -> Option<String> {
    let Some((top, rest)) = path.split_once('/') else {
        return (!ROOT_FILES.contains(&path)).then(|| path.to_owned());
    };
    if ROOT_FOLDERS.contains(&top) {
        return None;
    }
    if !CRATES.contains(&top) {
        return Some(format!("{top}/"));
    }
    let (name, known, end) = match rest.split_once('/') {
        Some((folder, _)) => (folder, &CRATE_FOLDERS[..], "/"),
        None => (rest, &CRATE_FILES[..], ""),
    };
    let fits = known.contains(&name) || OWN.contains(&(top, name));
    (!fits).then(|| format!("{top}/{name}{end}"))
}

/// The start of an absolute path of one machine; one within another path does not count.
fn machine_path(line: &str) -> Option<&'static str> {
    let starts_there = |at: usize| {
        let within = |c: char| c.is_alphanumeric() || "._-/}~*>".contains(c);
        !line[..at].chars().next_back().is_some_and(within)
    };
    let stands_in = |found: &str| line.match_indices(found).any(|(at, _)| starts_there(at));
    MACHINE.into_iter().find(|found| stands_in(found))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{sources, told};
    use super::*;

    #[test]
    fn every_file_has_a_place() {
        for (path, expected) in [
            ("README.md", None),
            ("notes.txt", Some("notes.txt")),
            ("docs/a/b.md", None),
            ("scripts/run.sh", Some("scripts/")),
            ("wire/src/http/client.rs", None),
            ("wire/build.rs", Some("wire/build.rs")),
            ("wire/tmp/x", Some("wire/tmp/")),
            ("wire/src", Some("wire/src")),
            ("xtask/nextest.toml", None),
            ("wire/nextest.toml", Some("wire/nextest.toml")),
            ("xtask/realworld/package.json", None),
        ] {
            assert_eq!(stray(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_stray_folder_is_told_once() {
        let sources = sources(&[("old/a.rs", ""), ("old/b.rs", "")]);
        assert_eq!(told(&check(&sources)), ["old/: nothing of this name has a place here"]);
    }

    #[test]
    fn large_files_are_told_and_the_lock_is_not() {
        let text = "x".repeat(600 * 1024);
        let sources = sources(&[("Cargo.lock", &text), ("docs/big.json", &text)]);
        assert_eq!(told(&check(&sources)), ["docs/big.json: 600 KiB, and at most 512 are tracked"]);
    }

    #[test]
    fn conflicts_paths_and_hosts_are_told_with_their_lines() {
        let path = format!("cd {}me/x", MACHINE[0]);
        let text = format!("a\n<<<<<<< main\n=======\n>>>>>>> other\n{path}\n");
        let lock = r#"{ "resolved": "https://npm.example/x.tgz" }"#;
        let sources = sources(&[
            ("docs/a.md", &text),
            ("xtask/peers/package-lock.json", lock),
            ("xtask/peers/index.json", lock),
        ]);
        assert_eq!(
            told(&check(&sources)),
            [
                "docs/a.md:2: a mark of a merge conflict".to_owned(),
                "docs/a.md:4: a mark of a merge conflict".to_owned(),
                format!("docs/a.md:5: a path of one machine: `{}…`", MACHINE[0]),
                "xtask/peers/package-lock.json:1: the lock file names a registry's host".to_owned(),
            ]
        );
    }

    #[test]
    fn a_path_within_another_is_no_machine_path() {
        let work = MACHINE[2];
        for (line, expected) in [
            (format!("see {work}x"), true),
            (format!("\"{work}x\""), true),
            (format!("target{work}x"), false),
            (format!("${{DIR}}{work}x"), false),
            (format!("https://host.example{work}x"), false),
            ("homework/".to_owned(), false),
        ] {
            assert_eq!(machine_path(&line).is_some(), expected, "{line}");
        }
    }
}
