//! From a file to a configuration.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use jsonc_parser::ast::Value;

use super::diagnostics::{ConfigErrors, Problem, Severity, Warning};
use super::parse::parse;
use super::policies::Policies;
use super::servers::{self, Server};
use super::settings::{self, Settings};
use super::source::{Place, Source};
use super::walk::{Fields, Walk, span};

/// The largest file that is read: 1 MiB.
const LARGEST: usize = 1 << 20;
/// Looked for where no file is named, in this order.
const FILES: [&str; 2] = ["toolweir.jsonc", ".mcp.json"];

/// A configuration that holds together.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The servers, in the order of the file.
    pub servers: Vec<Server>,
    /// What stands under `toolweir`.
    pub settings: Settings,
    source: Arc<Source>,
}

impl Config {
    /// Reads `text`, which came from `file_name`, with variables from `env`.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included, at once.
    pub fn from_str(
        text: &str,
        file_name: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        if text.len() > LARGEST {
            return Err(unreadable(
                file_name,
                "the file is larger than 1 MiB",
                "is it the right file?",
            ));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut walk = Walk::new(Source::new(file_name, text), env);
        let read = parse(&mut walk, text).and_then(|root| whole(&mut walk, &root));
        let (source, problems) = walk.finish();
        match read {
            Some((servers, settings))
                if problems.iter().all(|problem| problem.severity() == Severity::Warning) =>
            {
                Ok((
                    Self { servers, settings, source },
                    ConfigErrors::new(problems).into_problems(),
                ))
            }
            _ => Err(ConfigErrors::new(problems)),
        }
    }

    /// Reads the file at `path`, with variables from the process's environment.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let read = |path| -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read(path).map_err(|error| {
            unreadable(
                &name,
                &format!("the file cannot be read: {error}"),
                "name another with --config FILE",
            )
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
            unreadable(
                &name,
                &format!("the file is not UTF-8, from line {line} on"),
                "save it as UTF-8",
            )
        })?;
        Self::from_str(&text, &name, &|variable| std::env::var(variable).ok())
    }

    /// Reads `./toolweir.jsonc`, or else `./.mcp.json`.
    ///
    /// # Errors
    /// Neither is there, or the one that is cannot be read or is wrong.
    pub fn find() -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Self::find_in(Path::new(""))
    }

    /// As [`find`](Self::find), in the directory `folder`.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_in(folder: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let there = |path: &std::path::PathBuf| {
            !path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        match FILES.map(|file| folder.join(file)).into_iter().find(there) {
            Some(path) => Self::load(path),
            None => Err(unreadable(
                &folder.join(FILES[0]).display().to_string(),
                "there is no configuration: neither toolweir.jsonc nor .mcp.json is here",
                "write one, or name it with --config FILE",
            )),
        }
    }

    /// What holds for the calls of `server`: its own policies over those of all.
    #[must_use]
    pub fn policies(&self, server: &Server) -> Policies {
        server.policies.over(self.settings.policies)
    }

    /// The file that it came from.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The keys of `toolweir` that have another value in `new` and take effect only when the gateway is started
    /// again: where it listens, who may come in, `shutdownGraceMs`, `alerts` (but for its rules), zones, `slowStartMs`, and the size of the cache (for which
    /// `cache` stands).
    #[must_use]
    pub fn fixed(&self, new: &Self) -> Vec<&'static str> {
        self.settings.fixed(&new.settings)
    }

    /// An error at `place`, for whoever finds out later that the configuration cannot be used.
    #[must_use]
    pub fn error_at(&self, place: &Place, message: impl Into<String>) -> Problem {
        Problem::new(Arc::clone(&self.source), Severity::Error, Some(place.clone()), message)
    }

    /// A warning at `place`.
    #[must_use]
    pub fn warning_at(&self, place: &Place, message: impl Into<String>) -> Warning {
        Problem::new(Arc::clone(&self.source), Severity::Warning, Some(place.clone()), message)
    }
}

/// Reads the whole file.
pub(super) fn whole(walk: &mut Walk<'_>, root: &Value<'_>) -> Option<(Vec<Server>, Settings)> {
    let mut fields = Fields::new(walk.object(root, "the file")?);
    let nowhere = fields.get("mcpServers").is_none() && fields.get("servers").is_none();
    let servers = servers::read(walk, &mut fields);
    if nowhere {
        walk.error(span(root), "no servers: there is no `mcpServers`")
            .help(r#"add `"mcpServers": { "name": { "command": ".." } }`"#);
    } else if servers.is_empty() && walk.is_clean() {
        walk.warn(span(root), "no server is configured").help("add one to `mcpServers`");
    }
    let settings = fields
        .get("toolweir")
        .and_then(|value| walk.object(value, "toolweir"))
        .map(|object| settings::read(walk, object, &servers));
    let has_zone = settings.as_ref().is_some_and(|settings| settings.zone.is_some());
    if !has_zone && walk.is_clean() {
        servers::check_zones(walk, &servers);
    }
    let _ = fields.get("$schema");
    fields.finish(walk, Severity::Warning, "the file");
    Some((servers, settings.unwrap_or_default()))
}

fn unreadable(name: &str, message: &str, help: &str) -> ConfigErrors {
    let source = Arc::new(Source::new(name, ""));
    ConfigErrors::new(vec![Problem::new(source, Severity::Error, None, message).with_help(help)])
}
