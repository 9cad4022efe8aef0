//! `cargo xtask interop`: other people's clients against other people's servers, direct and through the gateway.

mod install;
mod matrix;
mod peers;
mod runs;

use std::sync::Mutex;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use self::install::Place;
use self::matrix::Matrix;
use self::peers::{CLIENTS, SERVERS};
use crate::Failure;
use crate::processes;
use crate::workspace::Workspace;

/// How long all runs together may take, once everything is installed.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// How many servers are tried at once.
const AT_ONCE: usize = 4;

/// How to run.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs this client alone; may be given again
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(CLIENTS.iter().map(|client| client.name)))]
    client: Vec<String>,
    /// Runs this server alone; may be given again
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SERVERS.iter().map(|server| server.name)))]
    server: Vec<String>,
    /// Writes docs/INTEROP.md, too
    #[arg(long, conflicts_with_all = ["client", "server"])]
    write: bool,
}

/// Runs the matrix; whether nothing is worse through the gateway than direct.
///
/// # Errors
/// Fails where something cannot be built, installed or started.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    processes::end_on_signals()?;
    let place = Place::prepare(workspace)?;
    processes::end_after(LIMIT);
    let wanted =
        |names: &[String], name: &str| names.is_empty() || names.iter().any(|it| it == name);
    let clients: Vec<_> = CLIENTS.iter().filter(|it| wanted(&options.client, it.name)).collect();
    let servers: Vec<_> = SERVERS.iter().filter(|it| wanted(&options.server, it.name)).collect();
    let matrix = Mutex::new(Matrix::default());
    let left = Mutex::new(servers.iter());
    let work = || -> Result<(), Failure> {
        loop {
            let next = left.lock().map_err(|_| "a run panicked")?.next();
            let Some(server) = next else { return Ok(()) };
            for run in runs::of(&place, server, &clients)? {
                matrix.lock().map_err(|_| "a run panicked")?.add(run);
            }
        }
    };
    let ends: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<(), Failure>>| {
            thread.join().unwrap_or_else(|_| Err("a run panicked".into()))
        };
        threads.into_iter().map(join).collect()
    });
    ends.into_iter().collect::<Result<(), Failure>>()?;
    let matrix = matrix.into_inner().map_err(|_| "a run panicked")?;
    println!("\n{}", matrix.text());
    if options.write {
        matrix.document(&place)?.write(workspace)?;
    }
    Ok(matrix.holds())
}
