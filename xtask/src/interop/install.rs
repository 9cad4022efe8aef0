//! What the matrix needs, fetched once into `target/interop`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Failure;
use crate::command::Cargo;
use crate::packages;
use crate::workspace::Workspace;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Place {
    /// `target/interop`: the packages, the programs made with them, logs and configurations.
    pub(super) folder: PathBuf,
    path: OsString,
    toolweir: PathBuf,
    rmcp: PathBuf,
    root: PathBuf,
}

impl Place {
    /// Fetches and builds whatever is missing.
    ///
    /// # Errors
    /// Fails where any of it cannot be had: a matrix with holes would say nothing.
    pub(super) fn prepare(workspace: &Workspace) -> Result<Self, Failure> {
        let folder = workspace.target.join("interop");
        println!("installing: npm");
        packages::npm(&workspace.root.join("xtask/interop"), &folder)
            .map_err(|failure| format!("npm's packages cannot be had: {failure}"))?;
        println!("installing: python");
        packages::python(&workspace.root.join("xtask/realworld/requirements.txt"), &folder)
            .map_err(|failure| format!("PyPI's packages cannot be had: {failure}"))?;
        packages::peers(workspace, &folder)?;
        let rmcp = packages::rmcp(workspace, &folder)?;
        let build = Cargo::new("build --locked -p toolweir --bin toolweir");
        println!("building: {build}");
        if !build.run(&workspace.root)? {
            return Err("the gateway does not compile".into());
        }
        let toolweir = workspace.target.join("debug/toolweir");
        let path = packages::search_path(&folder)?;
        Ok(Self { path, toolweir, rmcp, root: workspace.root.clone(), folder })
    }

    /// The gateway's program.
    pub(super) fn toolweir(&self) -> Command {
        self.command(&[self.toolweir.display().to_string()])
    }

    /// The gateway's program, as clients start it.
    pub(super) fn toolweir_path(&self) -> String {
        self.toolweir.display().to_string()
    }

    /// A program with its arguments that finds the packages first and works in their folder; `rmcp:` begins what is made with the
    /// Rust SDK.
    pub(super) fn command<S: AsRef<str>>(&self, words: &[S]) -> Command {
        let mut words = self.words(words).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(&self.folder).env("PATH", &self.path);
        // What they know of their user stays out of it.
        command.env("HOME", &self.folder).env("PYTHONWARNINGS", "ignore");
        command.env_remove("TOOLWEIR_TOKEN").env_remove("TOOLWEIR_LOG");
        command
    }

    /// A file of the checkout.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A command as any program can start it.
    pub(super) fn words<S: AsRef<str>>(&self, words: &[S]) -> Vec<String> {
        let word = |word: &S| match word.as_ref().strip_prefix("rmcp:") {
            Some(program) => self.rmcp.join(program).display().to_string(),
            None => word.as_ref().to_owned(),
        };
        words.iter().map(word).collect()
    }

    /// The versions of what takes part, for the page.
    ///
    /// # Errors
    /// Fails where a file that names them cannot be read.
    pub(super) fn versions(&self) -> Result<Vec<(String, String)>, Failure> {
        let package: Value = serde_json::from_str(&fs::read_to_string(
            self.root.join("xtask/interop/package.json"),
        )?)?;
        let mut versions = Vec::new();
        for (name, version) in package["dependencies"].as_object().into_iter().flatten() {
            if let (true, Some(version)) =
                (name.starts_with("@modelcontextprotocol/"), version.as_str())
            {
                versions.push((format!("npm {name}"), version.to_owned()));
            }
        }
        let python = fs::read_to_string(self.root.join("xtask/realworld/requirements.txt"))?;
        let mcp = python.lines().find_map(|line| line.strip_prefix("mcp=="));
        versions.push(("PyPI mcp".to_owned(), mcp.ok_or("no version of mcp")?.to_owned()));
        let rust = fs::read_to_string(self.root.join("xtask/peers/rmcp/Cargo.toml"))?;
        let rmcp = rust.lines().find_map(|line| line.strip_prefix("rmcp = { version = \"="));
        let rmcp = rmcp.and_then(|rest| rest.split('"').next()).ok_or("no version of rmcp")?;
        versions.push(("crate rmcp".to_owned(), rmcp.to_owned()));
        Ok(versions)
    }
}
