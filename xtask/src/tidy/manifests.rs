//! What every crate's manifest and README must say.

use super::{Sources, Violation, place};
use crate::workspace::Package;

const MSRV: &str = "Minimum supported Rust version: ";

/// Checks descriptions, lints, READMEs, and the versions that READMEs state.
pub(super) fn check(packages: &[Package], sources: &Sources) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in packages {
        manifest(package, sources, &mut violations);
        if package.is_product() {
            readme(package, sources, &mut violations);
        }
    }
    let version = packages.first().map_or("", |package| package.version.as_str());
    for (path, text) in sources.texts().filter(|(path, _)| path.ends_with("README.md")) {
        for (number, line) in text.lines().enumerate() {
            if let Some((name, stated)) = dependency(line).filter(|(_, stated)| *stated != version)
            {
                violations.push(Violation::new(
                    format!("{path}:{}", number + 1),
                    format!("`{name}` has version {stated} here, and {version} in the workspace"),
                    format!("write `{name} = \"{version}\"`"),
                ));
            }
        }
    }
    violations
}

fn manifest(package: &Package, sources: &Sources, violations: &mut Vec<Violation>) {
    let path = format!("{}/Cargo.toml", package.folder);
    if package.description.as_deref().is_none_or(|text| text.trim().is_empty()) {
        violations.push(Violation::new(
            place(sources, &path, |line| line.trim() == "[package]"),
            format!("`{}` has no description", package.name),
            "add `description = \"…\"`: one sentence that says what it does",
        ));
    }
    if !sources.text(&path).is_some_and(inherits_lints) {
        violations.push(Violation::new(
            place(sources, &path, |line| line.trim() == "[lints]"),
            format!("`{}` does not take the workspace's lints", package.name),
            "add `[lints]` with `workspace = true`",
        ));
    }
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        let plain: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        (section == "[lints]" && plain == "workspace=true") || plain == "lints.workspace=true"
    })
}

fn readme(package: &Package, sources: &Sources, violations: &mut Vec<Violation>) {
    let path = match package.folder.as_str() {
        "facade" => "README.md".to_owned(),
        folder => format!("{folder}/README.md"),
    };
    let Some(text) = sources.text(&path) else {
        violations.push(Violation::new(
            path,
            format!("`{}` has no README", package.name),
            "write one: what it is, an example that runs, what it does not do, its edges, features",
        ));
        return;
    };
    if package.readme.is_none() {
        violations.push(Violation::new(
            format!("{}/Cargo.toml", package.folder),
            format!("`{}` does not name its README", package.name),
            "add `readme = \"README.md\"`",
        ));
    }
    let wanted = package.rust_version.as_deref().unwrap_or_default();
    let stated = text.lines().enumerate().find_map(|(number, line)| {
        let stated = line.trim().strip_prefix(MSRV)?;
        Some((number + 1, stated.trim().trim_end_matches('.')))
    });
    let (at, what) = match stated {
        Some((_, stated)) if stated == wanted => return,
        Some((line, stated)) => (
            format!("{path}:{line}"),
            format!("the README says Rust {stated}, the manifest {wanted}"),
        ),
        None => (path, "the README does not state the minimum supported Rust version".to_owned()),
    };
    violations.push(Violation::new(at, what, format!("write the line `{MSRV}{wanted}.`")));
}

/// The crate of ours and its version that a line states as a dependency.
fn dependency(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once('=')?;
    let name = name.trim();
    let letters = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_ours = name == "toolweir" || name.starts_with("toolweir-");
    if !is_ours || !name.chars().all(letters) {
        return None;
    }
    let rest = rest.trim_start();
    let quoted = match rest.strip_prefix('{') {
        Some(table) => table.split_once("version")?.1.trim_start().strip_prefix('=')?.trim_start(),
        None => rest,
    };
    let version = quoted.strip_prefix('"')?.split_once('"')?.0;
    Some((name, version))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{package, sources, told};
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_crate_in_order_has_no_violation() {
        let sources = sources(&[
            ("README.md", "# toolweir\n\nMinimum supported Rust version: 1.88.\n"),
            ("facade/Cargo.toml", MANIFEST),
            ("cache/Cargo.toml", MANIFEST),
            (
                "cache/README.md",
                "```toml\ntoolweir-cache = \"0.1.0\"\n```\nMinimum supported Rust version: 1.88\n",
            ),
            ("xtask/Cargo.toml", MANIFEST),
        ]);
        let packages = [
            package("facade", "toolweir", &[]),
            package("cache", "toolweir-cache", &[]),
            package("xtask", "xtask", &[]),
        ];
        assert_eq!(told(&check(&packages, &sources)), [""; 0]);
    }

    #[test]
    fn each_omission_is_told_with_its_place() {
        let mut bare = package("wire", "toolweir-wire", &[]);
        bare.description = None;
        let packages = [
            bare,
            package("cache", "toolweir-cache", &[]),
            package("router", "toolweir-router", &[]),
        ];
        let sources = sources(&[
            ("wire/Cargo.toml", "[package]\n\n[features]\nworkspace = true\n"),
            ("cache/Cargo.toml", MANIFEST),
            ("cache/README.md", "# cache\n\nMinimum supported Rust version: 1.80.\n"),
            ("router/Cargo.toml", MANIFEST),
            ("router/README.md", "toolweir-router = { features = [], version = \"0.2\" }\n"),
        ]);
        assert_eq!(
            told(&check(&packages, &sources)),
            [
                "wire/Cargo.toml:1: `toolweir-wire` has no description",
                "wire/Cargo.toml: `toolweir-wire` does not take the workspace's lints",
                "wire/README.md: `toolweir-wire` has no README",
                "cache/README.md:3: the README says Rust 1.80, the manifest 1.88",
                "router/README.md: the README does not state the minimum supported Rust version",
                "router/README.md:1: `toolweir-router` has version 0.2 here, and 0.1.0 in the workspace",
            ]
        );
    }

    #[test]
    fn only_our_own_dependency_lines_are_read() {
        for (line, found) in [
            ("toolweir = \"0.1.0\"", Some(("toolweir", "0.1.0"))),
            ("toolweir-wire = { version = \"1\", features = [] }", Some(("toolweir-wire", "1"))),
            ("toolweir-wire = { path = \"wire\" }", None),
            ("tokio = \"1\"", None),
            ("let toolweir = \"0.3\"", None),
        ] {
            assert_eq!(dependency(line), found, "{line}");
        }
    }
}
