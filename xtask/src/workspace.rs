//! The workspace as cargo and git see it.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Failure;
use crate::command::{Cargo, output};

/// The checkout: its packages and its tracked files.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// In the order of their names.
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    manifest_path: PathBuf,
    pub(crate) rust_version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) readme: Option<PathBuf>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// Its folder, seen from the root; filled in after reading.
    #[serde(skip)]
    pub(crate) folder: String,
}

/// A line of a package's dependencies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None`: a normal dependency; otherwise `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Something that cargo builds of a package.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Package {
    /// Names of its benchmarks.
    pub(crate) fn benches(&self) -> impl Iterator<Item = &str> {
        let benches = self.targets.iter().filter(|target| target.kind.iter().any(|k| k == "bench"));
        benches.map(|target| target.name.as_str())
    }

    /// Whether it is one that others use: all but xtask.
    pub(crate) fn is_product(&self) -> bool {
        self.name != "xtask"
    }
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

impl Workspace {
    /// Reads the workspace that xtask belongs to, whatever the current folder.
    ///
    /// # Errors
    /// Fails where cargo cannot read the manifests.
    pub(crate) fn load() -> Result<Self, Failure> {
        let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = here.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let metadata = Cargo::new("metadata --no-deps --format-version 1").output(&here)?;
        let metadata: Metadata = serde_json::from_str(&metadata)?;
        let root = metadata.workspace_root;
        let mut packages = metadata.packages;
        for package in &mut packages {
            let folder = package.manifest_path.parent().and_then(|it| it.strip_prefix(&root).ok());
            package.folder = folder.unwrap_or(Path::new("")).display().to_string();
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root, target: metadata.target_directory, packages })
    }

    /// The paths that git tracks, seen from the root, `/` between their parts.
    ///
    /// # Errors
    /// Fails where this is no git checkout.
    pub(crate) fn tracked(&self) -> Result<BTreeSet<String>, Failure> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z"]).current_dir(&self.root);
        let listed = output(git, "git ls-files")?;
        Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    }
}
