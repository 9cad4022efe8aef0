//! `cargo xtask benchmarks`: every crate's criterion target, one table at the end; then ours beside the rivals.

mod figures;
mod micro;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::command::Cargo;
use crate::table::{Align, layout};
use crate::workspace::Workspace;

/// What is measured, and how.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Measures only what matches this regular expression
    #[arg(long, value_name = "REGEX")]
    filter: Option<String>,
    /// Measures this package only; may be given again for another
    #[arg(long = "package", short, value_name = "NAME")]
    packages: Vec<String>,
    /// Measures for a short time only: rough numbers
    #[arg(long)]
    quick: bool,
    /// Measures ours beside others of their kind alone, and writes docs/BENCHMARKS.md
    #[arg(long, conflicts_with = "packages")]
    micro: bool,
    /// Writes the rows of the table to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measured function.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    package: String,
    group: String,
    name: String,
    /// Nanoseconds an iteration, with the bounds of its confidence interval.
    ns: f64,
    low: f64,
    high: f64,
}

/// criterion's `estimates.json`, as far as it is read.
#[derive(Debug, Deserialize)]
struct Estimates {
    mean: Estimate,
    /// Absent where the samples were taken flat.
    slope: Option<Estimate>,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Debug, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// criterion's `benchmark.json`, as far as it is read.
#[derive(Debug, Deserialize)]
struct Identity {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

/// Runs the benchmarks and prints their table; whether all of them ran.
///
/// # Errors
/// Fails where a command cannot be started, nothing was measured, or the file cannot be written.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    if options.micro {
        return micro::run(workspace, options);
    }
    if let Some(unknown) = options.packages.iter().find(|name| !known(workspace, name)) {
        return Err(format!("no package of the workspace is called {unknown:?}").into());
    }
    let results = workspace.target.join("criterion");
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for package in &workspace.packages {
        if !(options.packages.is_empty() || options.packages.contains(&package.name)) {
            continue;
        }
        for bench in package.benches() {
            let command = command(&package.name, bench, &results, options);
            eprintln!("\n== {command}");
            let before = written(&results)?;
            if !command.run(&workspace.root)? {
                failed.push(command.to_string());
            }
            let new = written(&results)?;
            let new = new.iter().filter(|(path, when)| before.get(*path) != Some(when));
            for (path, _) in new {
                rows.push(read(&package.name, path)?);
            }
        }
    }
    if rows.is_empty() && failed.is_empty() {
        return Err("nothing was measured: no benchmark matches".into());
    }
    println!("\n{}", table(&rows));
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    for command in &failed {
        println!("failed. At the root, to repeat it:\n    {command}");
    }
    // Without a choice, all there is.
    let is_all = options.filter.is_none() && options.packages.is_empty();
    let rest = Options { json: None, ..options.clone() };
    let rivals = !is_all || micro::run(workspace, &rest)?;
    Ok(failed.is_empty() && rivals)
}

fn known(workspace: &Workspace, name: &str) -> bool {
    workspace.packages.iter().any(|package| package.name == name)
}

fn command(package: &str, bench: &str, results: &Path, options: &Options) -> Cargo {
    // The path is stated, because criterion would take a relative CARGO_TARGET_DIR from the package's folder.
    let mut command = Cargo::new("bench --locked --all-features -p")
        .env("CRITERION_HOME", results.display().to_string())
        .arg(package)
        .arg("--bench")
        .arg(bench)
        .arg("--")
        .arg("--noplot");
    if options.quick {
        command = command.arg("--quick");
    }
    match &options.filter {
        Some(filter) => command.arg(filter),
        None => command,
    }
}

/// The estimates below `folder` and when each was written; the newest of each function only.
fn written(folder: &Path) -> Result<BTreeMap<PathBuf, SystemTime>, Failure> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.ends_with("new/estimates.json") {
                found.insert(path, entry.metadata()?.modified()?);
            }
        }
    }
    Ok(found)
}

fn read(package: &str, estimates: &Path) -> Result<Row, Failure> {
    let text = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    row(package, &text(&estimates.with_file_name("benchmark.json"))?, &text(estimates)?)
}

/// A row from the texts of `benchmark.json` and `estimates.json`.
fn row(package: &str, identity: &str, estimates: &str) -> Result<Row, Failure> {
    let identity: Identity = serde_json::from_str(identity)?;
    let estimates: Estimates = serde_json::from_str(estimates)?;
    let parts = [identity.function_id, identity.value_str];
    let name = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    let typical = estimates.slope.unwrap_or(estimates.mean);
    Ok(Row {
        package: package.to_owned(),
        group: identity.group_id,
        name,
        ns: typical.point_estimate,
        low: typical.confidence_interval.lower_bound,
        high: typical.confidence_interval.upper_bound,
    })
}

fn table(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let interval = format!("{} .. {}", number(row.low), number(row.high));
        vec![row.package.clone(), row.group.clone(), row.name.clone(), number(row.ns), interval]
    };
    let head = [
        ("package", Align::Left),
        ("group", Align::Left),
        ("name", Align::Left),
        ("ns", Align::Right),
        ("95 % interval", Align::Right),
    ];
    layout(&head, &rows.iter().map(line).collect::<Vec<_>>())
}

/// Four digits at least where they say something.
fn number(ns: f64) -> String {
    let digits = match ns {
        ns if ns < 10.0 => 3,
        ns if ns < 100.0 => 2,
        ns if ns < 1_000.0 => 1,
        _ => 0,
    };
    format!("{ns:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str =
        r#"{"group_id":"admit","function_id":"closed","value_str":"8","throughput":null}"#;

    fn estimate(point: f64) -> String {
        format!(
            r#"{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":{},"upper_bound":{}}},
                "point_estimate":{point},"standard_error":0.1}}"#,
            point - 1.0,
            point + 1.0
        )
    }

    #[test]
    fn the_slope_counts_where_there_is_one_and_else_the_mean() {
        let both = format!(r#"{{"mean":{},"slope":{}}}"#, estimate(20.0), estimate(10.0));
        let flat = format!(r#"{{"mean":{},"slope":null}}"#, estimate(20.0));
        for (estimates, ns) in [(both, 10.0), (flat, 20.0)] {
            let row = row("toolweir-breaker", IDENTITY, &estimates).expect("both parse");
            assert_eq!((row.group.as_str(), row.name.as_str()), ("admit", "closed/8"));
            assert_eq!((row.low, row.ns, row.high), (ns - 1.0, ns, ns + 1.0));
        }
    }

    #[test]
    fn numbers_keep_the_digits_that_say_something() {
        for (ns, text) in
            [(1.23456, "1.235"), (45.678, "45.68"), (123.45, "123.5"), (98765.4, "98765")]
        {
            assert_eq!(number(ns), text);
        }
    }

    #[test]
    fn a_filter_comes_last_and_is_quoted() {
        let options = Options { filter: Some("a|b".into()), quick: true, ..Options::default() };
        let shown = command("toolweir-cache", "cache", Path::new("t/criterion"), &options);
        assert_eq!(
            shown.to_string(),
            "CRITERION_HOME=t/criterion cargo bench --locked --all-features -p toolweir-cache --bench cache \
             -- --noplot --quick 'a|b'"
        );
    }
}
