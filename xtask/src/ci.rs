//! `cargo xtask ci`: every check that a change must pass, in order.

use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::alone;
use crate::command::{Cargo, timed};
use crate::conformance;
use crate::fuzz;
use crate::table::{Align, layout};
use crate::tidy;
use crate::workspace::Workspace;

/// What of it is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs the steps that follow a failed one too
    #[arg(long)]
    keep_going: bool,
    /// Runs this step alone; may be given again for another
    #[arg(long = "step", value_name = "NAME")]
    steps: Vec<String>,
    /// Lists the steps and their commands, runs nothing
    #[arg(long)]
    list: bool,
}

/// One step: commands that must all succeed.
#[derive(Debug)]
struct Step {
    name: &'static str,
    about: &'static str,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Commands(Vec<Cargo>),
    Tidy,
    Examples,
    Fuzz,
    Conformance,
}

/// The steps, cheapest first, so that a slip is told early.
fn steps(workspace: &Workspace, nextest: bool) -> Vec<Step> {
    let commands = |name, about, list| Step { name, about, work: Work::Commands(list) };
    let products = workspace.packages.iter().filter(|package| package.is_product());
    let tests = if nextest {
        Cargo::new(
            "nextest run --locked --workspace --all-features --config-file xtask/nextest.toml",
        )
    } else {
        Cargo::new("test --locked --workspace --all-features --lib --bins --tests --examples")
    };
    let doctests = Cargo::new("test --locked --workspace --exclude xtask --all-features --doc");
    let docs = Cargo::new("doc --locked --workspace --exclude xtask --no-deps --all-features");
    let alone = products.flat_map(|package| {
        let check = Cargo::new("check --locked --no-default-features -p").arg(&package.name);
        [check.clone(), check.arg("--tests")]
    });
    let alone = alone.collect();
    let mut benches = Cargo::new("test --locked --workspace --all-features");
    let names: Vec<&str> = workspace.packages.iter().flat_map(|it| it.benches()).collect();
    for name in &names {
        benches = benches.arg("--bench").arg(*name);
    }
    let mut benches = if names.is_empty() { Vec::new() } else { vec![benches] };
    let rivals = Cargo::new("check --locked --benches --manifest-path benchmarks/Cargo.toml");
    let folder = workspace.target.join("micro").display().to_string();
    benches.push(rivals.arg("--target-dir").arg(folder));
    vec![
        commands(
            "fmt",
            "the code is formatted",
            vec![
                Cargo::new("fmt --all --check"),
                Cargo::new("fmt --manifest-path fuzz/Cargo.toml --check"),
                Cargo::new("fmt --manifest-path benchmarks/Cargo.toml --check"),
            ],
        ),
        Step { name: "tidy", about: "layers, names, versions, budgets, files", work: Work::Tidy },
        commands(
            "clippy",
            "no compiler or clippy warning",
            vec![Cargo::new(
                "clippy --locked --workspace --all-targets --all-features -- -D warnings",
            )],
        ),
        commands("docs", "no rustdoc warning", vec![docs.env("RUSTDOCFLAGS", "-D warnings")]),
        commands("tests", "unit and integration tests", vec![tests]),
        commands("doctests", "the examples in the documentation", vec![doctests]),
        commands("alone", "each crate alone, with no default features", alone),
        Step {
            name: "examples",
            about: "each README's example in a project of its own",
            work: Work::Examples,
        },
        commands("benches", "every benchmark once, small; those beside others compile", benches),
        Step { name: "fuzz", about: "each fuzz target for five seconds", work: Work::Fuzz },
        Step {
            name: "conformance",
            about: "the official suite, direct and through the gateway",
            work: Work::Conformance,
        },
    ]
}

/// How a step ended.
#[derive(Debug)]
enum End {
    Passed,
    /// With the command that repeats what failed.
    Failed(String),
    NotRun,
}

/// Runs the steps; whether all passed.
///
/// # Errors
/// Fails where a command cannot be started, or where no step has the name asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let nextest = Cargo::new("nextest --version").succeeds(&workspace.root);
    let steps = chosen(steps(workspace, nextest), &options.steps)?;
    if options.list {
        print!("{}", listing(&steps));
        return Ok(true);
    }
    let mut ends: Vec<(End, Duration)> = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter().enumerate() {
        let failed = ends.iter().any(|(end, _)| matches!(end, End::Failed(_)));
        if failed && !options.keep_going {
            ends.push((End::NotRun, Duration::ZERO));
            continue;
        }
        eprintln!("\n== {}/{} {}: {}", number + 1, steps.len(), step.name, step.about);
        let (end, took) = timed(|| carry_out(step, workspace));
        let end = end?;
        let word = if matches!(end, End::Passed) { "passed" } else { "FAILED" };
        eprintln!("== {} {word} in {}", step.name, seconds(took));
        ends.push((end, took));
    }
    eprint!("\n{}", summary(&steps, &ends));
    Ok(ends.iter().all(|(end, _)| matches!(end, End::Passed)))
}

fn chosen(steps: Vec<Step>, names: &[String]) -> Result<Vec<Step>, Failure> {
    let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no step is called {unknown:?}; there are {}", known.join(", ")).into());
    }
    let wanted = |step: &Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(steps.into_iter().filter(wanted).collect())
}

fn carry_out(step: &Step, workspace: &Workspace) -> Result<End, Failure> {
    match &step.work {
        Work::Tidy => Ok(match tidy::run(workspace)? {
            true => End::Passed,
            false => End::Failed("cargo xtask tidy".to_owned()),
        }),
        Work::Examples => Ok(match alone::run(workspace)? {
            true => End::Passed,
            false => End::Failed("cargo xtask alone".to_owned()),
        }),
        Work::Fuzz => Ok(match fuzz::briefly(workspace)? {
            true => End::Passed,
            false => End::Failed("cargo xtask ci --step fuzz".to_owned()),
        }),
        Work::Conformance => Ok(match conformance::once(workspace)? {
            true => End::Passed,
            false => End::Failed("cargo xtask conformance".to_owned()),
        }),
        Work::Commands(commands) => {
            for command in commands {
                eprintln!("   {command}");
                if !command.run(&workspace.root)? {
                    return Ok(End::Failed(command.to_string()));
                }
            }
            Ok(End::Passed)
        }
    }
}

fn listing(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push_str(&format!("{:<11} {}\n", step.name, step.about));
        match &step.work {
            Work::Tidy => text.push_str("            cargo xtask tidy\n"),
            Work::Examples => text.push_str("            cargo xtask alone\n"),
            Work::Fuzz => text.push_str("            cargo xtask fuzz --seconds 5 --seed 1\n"),
            Work::Conformance => text.push_str("            cargo xtask conformance\n"),
            Work::Commands(commands) => {
                for command in commands {
                    text.push_str(&format!("            {command}\n"));
                }
            }
        }
    }
    text
}

fn summary(steps: &[Step], ends: &[(End, Duration)]) -> String {
    let row = |(step, (end, took)): (&Step, &(End, Duration))| {
        let (word, took) = match end {
            End::Passed => ("passed", seconds(*took)),
            End::Failed(_) => ("FAILED", seconds(*took)),
            End::NotRun => ("not run", String::new()),
        };
        vec![step.name.to_owned(), word.to_owned(), took]
    };
    let rows: Vec<Vec<String>> = steps.iter().zip(ends).map(row).collect();
    let head = [("step", Align::Left), ("result", Align::Left), ("time", Align::Right)];
    let mut text = layout(&head, &rows);
    let total: Duration = ends.iter().map(|(_, took)| *took).sum();
    text.push_str(&format!("total {}\n", seconds(total)));
    for (step, (end, _)) in steps.iter().zip(ends) {
        if let End::Failed(command) = end {
            text.push_str(&format!("\n{} failed. At the root, to repeat it:\n", step.name));
            text.push_str(&format!("    {command}\n"));
        }
    }
    text
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        Workspace { root: "/".into(), target: "/target".into(), packages: Vec::new() }
    }

    #[test]
    fn steps_can_be_chosen_by_name_and_keep_their_order() {
        let names = ["tests".to_owned(), "fmt".to_owned()];
        let steps = chosen(steps(&workspace(), true), &names).expect("both are known");
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names, ["fmt", "tests"]);
    }

    #[test]
    fn an_unknown_step_is_an_error_that_lists_the_known_ones() {
        let error = chosen(steps(&workspace(), true), &["lint".to_owned()]).expect_err("unknown");
        assert!(error.to_string().contains("\"lint\"; there are fmt, tidy, clippy"), "{error}");
    }

    #[test]
    fn without_nextest_cargo_runs_the_tests() {
        for (nextest, begins) in [(true, "cargo nextest run"), (false, "cargo test --locked")] {
            let text =
                listing(&chosen(steps(&workspace(), nextest), &["tests".into()]).expect("known"));
            assert!(text.contains(&format!("  {begins} ")), "{text}");
        }
    }

    #[test]
    fn the_summary_says_how_to_repeat_what_failed() {
        let steps =
            chosen(steps(&workspace(), true), &["fmt".into(), "tidy".into(), "docs".into()])
                .expect("known");
        let ends = [
            (End::Passed, Duration::from_millis(1_500)),
            (End::Failed("cargo xtask tidy".into()), Duration::from_secs(2)),
            (End::NotRun, Duration::ZERO),
        ];
        let expected = "\
step  result    time
----  -------  -----
fmt   passed   1.5 s
tidy  FAILED   2.0 s
docs  not run
total 3.5 s

tidy failed. At the root, to repeat it:
    cargo xtask tidy
";
        assert_eq!(summary(&steps, &ends), expected);
    }
}
