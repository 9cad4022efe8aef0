//! `cargo xtask benchmarks --micro`: ours and the rivals in one run, as ratios.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::figures::{FIGURES, Figure};
use super::{Options, number, read, written};
use crate::Failure;
use crate::command::Cargo;
use crate::document::Document;
use crate::table::{Align, layout};
use crate::workspace::Workspace;

/// How often everything is measured; the middle counts.
const ROUNDS: usize = 3;

/// One figure as it was measured.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    id: &'static str,
    name: &'static str,
    /// Nanoseconds an operation; on two threads, of both together.
    ours: f64,
    rival: f64,
    rival_name: String,
    /// The middle of the rounds' ratios of ours to the rival's.
    ratio: f64,
    target: Option<f64>,
    met: Option<bool>,
}

/// Nanoseconds of each contender (a group, a name) in one round.
type Round = BTreeMap<(String, String), f64>;

/// Measures, prints and writes `docs/BENCHMARKS.md`; whether all of it ran.
///
/// # Errors
/// Fails where something does not build or run, or a contender was not measured.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let rounds = if options.quick { 1 } else { ROUNDS };
    let results = workspace.target.join("criterion-micro");
    let mut measured: Vec<Round> = Vec::new();
    for round in 1..=rounds {
        eprintln!("\n== round {round} of {rounds}");
        let before = written(&results)?;
        let command = command(workspace, &results, options);
        if !command.run(&workspace.root)? {
            return Err(format!("`{command}` failed").into());
        }
        let mut ns = Round::new();
        for (path, when) in written(&results)? {
            if before.get(&path) != Some(&when) {
                let row = read("micro", &path)?;
                ns.insert((row.group, row.name), row.ns);
            }
        }
        measured.push(ns);
    }
    let versions = versions(workspace)?;
    let wanted = |figure: &&Figure| options.filter.is_none() || of(figure, &measured).is_some();
    let mut rows = Vec::new();
    for figure in FIGURES.iter().filter(wanted) {
        rows.push(row(figure, &measured, &versions)?);
    }
    if rows.is_empty() {
        return Err("nothing was measured: no figure matches".into());
    }
    println!("\n{}", layout(&HEAD, &cells(&rows)));
    let (met, of) = tally(&rows);
    println!("{met} of {of} targets met");
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if options.filter.is_none() && !options.quick {
        document(&rows)?.write(workspace)?;
    }
    Ok(true)
}

fn command(workspace: &Workspace, results: &Path, options: &Options) -> Cargo {
    let target = workspace.target.join("micro").display().to_string();
    let command = Cargo::new("bench --locked --manifest-path benchmarks/Cargo.toml --target-dir")
        .env("CRITERION_HOME", results.display().to_string())
        .arg(target)
        .arg("--")
        .arg("--noplot");
    match &options.filter {
        Some(filter) => command.arg(filter),
        None => command,
    }
}

/// The measurements of both sides, round by round.
fn of(figure: &Figure, rounds: &[Round]) -> Option<(Vec<f64>, Vec<f64>)> {
    let all = |group: &str, name: &str| {
        let key = (group.to_owned(), name.to_owned());
        rounds.iter().map(|round| round.get(&key).copied()).collect::<Option<Vec<f64>>>()
    };
    Some((all(figure.ours, "toolweir")?, all(figure.theirs, figure.rival)?))
}

fn row(
    figure: &Figure,
    rounds: &[Round],
    versions: &BTreeMap<String, String>,
) -> Result<Row, Failure> {
    let (ours, theirs) =
        of(figure, rounds).ok_or_else(|| format!("{} was not measured", figure.id))?;
    let ratio = middle(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
    let rival_name = match figure.package {
        Some(package) => {
            let version =
                versions.get(package).ok_or_else(|| format!("no version of {package}"))?;
            format!("{} {version}", figure.rival)
        }
        None if figure.rival == "toolweir" => format!("itself, {}", figure.theirs),
        None => figure.rival.to_owned(),
    };
    let Figure { id, name, target, .. } = *figure;
    let (ours, rival) = (middle(ours), middle(theirs));
    let met = target.map(|target| ratio <= target);
    Ok(Row { id, name, ours, rival, rival_name, ratio, target, met })
}

/// The middle of an odd number of values.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const HEAD: [(&str, Align); 7] = [
    ("path", Align::Left),
    ("ours, ns", Align::Right),
    ("rival, ns", Align::Right),
    ("rival", Align::Left),
    ("ratio", Align::Right),
    ("target", Align::Right),
    ("met", Align::Left),
];

fn cells(rows: &[Row]) -> Vec<Vec<String>> {
    let line = |row: &Row| {
        let (target, met) = match (row.target, row.met) {
            (Some(target), Some(true)) => (format!("{target}"), "yes"),
            (Some(target), _) => (format!("{target}"), "NO"),
            _ => (String::new(), ""),
        };
        vec![
            row.name.to_owned(),
            number(row.ours),
            number(row.rival),
            row.rival_name.clone(),
            format!("{:.3}", row.ratio),
            target,
            met.to_owned(),
        ]
    };
    rows.iter().map(line).collect()
}

fn tally(rows: &[Row]) -> (usize, usize) {
    let met = rows.iter().filter(|row| row.met == Some(true)).count();
    (met, rows.iter().filter(|row| row.target.is_some()).count())
}

/// The versions that were built.
fn versions(workspace: &Workspace) -> Result<BTreeMap<String, String>, Failure> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let metadata = Cargo::new("metadata --format-version 1 --manifest-path benchmarks/Cargo.toml");
    let metadata: Metadata = serde_json::from_str(&metadata.output(&workspace.root)?)?;
    // Where there are two versions, the newer is the one that is named in Cargo.toml.
    Ok(metadata.packages.into_iter().map(|package| (package.name, package.version)).collect())
}

fn document(rows: &[Row]) -> Result<Document, Failure> {
    let mut page = Document::new("BENCHMARKS.md", "Benchmarks", "cargo xtask benchmarks --micro")?;
    page.add(
        "Ours and others of its kind in one run, each with the same duty (`benchmarks/benches/micro` says which). Nanoseconds an \
         operation; on two threads, the time of both together for an operation of either. `ratio` is ours to the rival's, the \
         middle of three rounds: it says more than the nanoseconds, which are those of a shared machine. `target` is the most \
         that we want it to be.",
    );
    page.table(&HEAD, &cells(rows));
    let (met, of) = tally(rows);
    page.add(&format!("{met} of {of} targets met."));
    page.add(
        "* The limiter's state is governor's arithmetic in one atomic; the cache stores in quick_cache, which stands beside it to \
         show what is added: a look adds the time to live of each value, the group that it may be invalidated with, and the clock; a \
         miss adds a fetch that outlives its caller.\n\
         * tower's balancer takes `&mut self`; on two threads it stands behind a mutex.\n\
         * No path but the miss allocates; tests with a counting allocator assert that.",
    );
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ours: f64, theirs: f64) -> Round {
        let figure = &FIGURES[0];
        let key = |group: &str, name: &str| (group.to_owned(), name.to_owned());
        [(key(figure.ours, "toolweir"), ours), (key(figure.theirs, figure.rival), theirs)].into()
    }

    #[test]
    fn the_middle_ratio_counts_and_meets_the_target_or_not() {
        let versions = [("recloser".to_owned(), "1.2.3".to_owned())].into();
        let cases = [([2.0, 2.0, 90.0], 0.2, true), ([2.0, 50.0, 90.0], 5.0, false)];
        for (ours, ratio, met) in cases {
            let rounds: Vec<Round> = ours.iter().map(|ours| round(*ours, 10.0)).collect();
            let row = row(&FIGURES[0], &rounds, &versions).expect("all was measured");
            assert_eq!((row.ratio, row.met), (ratio, Some(met)));
            assert_eq!(row.rival_name, "recloser 1.2.3");
        }
        assert!(row(&FIGURES[1], &[round(1.0, 1.0)], &versions).is_err());
    }
}
