//! Why a command fails, and with what exit code.

use std::process::ExitCode;

use toolweir::BuildError;
use toolweir::config::ConfigErrors;
use toolweir::core::{Error, Kind, RawJson};

/// A failure as the user sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: u8,
    /// A short stable name.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) server: Option<String>,
    /// A server's own error object.
    pub(crate) rpc: Option<RawJson>,
}

impl Failure {
    fn new(exit: u8, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into(), server: None, rpc: None }
    }

    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::new(1, "unexpected", message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, "usage", message)
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
        Self::config(errors.render(false))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::config(error.to_string())
    }
}
