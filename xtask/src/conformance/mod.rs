//! `cargo xtask conformance`: the official suite against the fixture server, and against the gateway before it.

mod client;
mod install;
mod programs;
mod report;
mod suite;

use std::fs;
use std::path::PathBuf;

use clap::Args;

pub(crate) use self::client::{Options as ClientOptions, run as run_client};
use self::install::Suite;
use self::programs::{Program, Programs};
use self::report::Report;
use crate::Failure;
use crate::workspace::Workspace;

/// The revisions whose requirements are run.
const SETS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// How to run.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs everything this often; a scenario passes where it passed each time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Runs this scenario alone
    #[arg(long, value_name = "SCENARIO")]
    only: Option<String>,
    /// What the server behind the gateway speaks; the gateway's clients speak what their revision wants
    #[arg(long, value_name = "ERA", default_value = "both", value_parser = ["legacy", "modern", "both"])]
    servers: String,
    /// Writes every scenario's outcome as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes docs/CONFORMANCE.md, too
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

impl Options {
    /// Everything once, as in `cargo xtask ci`.
    fn once() -> Self {
        Self { repeat: 1, only: None, servers: "both".to_owned(), json: None, write: false }
    }
}

/// How the suite reaches the fixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Direct,
    Http,
    Stdio,
}

impl Way {
    const ALL: [Self; 3] = [Self::Direct, Self::Http, Self::Stdio];

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Http => "through HTTP",
            Self::Stdio => "through stdio",
        }
    }
}

/// What is under test: how the gateway answers clients, or how it calls servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Server,
    Client,
}

impl Side {
    const ALL: [Self; 2] = [Self::Server, Self::Client];

    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// The ways there are: a client that is not the gateway's says nothing of it.
    fn ways(self) -> &'static [Way] {
        match self {
            Self::Server => &Way::ALL,
            Self::Client => &[Way::Http, Way::Stdio],
        }
    }
}

/// Runs the whole suite once.
///
/// # Errors
/// As [`run`].
pub(crate) fn once(workspace: &Workspace) -> Result<bool, Failure> {
    run(workspace, &Options::once())
}

/// Runs the suite; whether every scored scenario passes and nothing is worse through the gateway than direct.
///
/// # Errors
/// Fails where something cannot be built, installed or started.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let suite = Suite::install(workspace)?;
    let programs = Programs::build(workspace)?;
    let mut report = Report::default();
    for round in 1..=options.repeat {
        for way in Way::ALL {
            let (_running, url) = start(&programs, &suite, way, &options.servers)?;
            for set in SETS {
                eprintln!("round {round} of {}: {set} {}", options.repeat, way.name());
                for outcome in suite.run(&url, set, options.only.as_deref())? {
                    report.add(set, Side::Server, way, outcome);
                }
            }
        }
        for way in Side::Client.ways() {
            let client = client::command(*way, &suite.folder.join("client"))?;
            for set in SETS {
                eprintln!("round {round} of {}: {set} as a client, {}", options.repeat, way.name());
                for outcome in suite.run_client(&client, set, options.only.as_deref())? {
                    report.add(set, Side::Client, *way, outcome);
                }
            }
        }
    }
    if let Some(file) = &options.json {
        fs::write(file, report.json()?)?;
    }
    print!("{}", report.text());
    if options.write {
        report.document(options.repeat, &options.servers, &suite.version()?)?.write(workspace)?;
    }
    Ok(report.holds())
}

/// Starts what one way needs, and tells where the suite finds it.
fn start(
    programs: &Programs,
    suite: &Suite,
    way: Way,
    era: &str,
) -> Result<(Vec<Program>, String), Failure> {
    match way {
        Way::Direct => {
            let (fixture, url) = programs.fixture("both")?;
            Ok((vec![fixture], url))
        }
        Way::Http => {
            let (fixture, url) = programs.fixture(era)?;
            let server = serde_json::json!({ "type": "http", "url": url });
            let (gateway, url) = programs.gateway(&programs.config(&suite.folder, server)?)?;
            Ok((vec![gateway, fixture], url))
        }
        Way::Stdio => {
            let server = serde_json::json!({ "command": programs.fixture, "args": ["--stdio", "--era", era] });
            let (gateway, url) = programs.gateway(&programs.config(&suite.folder, server)?)?;
            Ok((vec![gateway], url))
        }
    }
}
