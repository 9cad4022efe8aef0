//! The configuration: one JSON file with comments, as MCP clients write it, plus one key of ours.
//!
//! Servers are read from `mcpServers` (or `servers`), our own settings from `toolweir`. Every mistake is reported
//! at once, each with its file, line and column, the source line with a caret, and what to do about it.
//! In every string value `${NAME}`, `${NAME:-default}` and `${env:NAME}` are replaced from the environment; the
//! default holds where the variable is not set, an unset variable without one is an error, the result is not
//! expanded again, and a `$` without a brace stays as it is. A value of `null` counts as not given.
//!
//! ```
//! use toolweir::config::{Config, Transport};
//!
//! let text = r#"{
//!   // comments and trailing commas are welcome
//!   "mcpServers": {
//!     "files": { "command": "mcp-server-files", "args": ["${HOME}/notes"], "capabilities": ["files"] },
//!   },
//!   "toolweir": { "timeoutMs": 30000 },
//! }"#;
//! let env = |name: &str| (name == "HOME").then(|| "/srv/ada".to_owned());
//! let (config, warnings) = Config::from_str(text, "toolweir.jsonc", &env)?;
//! assert!(warnings.is_empty());
//! let Some(Transport::Stdio(stdio)) = &config.servers[0].transport else { panic!("a child process") };
//! assert_eq!(stdio.args[0].value(), "/srv/ada/notes");
//! assert_eq!(stdio.args[0].written(), "${HOME}/notes"); // what may be printed
//! # Ok::<(), toolweir::config::ConfigErrors>(())
//! ```

mod alerts;
mod diagnostics;
mod expand;
mod hide;
mod keys;
mod load;
mod parse;
mod policies;
mod pools;
mod raw;
mod secret;
mod servers;
mod settings;
mod source;
mod suggest;
mod transport;
mod walk;

pub use self::alerts::Alerts;
pub use self::diagnostics::{ConfigErrors, Problem, Severity, Warning};
pub use self::keys::keys;
pub use self::load::Config;
pub use self::policies::{
    Breaker, Cache, Concurrency, Hedge, Policies, RateLimit, Retry, Setting, Start,
};
pub use self::raw::Raw;
pub use self::secret::{Secret, Text};
pub use self::servers::{Isolate, Server, ToolPolicy, Zone};
pub use self::settings::{Handler, Route, Settings, StateDir, needs_token};
pub use self::source::Place;
pub use self::transport::{Http, HttpKind, Stdio, Transport};
