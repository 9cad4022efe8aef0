//! Other people's packages, fetched once into a folder of their own, and what is made with them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::command::Cargo;
use crate::processes;
use crate::workspace::Workspace;

/// How long one installer may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The packages of npm, without their install scripts; Node too, as some need a newer one than most systems have.
///
/// # Errors
/// Fails where npm does.
pub(crate) fn npm(sources: &Path, folder: &Path) -> Result<(), Failure> {
    let lock = fs::read_to_string(sources.join("package-lock.json"))?;
    let stamp = folder.join("npm.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
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
///
/// # Errors
/// Fails where pip does.
pub(crate) fn python(requirements: &Path, folder: &Path) -> Result<(), Failure> {
    let wanted = fs::read_to_string(requirements)?;
    let stamp = folder.join("python.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let venv = folder.join("venv");
    quietly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]);
    quietly(pip.arg(requirements))?;
    Ok(fs::write(stamp, wanted)?)
}

/// What is found first: the packages' own programs.
///
/// # Errors
/// Fails where a folder's name has a colon.
pub(crate) fn search_path(folder: &Path) -> Result<OsString, Failure> {
    let first = [folder.join("venv/bin"), folder.join("bin"), folder.join("node_modules/.bin")];
    let rest = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(first.into_iter().chain(env::split_paths(&rest)))?)
}

/// Builds the client and the server made with the Rust SDK into `folder`; where they are.
///
/// # Errors
/// Fails where they do not compile.
pub(crate) fn rmcp(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Failure> {
    let target = folder.join("rmcp");
    let build = Cargo::new("build --locked --manifest-path xtask/peers/rmcp/Cargo.toml")
        .env("CARGO_TARGET_DIR", target.display().to_string());
    println!("building: {build}");
    if !build.run(&workspace.root)? {
        return Err("what is made with the Rust SDK does not compile".into());
    }
    Ok(target.join("debug"))
}

/// Copies the programs made with other SDKs to where they find their packages.
///
/// # Errors
/// Fails where they cannot be copied.
pub(crate) fn peers(workspace: &Workspace, folder: &Path) -> Result<(), Failure> {
    let sources = workspace.root.join("xtask/peers");
    for (from, to) in
        [(sources.clone(), folder.to_owned()), (sources.join("servers"), folder.join("servers"))]
    {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

/// Runs an installer; what it says is shown only where it fails.
///
/// # Errors
/// Fails where it does.
pub(crate) fn quietly(command: &mut Command) -> Result<(), Failure> {
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
