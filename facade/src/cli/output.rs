//! Results on stdout, all else on stderr.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::failure::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Writes a result: as JSON, or as `text` makes it.
    pub(crate) fn result<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) {
        if self.json {
            self.line(&serde_json::to_string_pretty(value).unwrap_or_default());
        } else {
            self.line(&text(value));
        }
    }

    /// Writes text on stdout; a reader that has gone is no failure.
    pub(crate) fn line(self, text: &str) {
        let _ = writeln!(anstream::stdout(), "{text}");
    }

    /// Tells people what goes on.
    pub(crate) fn note(self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    /// Tells of a failure: its last line on stderr is for programs where they asked for JSON.
    pub(crate) fn fail(self, failure: &Failure) -> ExitCode {
        if self.json {
            let mut error = serde_json::json!({ "code": failure.code, "message": failure.message });
            if let Some(error) = error.as_object_mut() {
                if let Some(server) = &failure.server {
                    error.insert("server".to_owned(), server.as_str().into());
                }
                if let Some(rpc) = failure.rpc.as_ref().and_then(|rpc| rpc.get().ok()) {
                    error.insert("rpc".to_owned(), rpc);
                }
            }
            self.note(&serde_json::json!({ "error": error }).to_string());
        } else if let Some(shown) = &failure.shown {
            self.note(shown.trim_end());
        } else {
            self.note(&format!("error: {}", failure.message));
        }
        failure.exit_code()
    }
}
