//! Commands as they are shown and as they are run.

use std::env;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// One `cargo` command, written as a person would type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cargo {
    envs: Vec<(&'static str, String)>,
    arguments: Vec<String>,
}

impl Cargo {
    /// `cargo` with these arguments, separated by blanks.
    pub(crate) fn new(arguments: &str) -> Self {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { envs: Vec::new(), arguments }
    }

    /// The same command with one more argument, taken whole.
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The same command with an environment variable.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.envs.push((name, value.into()));
        self
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(&self.arguments).current_dir(root).stdin(Stdio::null());
        // What cargo tells the program that it runs would make build scripts below run again each time.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_this_package) {
                command.env_remove(name);
            }
        }
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it with its output as it comes; whether it succeeded.
    ///
    /// # Errors
    /// Fails where it cannot be started.
    pub(crate) fn run(&self, root: &Path) -> Result<bool, Failure> {
        let status = self.command(root).status();
        Ok(status.map_err(|error| format!("cannot start `{self}`: {error}"))?.success())
    }

    /// Runs it and takes what it prints.
    ///
    /// # Errors
    /// Fails where it cannot be started or does not succeed.
    pub(crate) fn output(&self, root: &Path) -> Result<String, Failure> {
        output(self.command(root), &self.to_string())
    }

    /// Runs it and takes what it prints, whether or not it succeeds; whether it did.
    ///
    /// # Errors
    /// Fails where it cannot be started, or prints what is no text.
    pub(crate) fn captured(&self, root: &Path) -> Result<(bool, String), Failure> {
        let mut command = self.command(root);
        command.stderr(Stdio::inherit());
        let output = command.output().map_err(|error| format!("cannot start `{self}`: {error}"))?;
        Ok((output.status.success(), String::from_utf8(output.stdout)?))
    }

    /// Whether it succeeds; silent.
    pub(crate) fn succeeds(&self, root: &Path) -> bool {
        let mut command = self.command(root);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

fn is_about_this_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(name, "CARGO_CRATE_NAME" | "CARGO_BIN_NAME" | "CARGO_PRIMARY_PACKAGE")
}

/// Runs `command` and takes what it prints; `shown` names it in errors.
///
/// # Errors
/// Fails where it cannot be started or does not succeed.
pub(crate) fn output(mut command: Command, shown: &str) -> Result<String, Failure> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{shown}` failed ({})", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The command as it can be pasted into a shell.
impl fmt::Display for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.envs {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str("cargo")?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(argument))?;
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs `work` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "a stopwatch for people; nothing decides by it")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// A stopwatch for people and for measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    /// One that runs from now on.
    #[expect(clippy::disallowed_methods, reason = "it measures real programs in real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        let cases = [
            (Cargo::new("fmt  --all --check"), "cargo fmt --all --check"),
            (
                Cargo::new("doc").env("RUSTDOCFLAGS", "-D warnings"),
                "RUSTDOCFLAGS='-D warnings' cargo doc",
            ),
            (Cargo::new("bench --").arg("it's|slow"), r"cargo bench -- 'it'\''s|slow'"),
            (Cargo::new("run").arg(""), "cargo run ''"),
        ];
        for (command, shown) in cases {
            assert_eq!(command.to_string(), shown);
        }
    }

    #[test]
    fn what_cargo_says_of_this_package_is_not_passed_on() {
        for (name, removed) in [
            ("CARGO_PKG_NAME", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_TARGET_DIR", false),
            ("CARGO_HOME", false),
            ("PATH", false),
        ] {
            assert_eq!(is_about_this_package(name), removed, "{name}");
        }
    }
}
