//! A server as a child process.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use toolweir_core::{Error, Kind};

use super::watchdog::{Watchdog, Watched};

use super::source::{Ends, Input};

/// A program to be started: argument by argument, without a shell.
///
/// The child sees a short list of this process's variables (`PATH`, `HOME`, locale, temporary folder and the
/// like, as MCP's own SDKs pass on) and those given here, nothing else.
#[derive(Clone)]
pub struct Program {
    command: OsString,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    cwd: Option<PathBuf>,
    watchdog: Option<Watchdog>,
}

/// Variables that children inherit: what programs need to run at all, and no secrets.
const INHERITED: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "TEMP",
    "TMP",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "SYSTEMROOT",
];

impl Program {
    /// The program `command`, searched in `PATH`.
    #[must_use]
    pub fn new(command: impl Into<OsString>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            watchdog: None,
        }
    }

    /// The same program with further arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The same program with another environment variable; its value is never shown.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The same program in another folder.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// The same program, ended by `watchdog` where this process is killed.
    #[must_use]
    pub fn watched_by(mut self, watchdog: &Watchdog) -> Self {
        self.watchdog = Some(watchdog.clone());
        self
    }

    /// Starts the program in a process group of its own.
    pub(super) fn spawn(&self) -> Result<Ends, Error> {
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.cwd {
            command.current_dir(folder);
        }
        if let Some(watchdog) = &self.watchdog {
            watchdog.start();
            let (name, mark) = watchdog.mark();
            command.env(name, mark);
        }
        command.process_group(0).kill_on_drop(true);
        let shown = self.command.to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| {
            Error::new(Kind::Unreachable)
                .message(format!("cannot start `{shown}`: {error}"))
                .caused_by(error)
        })?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let watched = match (&self.watchdog, child.id()) {
            (Some(watchdog), Some(id)) => Some(watchdog.watch(id)),
            _ => None,
        };
        let process = Process { child, group, watched };
        match (stdin, stdout, stderr) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok(Ends {
                input: Input::Stream(Box::new(stdin)),
                output: Box::new(stdout),
                process: Some((process, stderr)),
            }),
            _ => Err(Error::new(Kind::Internal).message("a child without pipes").unsent()),
        }
    }

    /// Values that must not appear in what we show of the child's words.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.env.iter().map(|(_, value)| value).filter(|value| value.len() >= 6).cloned().collect()
    }
}

/// Shows the command and the names of variables, never arguments or values, which may be secrets.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Program")
            .field("command", &self.command)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// A running child. Dropping it kills its whole process group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    /// Until the group has ended.
    watched: Option<Watched>,
}

impl Process {
    /// The process id, which is also its group's.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the child's end; what it left behind in its group is killed. Cancel-safe.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.signal(Signal::KILL);
        self.group = None;
        self.watched = None;
        Ok(status)
    }

    /// Ends the child whose stdin is closed already: patience, then TERM, then KILL.
    pub(super) async fn end(&mut self, patience: Duration) -> std::io::Result<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(patience, self.wait()).await {
            return status;
        }
        self.signal(Signal::TERM);
        if let Ok(status) = tokio::time::timeout(patience, self.wait()).await {
            return status;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Kills the child with its group.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.wait().await; // it is gone either way
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal); // it may have ended already
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The last words of a child on stderr: at most [`KEPT_LINES`] lines of [`KEPT_BYTES`] bytes each.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<String>>>);

const KEPT_LINES: usize = 20;
const KEPT_BYTES: usize = 500;

impl LastWords {
    /// Reads all of `stderr`, whatever its amount, so that the child never blocks on it.
    pub(super) async fn drain(
        self,
        server: Arc<str>,
        mut stderr: ChildStderr,
        secrets: Vec<String>,
    ) {
        let mut chunk = vec![0; 8 << 10];
        let mut line = Vec::new();
        while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
            for byte in &chunk[..count] {
                match byte {
                    b'\n' => self.keep(&server, &mut line, &secrets),
                    byte if line.len() < KEPT_BYTES => line.push(*byte),
                    _ => {}
                }
            }
        }
        self.keep(&server, &mut line, &secrets);
    }

    fn keep(&self, server: &str, line: &mut Vec<u8>, secrets: &[String]) {
        let mut text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            return;
        }
        for secret in secrets {
            text = text.replace(secret.as_str(), "***");
        }
        tracing::debug!(server, "{text}");
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
    }

    /// The last few lines, for an error message.
    pub(super) fn tail(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = kept.len().saturating_sub(3);
        (!kept.is_empty())
            .then(|| kept.iter().skip(skip).map(String::as_str).collect::<Vec<_>>().join(" | "))
    }
}
