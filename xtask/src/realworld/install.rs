//! What the checks need, fetched once into `target/realworld`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::Client;
use super::rows::Rows;
use crate::Failure;
use crate::command::Cargo;
use crate::gateway::Gateway;
use crate::packages::{self, quietly};
use crate::workspace::Workspace;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Place {
    /// The checkout.
    pub(super) root: PathBuf,
    /// `target/realworld`: the packages, and what the servers write.
    pub(super) folder: PathBuf,
    /// A folder for the servers' files.
    pub(super) files: PathBuf,
    /// What is found first.
    path: OsString,
    toolweir: PathBuf,
    /// A client made with the Rust SDK.
    pub(super) rmcp: PathBuf,
    pub(super) chromium: PathBuf,
}

impl Place {
    /// Fetches and builds whatever is missing; what cannot be had becomes a row.
    ///
    /// # Errors
    /// Fails where nothing can be checked at all.
    pub(super) fn prepare(
        workspace: &Workspace,
        toolweir: Option<&Path>,
        rows: &mut Rows,
    ) -> Result<Self, Failure> {
        let root = workspace.root.clone();
        let folder = workspace.target.join("realworld");
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        let sources = root.join("xtask/realworld");
        let mut step = |name: &str, done: &dyn Fn() -> Result<(), Failure>| {
            println!("installing: {name}");
            if let Err(failure) = done() {
                rows.missing(&format!("install.{name}"), "it can be installed", &failure);
            }
        };
        step("npm", &|| packages::npm(&sources, &folder));
        step("python", &|| packages::python(&sources.join("requirements.txt"), &folder));
        step("peers", &|| packages::peers(workspace, &folder));
        step("chromium", &chromium);
        let toolweir = match toolweir {
            Some(built) => fs::canonicalize(built)?,
            None => {
                let build = Cargo::new("build --release -p toolweir");
                println!("building: {build}");
                if !build.run(&root)? {
                    return Err("the gateway does not compile".into());
                }
                workspace.target.join("release/toolweir")
            }
        };
        let rmcp = packages::rmcp(workspace, &folder).unwrap_or_else(|failure| {
            rows.missing("install.rmcp", "it can be built", &failure);
            folder.join("rmcp/debug")
        });
        let rmcp = rmcp.join("client");
        let path = packages::search_path(&folder)?;
        let chromium = found("chromium").unwrap_or_else(|| "/usr/bin/chromium".into());
        Ok(Self { root, folder, files, path, toolweir, rmcp, chromium })
    }

    /// The gateway's program.
    pub(super) fn toolweir(&self) -> Command {
        self.command(&self.toolweir)
    }

    /// A program that finds the packages first and works in their folder.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        command.env("PATH", &self.path);
        command.env("TOOLWEIR_REALWORLD", &self.files).env("CHROMIUM", &self.chromium);
        // What the caller's shell has set is not what is checked.
        command.env_remove("TOOLWEIR_TOKEN").env_remove("TOOLWEIR_LOG");
        command
    }

    /// Starts the gateway over HTTP and waits until each of `servers` has been told of.
    ///
    /// # Errors
    /// As [`Gateway::serve`].
    pub(super) fn gateway(
        &self,
        name: &str,
        config: &Path,
        servers: &[&str],
        envs: &[(&str, String)],
    ) -> Result<Gateway, Failure> {
        let log = self.folder.join(format!("{name}.log"));
        Gateway::serve(self.toolweir(), log, config, servers, envs)
    }

    /// A client of `toolweir serve --stdio`, which it starts.
    ///
    /// # Errors
    /// Fails where it cannot be initialised.
    pub(super) fn over_stdio(&self, config: &Path) -> Result<Client, Failure> {
        let mut command = self.toolweir();
        command.args(["serve", "--stdio"]).arg("--config").arg(config);
        command.stderr(File::create(self.folder.join("stdio.log"))?);
        Client::stdio(&mut command)
    }

    /// A file of the checkout.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// A browser: the system's, or Debian's where this is Debian and we may install it.
fn chromium() -> Result<(), Failure> {
    if found("chromium").is_some() {
        return Ok(());
    }
    if found("apt-get").is_none() {
        return Err("there is no `chromium` in PATH: install it".into());
    }
    let user = Command::new("id").arg("-u").output()?;
    if user.stdout.trim_ascii() != b"0" {
        return Err(
            "there is no `chromium` in PATH: install it with `apt-get install chromium`".into()
        );
    }
    quietly(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends", "chromium"]);
    quietly(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
