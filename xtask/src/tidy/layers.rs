//! Who may depend on whom, and what each package is called.

use super::{Sources, Violation, place};
use crate::workspace::{Dependency, Package};

/// Checks names and layers: pattern crates know core and no sibling, core knows none of ours.
pub(super) fn check(packages: &[Package], sources: &Sources) -> Vec<Violation> {
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut violations = Vec::new();
    for package in packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let expected = name_of(&package.folder);
        if package.name != expected {
            violations.push(Violation::new(
                place(sources, &manifest, |line| line.starts_with("name")),
                format!("the package in `{}` is called `{}`", package.folder, package.name),
                format!("call it `{expected}`: a package is named for its folder"),
            ));
        }
        for dependency in package.dependencies.iter().filter(|it| ours(&it.name)) {
            if may_depend(&package.folder, dependency) {
                continue;
            }
            violations.push(Violation::new(
                place(sources, &manifest, |line| names(line, &dependency.name)),
                format!("`{}` depends on `{}`", package.name, dependency.name),
                remedy(&package.folder),
            ));
        }
    }
    violations
}

fn name_of(folder: &str) -> String {
    match folder {
        "facade" => "toolweir".to_owned(),
        "xtask" => "xtask".to_owned(),
        _ => format!("toolweir-{folder}"),
    }
}

fn may_depend(folder: &str, dependency: &Dependency) -> bool {
    match folder {
        "core" => false,
        "facade" => dependency.name != "xtask",
        "xtask" => dependency.kind.as_deref() == Some("dev"),
        _ => dependency.name == "toolweir-core",
    }
}

fn remedy(folder: &str) -> &'static str {
    match folder {
        "core" => "core knows none of the crates that build on it: move what is shared into core",
        "facade" => "nothing depends on xtask",
        "xtask" => "xtask needs our crates only for its benches: make it a dev-dependency",
        _ => {
            "a pattern crate knows core and no sibling, in its tests too: \
             say it through a trait of core and join the two in facade"
        }
    }
}

/// Whether a line of a manifest states the dependency `name`.
fn names(line: &str, name: &str) -> bool {
    let line = line.trim_start().trim_start_matches('"');
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
        || line.contains(&format!("ependencies.{name}]"))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{package, sources, told};
    use super::*;

    #[test]
    fn layers_hold_in_every_kind_of_dependency() {
        let packages = [
            package("core", "toolweir-core", &[("toolweir-wire", "dev"), ("serde", "normal")]),
            package("wire", "toolweir-wire", &[("toolweir-core", "normal")]),
            package("cache", "toolweir-cache", &[("toolweir-wire", "dev")]),
            package("facade", "toolweir", &[("toolweir-cache", "normal"), ("xtask", "dev")]),
            package("xtask", "xtask", &[("toolweir-wire", "dev"), ("toolweir-core", "normal")]),
        ];
        let sources = sources(&[(
            "cache/Cargo.toml",
            "[package]\nname = \"toolweir-cache\"\n\n[dev-dependencies]\ntoolweir-wire = { path = \"../wire\" }\n",
        )]);
        assert_eq!(
            told(&check(&packages, &sources)),
            [
                "core/Cargo.toml: `toolweir-core` depends on `toolweir-wire`",
                "cache/Cargo.toml:5: `toolweir-cache` depends on `toolweir-wire`",
                "facade/Cargo.toml: `toolweir` depends on `xtask`",
                "xtask/Cargo.toml: `xtask` depends on `toolweir-core`",
            ]
        );
    }

    #[test]
    fn a_package_is_named_for_its_folder() {
        let packages = [
            package("facade", "toolweir", &[]),
            package("xtask", "xtask", &[]),
            package("wire", "wire", &[]),
        ];
        let sources = sources(&[("wire/Cargo.toml", "[package]\nname = \"wire\"\n")]);
        let violations = check(&packages, &sources);
        assert_eq!(
            told(&violations),
            ["wire/Cargo.toml:2: the package in `wire` is called `wire`"]
        );
        assert!(violations[0].remedy.starts_with("call it `toolweir-wire`"));
    }

    #[test]
    fn the_line_to_blame_is_found() {
        for (line, found) in [
            ("toolweir-core = { workspace = true }", true),
            ("toolweir-core.workspace = true", true),
            ("[dev-dependencies.toolweir-core]", true),
            ("toolweir-core-extra = \"1\"", false),
            ("# toolweir-core", false),
        ] {
            assert_eq!(names(line, "toolweir-core"), found, "{line}");
        }
    }
}
