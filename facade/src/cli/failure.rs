//! Why a command fails, and with what exit code.

use std::process::ExitCode;

use toolweir::BuildError;
use toolweir::config::{ConfigErrors, Problem, Severity};
use toolweir::core::{Error, Kind, RawJson};

/// A failure as the user sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: u8,
    /// A short stable name.
    pub(crate) code: &'static str,
    /// In one line.
    pub(crate) message: String,
    /// What people are shown instead.
    pub(crate) shown: Option<Box<str>>,
    pub(crate) server: Option<String>,
    /// A server's own error object.
    pub(crate) rpc: Option<RawJson>,
}

impl Failure {
    fn new(exit: u8, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), shown: None, server: None, rpc: None }
    }

    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::new(1, "unexpected", message)
    }

    /// As a shell has it: 128 and the number of SIGINT.
    pub(crate) fn interrupted() -> Self {
        Self::new(130, "interrupted", "interrupted")
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, "usage", message)
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(2, Kind::NotFound.name(), message)
    }

    pub(crate) fn authentication(message: impl Into<String>) -> Self {
        Self::new(3, "authentication", message)
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(4, "unreachable", message)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(6, "config", message)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            Kind::Status { status: 401 | 403 } => 3,
            Kind::Unreachable
            | Kind::Disconnected
            | Kind::Timeout
            | Kind::CircuitOpen { .. }
            | Kind::NoServer => 4,
            Kind::NotFound | Kind::InvalidRequest => 2,
            Kind::Protocol { .. } => 5,
            _ => 1,
        };
        let mut failure = Self::new(exit, error.kind().name(), error.to_string());
        failure.server = error.server_name().map(str::to_owned);
        failure.rpc = error.rpc().cloned();
        failure
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let line = |problem: &Problem| {
            let place = problem.place().map_or_else(String::new, |place| format!("{place}:"));
            format!("{}:{place} {}", problem.file(), problem.message())
        };
        let is_error = |problem: &&Problem| problem.severity() == Severity::Error;
        let lines: Vec<String> = errors.problems().iter().filter(is_error).map(line).collect();
        Self { shown: Some(errors.render(false).into()), ..Self::config(lines.join("; ")) }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::config(error.to_string())
    }
}
