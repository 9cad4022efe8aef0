//! The gateway as its users run it: the program, a configuration, a listener.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::processes::{Running, until};

/// How long servers get to be there.
const START: Duration = Duration::from_secs(120);

/// A running `toolweir serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    running: Running,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts `toolweir` over HTTP and waits until each of `servers` has been told of; `log` keeps what it says.
    ///
    /// # Errors
    /// Fails where it does not listen, or a server is not told of in time; its log is in the error.
    pub(crate) fn serve(
        mut command: Command,
        log: PathBuf,
        config: &Path,
        servers: &[&str],
        envs: &[(&str, String)],
    ) -> Result<Self, Failure> {
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).arg("--config").arg(config);
        command.envs(envs.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let mut running = Running::start(&mut command)?;
        let mut address = None;
        until(START, || {
            let told = fs::read_to_string(&log).unwrap_or_default();
            address = address.or_else(|| listening(&told));
            let ended = running.child.try_wait().is_ok_and(|status| status.is_some());
            ended || address.is_some() && servers.iter().all(|server| is_told(&told, server))
        });
        let told = || fs::read_to_string(&log).unwrap_or_default();
        let address = address.ok_or_else(|| format!("the gateway does not listen: {}", told()))?;
        match servers.iter().find(|server| !is_told(&told(), server)) {
            Some(silent) => Err(format!("nothing is told of {silent}: {}", told()).into()),
            None => Ok(Self { running, log, address }),
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Where its `admin` listener is, where it has one.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        let log = self.log();
        let line = log.lines().find_map(|line| line.strip_prefix("health: http://"))?;
        line.strip_suffix("/health")?.parse().ok()
    }

    /// Ends it.
    ///
    /// # Errors
    /// Fails where it does not end well by itself.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        match self.running.end() {
            Some(status) if status.success() => Ok(()),
            status => Err(format!("the gateway ended with {status:?}: {}", self.log()).into()),
        }
    }
}

fn listening(told: &str) -> Option<SocketAddr> {
    let line = told.lines().find_map(|line| line.strip_prefix("MCP endpoint: http://"))?;
    line.strip_suffix("/mcp")?.parse().ok()
}

fn is_told(told: &str, server: &str) -> bool {
    told.lines().any(|line| line.starts_with(&format!("  {server}: ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_says_is_understood() {
        let told = "toolweir 0.1.0: starting 2 servers\nMCP endpoint: http://127.0.0.1:1234/mcp\n  time: ready after 1 s\n";
        assert_eq!(listening(told).map(|address| address.port()), Some(1234));
        assert!(is_told(told, "time"));
        assert!(!is_told(told, "memory"));
        assert_eq!(listening("MCP endpoint: http://127.0.0.1:12"), None);
    }
}
