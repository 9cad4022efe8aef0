//! `cargo xtask tidy`: what must stay true of the repository and no compiler checks.

mod budget;
mod files;
mod layers;
mod manifests;
mod mentions;
mod proofs;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::Failure;
use crate::workspace::Workspace;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    /// `file:line`, or the file alone where no line is to blame.
    place: String,
    what: String,
    remedy: String,
}

impl Violation {
    fn new(place: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.what, self.remedy)
    }
}

/// The tracked files by their paths seen from the root.
#[derive(Debug, Default)]
struct Sources(BTreeMap<String, Source>);

#[derive(Debug)]
struct Source {
    size: u64,
    /// `None` where it is no text, or too large to be read.
    text: Option<String>,
}

impl Sources {
    /// Reads the tracked files; one that was deleted and not yet committed is left out.
    fn read(workspace: &Workspace) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        for path in workspace.tracked()? {
            let full = workspace.root.join(&path);
            let Ok(about) = fs::symlink_metadata(&full) else { continue };
            let readable = about.is_file() && about.len() <= files::SIZE_MAX.max(4 << 20);
            let text = if readable { text_of(&full)? } else { None };
            files.insert(path, Source { size: about.len(), text });
        }
        Ok(Self(files))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path)?.text.as_deref()
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// The text files with their paths.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(path, file)| Some((path.as_str(), file.text.as_deref()?)))
    }
}

fn text_of(path: &Path) -> Result<Option<String>, Failure> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
}

/// The place of the first line of `path` for which `found` holds.
fn place(sources: &Sources, path: &str, found: impl Fn(&str) -> bool) -> String {
    let line = sources.text(path).and_then(|text| text.lines().position(found));
    line.map_or_else(|| path.to_owned(), |line| format!("{path}:{}", line + 1))
}

/// Each product's name, the crates in its tree, and its budget.
///
/// # Errors
/// Fails where cargo cannot resolve a tree.
pub(crate) fn sizes(workspace: &Workspace) -> Result<Vec<(String, usize, Option<usize>)>, Failure> {
    Ok(budget::measure(workspace)?.into_iter().map(budget::Size::into_parts).collect())
}

/// Checks the whole repository and reports every violation; whether there is none.
///
/// # Errors
/// Fails where the repository cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Failure> {
    let sources = Sources::read(workspace)?;
    let packages = &workspace.packages;
    let sizes = budget::measure(workspace)?;
    print!("{}", budget::table(&sizes));
    let mut violations = layers::check(packages, &sources);
    violations.extend(manifests::check(packages, &sources));
    violations.extend(budget::check(&sizes));
    violations.extend(files::check(&sources));
    violations.extend(mentions::check(&sources));
    violations.extend(proofs::check(&sources));
    if violations.is_empty() {
        println!("tidy: {} files, {} packages, no violation", sources.0.len(), packages.len());
        return Ok(true);
    }
    for violation in &violations {
        println!("{violation}");
    }
    println!("tidy: {} violations", violations.len());
    Ok(false)
}

/// Made-up repositories for the tests of the checks.
#[cfg(test)]
mod made_up {
    use super::{Source, Sources, Violation};
    use crate::workspace::Package;

    /// Tracked files of these paths and texts.
    pub(super) fn sources(files: &[(&str, &str)]) -> Sources {
        let source = |text: &str| Source { size: text.len() as u64, text: Some(text.to_owned()) };
        Sources(files.iter().map(|(path, text)| ((*path).to_owned(), source(text))).collect())
    }

    /// A package in `folder` that depends on these packages: (name, kind).
    pub(super) fn package(folder: &str, name: &str, dependencies: &[(&str, &str)]) -> Package {
        let kind = |kind: &str| if kind == "normal" { None } else { Some(kind.to_owned()) };
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, of)| serde_json::json!({"name": name, "kind": kind(of)}))
            .collect();
        let mut package: Package = serde_json::from_value(serde_json::json!({
            "name": name, "version": "0.1.0", "manifest_path": format!("/repo/{folder}/Cargo.toml"),
            "rust_version": "1.88", "description": "Does one thing", "readme": "README.md",
            "dependencies": dependencies, "targets": [],
        }))
        .expect("the shape of cargo's own output");
        package.folder = folder.to_owned();
        package
    }

    /// `place: what` of each violation.
    pub(super) fn told(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(|it| format!("{}: {}", it.place, it.what)).collect()
    }
}
