//! Checks and measures toolweir: `cargo xtask ci`, `tidy`, `benchmarks`, `realworld`, `conformance`,
//! `interop`, `faultmatrix`, `soak`, `fuzz`, `mutants`, `alone`.

mod alone;
mod benchmarks;
mod ci;
mod command;
mod conformance;
#[path = "../../wire/tests/peer/dice.rs"]
#[allow(dead_code, reason = "tests use the whole of it")]
mod dice;
mod document;
mod faultmatrix;
mod fuzz;
mod gateway;
mod http;
mod interop;
#[path = "../../wire/tests/ledger/mod.rs"]
mod ledger;
mod mutants;
mod packages;
mod processes;
mod realworld;
mod soak;
mod table;
mod tidy;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// What went wrong, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Checks and measures toolweir.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs every check that a change must pass
    Ci(ci::Options),
    /// Measures: every crate's criterion target, one table at the end
    #[command(visible_alias = "bench")]
    Benchmarks(benchmarks::Options),
    /// Installs other people's MCP servers and clients and runs them through the gateway
    Realworld(realworld::Options),
    /// Runs other people's clients against other people's servers, direct and through the gateway
    Interop(interop::Options),
    /// Runs the official conformance suite, direct and through the gateway
    Conformance(conformance::Options),
    /// What the suite starts to see how the gateway calls servers
    #[command(hide = true)]
    ConformanceClient(conformance::ClientOptions),
    /// Runs the tests of what must survive, and prints what each measured beside what is wanted
    Faultmatrix(faultmatrix::Options),
    /// Runs a gateway under load, faults and new configurations together, and prints what that does to it
    Soak(soak::Options),
    /// What the gateway starts there as its servers
    #[command(hide = true)]
    SoakServer { era: String, loops: Option<PathBuf> },
    /// Feeds made-up bytes to what reads bytes from strangers, guided by coverage
    Fuzz(fuzz::Options),
    /// Changes the pure files a little, many times over, and sees whether the tests notice
    Mutants(mutants::Options),
    /// Runs each README's example in a project that depends on that crate alone
    Alone,
    /// Checks what no compiler does: layers, names, versions, dependency budgets, stray files
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A server has to be there at once, and needs no workspace.
    if let Verb::SoakServer { era, loops } = &arguments.verb {
        return exit(soak::serve_stdio(era, loops.as_deref()).map(|()| true));
    }
    let done = Workspace::load().and_then(|workspace| match arguments.verb {
        Verb::Ci(options) => ci::run(&workspace, &options),
        Verb::Benchmarks(options) => benchmarks::run(&workspace, &options),
        Verb::Realworld(options) => realworld::run(&workspace, &options),
        Verb::Interop(options) => interop::run(&workspace, &options),
        Verb::Conformance(options) => conformance::run(&workspace, &options),
        Verb::ConformanceClient(options) => conformance::run_client(&workspace, &options),
        Verb::Faultmatrix(options) => faultmatrix::run(&workspace, &options),
        Verb::Soak(options) => soak::run(&workspace, &options),
        Verb::SoakServer { era, loops } => soak::serve_stdio(&era, loops.as_deref()).map(|()| true),
        Verb::Fuzz(options) => fuzz::run(&workspace, &options),
        Verb::Mutants(options) => mutants::run(&workspace, &options),
        Verb::Alone => alone::run(&workspace),
        Verb::Tidy => tidy::run(&workspace),
    });
    exit(done)
}

fn exit(done: Result<bool, Failure>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}
