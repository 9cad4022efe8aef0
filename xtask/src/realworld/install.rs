//! What the checks need, fetched once into `target/realworld`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::processes;
use super::rows::Rows;
use crate::Failure;
use crate::command::Cargo;
use crate::workspace::Workspace;

/// How long one installer may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);

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
        step("npm", &|| npm(&sources, &folder));
        step("python", &|| python(&sources, &folder));
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
        let target = folder.join("rmcp");
        let build =
            Cargo::new("build --release --locked --manifest-path xtask/peers/rmcp/Cargo.toml")
                .env("CARGO_TARGET_DIR", target.display().to_string());
        println!("building: {build}");
        if !build.run(&root)? {
            let failure = "the client made with the Rust SDK does not compile".into();
            rows.missing("install.rmcp", "it can be built", &failure);
        }
        let first = [folder.join("venv/bin"), folder.join("bin"), folder.join("node_modules/.bin")];
        let rest = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(first.into_iter().chain(env::split_paths(&rest)))?;
        let rmcp = target.join("release/rmcp-peer");
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

    /// A file of the checkout.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// The packages of npm, without their install scripts; Node too, as some need a newer one than most systems have.
fn npm(sources: &Path, folder: &Path) -> Result<(), Failure> {
    let lock = fs::read_to_string(sources.join("package-lock.json"))?;
    let stamp = folder.join("npm.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(sources.join(name), folder.join(name))?;
    }
    quietly(Command::new("npm").arg("ci").current_dir(folder))?;
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    let own = |system: &str| folder.join(format!("node_modules/node-{system}/bin/node"));
    let node = ["linux-x64", "linux-arm64"].map(own).into_iter().find(|node| node.exists());
    let node = node.ok_or("npm has no Node for this system")?;
    let link = bin.join("node");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(node, link)?;
    // From here on npx finds what it needs here or nowhere.
    let settings = fs::read_to_string(sources.join(".npmrc"))?;
    fs::write(folder.join(".npmrc"), format!("{settings}offline=true\n"))?;
    Ok(fs::write(stamp, lock)?)
}

/// The packages of PyPI, in an environment of their own.
fn python(sources: &Path, folder: &Path) -> Result<(), Failure> {
    let wanted = fs::read_to_string(sources.join("requirements.txt"))?;
    let stamp = folder.join("python.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let venv = folder.join("venv");
    quietly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]);
    quietly(pip.arg(sources.join("requirements.txt")))?;
    Ok(fs::write(stamp, wanted)?)
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

/// Runs an installer; what it says is shown only where it fails.
fn quietly(command: &mut Command) -> Result<(), Failure> {
    let shown = format!("{command:?}");
    let done = processes::run(command, LIMIT)?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    eprintln!("{said}");
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{shown} failed ({}): {last}", done.status).into())
}

fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
