//! A gateway takes up its configuration file again: when the file changes, and at SIGHUP.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::signal::unix::Signal;
use toolweir::config::Config;
use toolweir::{Orchestrator, Reloaded};

use super::failure::Failure;
use super::output::Output;
use super::watch::Watch;

/// What is compared of a file: more than a configuration may have.
const LARGEST: u64 = 2 << 20;

/// Keeps a gateway at what its file says.
pub(crate) struct Reloading {
    pub(crate) orchestrator: Orchestrator,
    /// What the gateway was started with.
    pub(crate) config: Config,
    pub(crate) hang_up: Signal,
    pub(crate) output: Output,
}

impl Reloading {
    /// Never ends, except where SIGHUP says that the terminal is gone.
    pub(crate) async fn keep(mut self) {
        let file = PathBuf::from(self.config.file());
        let mut watch = Watch::new(&file)
            .inspect_err(|error| {
                self.output.note(&format!(
                    "warning: {} is not watched ({error}); SIGHUP reads it again",
                    file.display()
                ));
            })
            .ok();
        let had_terminal = has_terminal();
        let mut seen = contents(&file).await;
        loop {
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                () = changed => false,
                _ = self.hang_up.recv() => true,
            };
            if asked && had_terminal && !has_terminal() {
                return;
            }
            let now = contents(&file).await;
            if !asked && now == seen {
                continue; // something else happened in that folder
            }
            seen = now;
            self.take(&file).await;
        }
    }

    async fn take(&self, file: &Path) {
        let path = file.to_owned();
        let read = tokio::task::spawn_blocking(move || Config::load(path)).await;
        let Ok(read) = read else { return }; // the runtime is ending
        let (config, warnings) = match read {
            Ok(read) => read,
            Err(errors) => {
                self.orchestrator.reload_refused();
                return self.refused(&errors.into());
            }
        };
        for warning in warnings {
            self.output.note(warning.render(false).trim_end());
        }
        match self.orchestrator.reload(&config) {
            Ok(reloaded) => self.taken(&reloaded, &config),
            Err(error) => self.refused(&error.into()),
        }
    }

    fn taken(&self, reloaded: &Reloaded, config: &Config) {
        self.output.note(&format!("configuration taken up: {reloaded}"));
        let fixed = self.config.fixed(config);
        if !fixed.is_empty() {
            let keys: Vec<String> = fixed.iter().map(|key| format!("`{key}`")).collect();
            self.output.note(&format!(
                "warning: a change of {} takes effect when toolweir is started again",
                keys.join(", ")
            ));
        }
    }

    fn refused(&self, failure: &Failure) {
        self.output.note("configuration not taken up; what held before holds:");
        let shown = failure.shown.as_deref().map_or_else(
            || format!("error: {}", failure.message),
            |shown| shown.trim_end().to_owned(),
        );
        self.output.note(&shown);
    }
}

/// What the file holds; nothing where it cannot be read.
async fn contents(file: &Path) -> Option<Vec<u8>> {
    let file = file.to_owned();
    let read = move || {
        let mut bytes = Vec::new();
        File::open(file)?.take(LARGEST).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.ok()?.ok()
}

fn has_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}
