//! The fixture and the gateway, as they are built and run.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::command::Cargo;
use crate::workspace::Workspace;

/// How long a program may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) fixture: PathBuf,
    toolweir: PathBuf,
}

impl Programs {
    /// Builds them.
    ///
    /// # Errors
    /// Fails where they do not build.
    pub(super) fn build(workspace: &Workspace) -> Result<Self, Failure> {
        for build in [
            Cargo::new("build --locked -p toolweir-wire --example conformance"),
            Cargo::new("build --locked -p toolweir --bin toolweir"),
        ] {
            if !build.run(&workspace.root)? {
                return Err(format!("`{build}` failed").into());
            }
        }
        Ok(Self::built(workspace))
    }

    /// Where they are once they have been built.
    pub(super) fn built(workspace: &Workspace) -> Self {
        let built = workspace.target.join("debug");
        Self { fixture: built.join("examples/conformance"), toolweir: built.join("toolweir") }
    }

    /// Starts the fixture over HTTP, speaking one era or both; its URL.
    pub(super) fn fixture(&self, era: &str) -> Result<(Program, String), Failure> {
        let mut command = Command::new(&self.fixture);
        command
            .args(["--listen", "127.0.0.1:0", "--era", era])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let program = Program::start(command)?;
        let url = program.line(|line| line.starts_with("http://").then(|| line.to_owned()))?;
        Ok((program, url))
    }

    /// Writes the configuration of a gateway before one server whose names stay as they are.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub(super) fn config(&self, folder: &Path, mut server: Value) -> Result<PathBuf, Failure> {
        server["prefix"] = "".into();
        // Ports come again: what is kept of the last server there is not this one's.
        let config = json!({
            "mcpServers": { "fixture": server },
            "toolweir": { "stateDir": false },
        });
        fs::create_dir_all(folder)?;
        let file = folder.join("gateway.json");
        fs::write(&file, config.to_string())?;
        Ok(file)
    }

    /// Starts the gateway; its URL.
    ///
    /// # Errors
    /// Fails where it is not ready in time.
    pub(super) fn gateway(&self, config: &Path) -> Result<(Program, String), Failure> {
        let mut command = Command::new(&self.toolweir);
        command.arg("serve").arg("--config").arg(config).args(["--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let program = Program::start(command)?;
        let url = program.line(|line| line.strip_prefix("MCP endpoint: ").map(str::to_owned))?;
        program.line(|line| line.starts_with("  fixture: ready").then_some(()))?;
        Ok((program, url))
    }

    /// The gateway, to be started by a client that speaks to it over stdio.
    pub(super) fn gateway_over_stdio(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.toolweir);
        command.args(["serve", "--stdio", "--config"]).arg(config).stderr(Stdio::null());
        command
    }
}

/// A running program; dropping it ends it and waits until it has ended.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// What it says, as far as there is room.
    lines: Receiver<String>,
}

impl Program {
    /// Starts `command`, one of whose outputs is piped.
    ///
    /// # Errors
    /// Fails where it cannot be started.
    pub(super) fn start(mut command: Command) -> Result<Self, Failure> {
        command.stdin(Stdio::null());
        let started = command.spawn();
        let mut child = started.map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let stdout = child.stdout.take().map(|it| Box::new(it) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|it| Box::new(it) as Box<dyn Read + Send>);
        let (sender, lines) = mpsc::sync_channel(1_024);
        if let Some(output) = stdout.or(stderr) {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.try_send(line);
                }
            });
        }
        Ok(Self { child, lines })
    }

    /// Waits for a line in which `pick` finds something.
    ///
    /// # Errors
    /// Fails where none comes in time.
    fn line<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
        let mut said = String::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if let Some(found) = pick(&line) {
                return Ok(found);
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(format!("a program is not ready in time; it said:\n{said}").into())
    }

    /// Waits until the program's output ends; whether that was within `limit` of its last word.
    pub(super) fn has_ended(&self, limit: Duration) -> bool {
        loop {
            match self.lines.recv_timeout(limit) {
                Ok(_) => {}
                Err(error) => return error == mpsc::RecvTimeoutError::Disconnected,
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if asked.is_ok_and(|status| status.success()) {
            self.has_ended(Duration::from_secs(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
