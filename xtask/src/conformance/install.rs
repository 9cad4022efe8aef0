//! The suite itself, fetched once into `target/conformance`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::command::output;
use crate::workspace::Workspace;

/// What the suite needs at least.
const NODE: u32 = 22;

/// An installed suite.
#[derive(Debug)]
pub(super) struct Suite {
    /// Where it is installed, and where runs may write.
    pub(super) folder: PathBuf,
    node: PathBuf,
}

impl Suite {
    /// Installs what the lock file names, where that is not done already.
    ///
    /// # Errors
    /// Fails where npm fails, or there is no Node that is new enough.
    pub(super) fn install(workspace: &Workspace) -> Result<Self, Failure> {
        let sources = workspace.root.join("xtask/conformance");
        let folder = workspace.target.join("conformance");
        let lock = fs::read_to_string(sources.join("package-lock.json"))?;
        let stamp = folder.join("installed");
        if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
            fs::create_dir_all(&folder)?;
            for name in ["package.json", "package-lock.json", ".npmrc"] {
                fs::copy(sources.join(name), folder.join(name))?;
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--loglevel", "error"]).current_dir(&folder);
            output(npm, "npm ci")?;
            fs::write(stamp, lock)?;
        }
        let node = node(&folder)?;
        Ok(Self { folder, node })
    }

    /// The suite's program.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.package().join("dist/index.js")).current_dir(&self.folder);
        command
    }

    /// Which version of it this is.
    ///
    /// # Errors
    /// Fails where its `package.json` does not say.
    pub(super) fn version(&self) -> Result<String, Failure> {
        let package: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(self.package().join("package.json"))?)?;
        let version = package["version"].as_str().ok_or("the suite does not say its version")?;
        Ok(version.to_owned())
    }

    /// Where its own files are.
    pub(super) fn package(&self) -> PathBuf {
        self.folder.join("node_modules/@modelcontextprotocol/conformance")
    }
}

/// The system's Node where it is new enough, else the one that npm brought.
fn node(folder: &Path) -> Result<PathBuf, Failure> {
    let mut system = Command::new("node");
    system.arg("--version");
    if output(system, "node --version").is_ok_and(|version| major(&version) >= Some(NODE)) {
        return Ok("node".into());
    }
    let own = |system: &str| folder.join(format!("node_modules/node-{system}/bin/node"));
    let found = ["linux-x64", "linux-arm64"].map(own).into_iter().find(|node| node.exists());
    Ok(found.ok_or_else(|| format!("the suite needs Node {NODE} or newer: install it"))?)
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        let cases = [("v22.23.3\n", Some(22)), ("v8.0.0", Some(8)), ("22.1.0", None), ("", None)];
        for (version, expected) in cases {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
