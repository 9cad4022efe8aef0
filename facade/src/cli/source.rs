//! The configuration that a command works with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use toolweir::config::{Config, Warning};
use toolweir::wire::Watchdog;
use toolweir::{Builder, Orchestrator, Readiness, ServerReport};

use super::Source;
use super::failure::Failure;
use super::output::Output;

/// How long servers get to be there before a command goes on without them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Reads the configuration and shows its warnings.
pub(crate) fn load(source: &Source, output: Output) -> Result<(Config, Vec<Warning>), Failure> {
    let (config, warnings) = match &source.config {
        Some(path) => Config::load(path)?,
        None => Config::find()?,
    };
    for warning in &warnings {
        output.note(warning.render(false).trim_end());
    }
    Ok((config, warnings))
}

/// What the configuration says, watched over.
pub(crate) fn builder(config: &Config) -> Result<Builder, Failure> {
    // By this name the program is found even where its file has been replaced meanwhile.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { Some(own.to_owned()) } else { std::env::current_exe().ok() };
    let builder = Builder::from_config(config)?;
    Ok(match program {
        Some(program) => builder.watchdog(Watchdog::new(program, ["watchdog"])),
        None => builder,
    })
}

/// Where a gateway keeps what servers list, unless the configuration says where, or that it does not:
/// `$XDG_CACHE_HOME/toolweir`, or else `~/.cache/toolweir`.
pub(crate) fn state_dir(config: &Config) -> Option<PathBuf> {
    if config.settings.state_dir.is_some() {
        return None;
    }
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    caches.map(|caches| caches.join("toolweir"))
}

/// Starts the configured servers.
pub(crate) fn start(config: &Config) -> Result<Orchestrator, Failure> {
    Ok(builder(config)?.start()?)
}

/// Waits until all servers have been tried, telling of each as it is.
pub(crate) async fn wait(
    orchestrator: &Orchestrator,
    patience: Duration,
    output: Output,
) -> Vec<ServerReport> {
    let started = now();
    let mut told = Vec::new();
    loop {
        let servers = orchestrator.ready(Duration::from_millis(50)).await;
        for server in servers.iter().filter(|server| server.health_status != Readiness::Starting) {
            // Connected is not yet listed: a server is told of when both are done, or when it failed.
            if told.contains(&server.name) || !(server.is_listed || server.reason.is_some()) {
                continue;
            }
            told.push(server.name.clone());
            output.note(&line(server, started.elapsed()));
        }
        if told.len() == servers.len() || started.elapsed() >= patience {
            return servers;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn line(server: &ServerReport, after: Duration) -> String {
    let name = &server.name;
    let seconds = after.as_secs_f64();
    if server.health_status == Readiness::Resting {
        return format!("  {name}: is started when it is needed, {} tools", server.tools.len());
    }
    match &server.reason {
        Some(reason) => {
            let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(reason);
            format!("  {name}: {reason} (tried again in the background)")
        }
        None => {
            let (tools, prompts, resources) =
                (server.tools.len(), server.prompts.len(), server.resources.len());
            format!(
                "  {name}: ready after {seconds:.1} s, {tools} tools, {prompts} prompts, {resources} resources"
            )
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tells a person how long it took")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
