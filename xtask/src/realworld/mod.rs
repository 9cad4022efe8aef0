//! `cargo xtask realworld`: servers and clients that nobody here wrote, through the gateway.

mod checks;
mod client;
mod install;
mod page;
mod rows;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use self::install::Place;
use self::rows::Rows;
use crate::Failure;
use crate::processes;
use crate::workspace::Workspace;

/// How long all checks together may take, once everything is installed.
const LIMIT: Duration = Duration::from_secs(12 * 60);

/// How to run.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Write the rows as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run this group of checks; may be given again
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(checks::GROUPS.map(|(name, ..)| name)))]
    only: Vec<String>,
    /// Show the groups of checks
    #[arg(long)]
    list: bool,
    /// Check this program instead of building one
    #[arg(long, value_name = "FILE")]
    toolweir: Option<PathBuf>,
}

/// Runs the checks; whether all of them hold.
///
/// # Errors
/// Fails where nothing can be checked at all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    if options.list {
        for (name, about, _) in checks::GROUPS {
            println!("{name:10} {about}");
        }
        return Ok(true);
    }
    processes::end_on_signals()?;
    let mut rows = Rows::default();
    let place = Place::prepare(workspace, options.toolweir.as_deref(), &mut rows)?;
    processes::end_after(LIMIT);
    for (name, about, check) in checks::GROUPS {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            println!("\n{name}: {about}");
            if let Err(failure) = check(&place, &mut rows) {
                rows.missing(name, about, &failure);
            }
        }
    }
    rows.check("end.nothing-left", "no process is left", || checks::nothing_left(&place));
    println!("\n{}", rows.table());
    if let Some(file) = &options.json {
        fs::write(file, rows.json()?)?;
    }
    Ok(rows.met())
}
