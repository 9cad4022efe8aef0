//! `cargo xtask mutants`: small changes to the pure files, and whether the tests notice each of them.

mod page;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use clap::Args;
use serde::Deserialize;

use self::page::{Page, Section};
use crate::Failure;
use crate::command::Cargo;
use crate::table::{Align, layout};
use crate::workspace::Workspace;

/// The crates whose pure files are changed: no I/O, no clock, every line decides something.
#[rustfmt::skip]
const SUBJECTS: &[Subject] = &[
    Subject { folder: "breaker", features: "", files: &["engine/*"] },
    Subject { folder: "ratelimit", features: "tokio", files: &["adaptive", "all", "crowd", "line", "rate", "shared", "table", "turn"] },
    Subject { folder: "cache", features: "", files: &["canonical", "desk", "flight", "flights", "group", "key", "shelf", "slot"] },
    Subject { folder: "metrics", features: "prometheus", files: &["alert", "cell", "histogram", "ring", "rule", "score", "stripe", "window"] },
    Subject { folder: "router", features: "", files: &["bits", "cell", "estimate", "hash", "logarithm", "pool", "random", "rank", "routes", "table"] },
];

/// One crate and what of it is changed.
#[derive(Clone, Copy, Debug)]
struct Subject {
    folder: &'static str,
    /// The features that its tests need.
    features: &'static str,
    /// Under its `src`, without `.rs`.
    files: &'static [&'static str],
}

/// The least share that must be caught.
const CAUGHT_MIN: f64 = 0.95;

/// A mutant that runs so much longer than the tests do has made an endless loop.
const TIMEOUT_SECONDS: &str = "40";

/// Which crates.
///
/// Needs cargo-mutants (`cargo install cargo-mutants --locked`) and cargo-nextest. It takes some ten seconds a mutant. Each crate's
/// section of docs/MUTANTS.md is rewritten; what stands there of why a survivor survives is kept as long as it does. After more
/// tests were written, `--again` tries the survivors alone, and mutants of lines that changed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The crates' folders; all of them where none is named
    #[arg(value_name = "CRATE", value_parser = ["breaker", "ratelimit", "cache", "metrics", "router"])]
    crates: Vec<String>,
    /// Only mutants whose name matches; the page stays as it is
    #[arg(long, value_name = "REGEX")]
    filter: Option<String>,
    /// Only what was not caught the last time; what was caught then counts as caught
    #[arg(long, conflicts_with = "filter")]
    again: bool,
    /// Mutants at once, each with a build of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u32,
}

/// What became of the mutants of one crate.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tally {
    caught: usize,
    /// Endless loops; as good as caught.
    timed_out: usize,
    /// They do not compile, and count as nothing.
    unviable: usize,
    /// Their names, without the line.
    missed: Vec<String>,
    /// The same with the line, for those who look for them.
    missed_at: Vec<String>,
}

impl Tally {
    fn of(outcomes: &Outcomes) -> Result<Self, Failure> {
        let mut tally = Self::default();
        for (name, summary) in outcomes {
            match summary.as_str() {
                "CaughtMutant" => tally.caught += 1,
                "Timeout" => tally.timed_out += 1,
                "Unviable" => tally.unviable += 1,
                "MissedMutant" => {
                    tally.missed.push(without_place(name));
                    tally.missed_at.push(name.clone());
                }
                other => return Err(format!("{name}: {other}").into()),
            }
        }
        Ok(tally)
    }

    fn share(&self) -> f64 {
        let caught = self.caught + self.timed_out;
        caught as f64 / ((caught + self.missed.len()).max(1)) as f64
    }
}

/// Runs them; whether enough were caught in each crate, and every survivor is explained.
///
/// # Errors
/// Fails where cargo-mutants is not there or cannot run the tests.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    if !Cargo::new("mutants --version").succeeds(&workspace.root) {
        return Err("cargo-mutants is not installed: cargo install cargo-mutants --locked".into());
    }
    let chosen = |subject: &&Subject| {
        options.crates.is_empty() || options.crates.iter().any(|name| name == subject.folder)
    };
    let mut good = true;
    let mut rows = Vec::new();
    for subject in SUBJECTS.iter().filter(chosen) {
        let output = workspace.target.join("mutants").join(subject.folder);
        fs::create_dir_all(&output)?;
        let command = command(subject, &output, options);
        eprintln!("\n== {command}");
        let known = output.join("known.json");
        let mut outcomes =
            if options.again { former(&known, subject)? } else { Outcomes::default() };
        // Its status says that some survived, too: what counts is what it wrote.
        let written = output.join("mutants.out").join("outcomes.json");
        let _ = fs::remove_file(&written);
        command.run(&workspace.root)?;
        let text = fs::read_to_string(&written).map_err(|_| format!("`{command}` failed"))?;
        outcomes.extend(read(&text)?);
        if options.filter.is_none() {
            let listed = narrowed(Cargo::new("mutants --list"), subject).output(&workspace.root)?;
            whole(&mut outcomes, &listed, subject)?;
            fs::write(known, serde_json::to_vec(&outcomes)?)?;
        }
        let tally = Tally::of(&outcomes)?;
        for missed in &tally.missed_at {
            println!("missed: {missed}");
        }
        let mut explained = true;
        if options.filter.is_none() {
            let mut page = Page::read(workspace)?;
            explained = page.replace(Section::new(subject, &tally)?);
            page.write(workspace)?;
        }
        good &= explained && tally.share() >= CAUGHT_MIN;
        rows.push(cells(subject, &tally));
    }
    println!("\n{}", layout(&HEAD, &rows));
    if !good {
        println!(
            "at least {:.0} % are to be caught, and docs/MUTANTS.md is to say why the others are not",
            CAUGHT_MIN * 100.0
        );
    }
    Ok(good)
}

const HEAD: [(&str, Align); 6] = [
    ("crate", Align::Left),
    ("caught", Align::Right),
    ("timed out", Align::Right),
    ("missed", Align::Right),
    ("do not compile", Align::Right),
    ("share caught", Align::Right),
];

fn cells(subject: &Subject, tally: &Tally) -> Vec<String> {
    vec![
        subject.folder.to_owned(),
        tally.caught.to_string(),
        tally.timed_out.to_string(),
        tally.missed.len().to_string(),
        tally.unviable.to_string(),
        format!("{:.1} %", tally.share() * 100.0),
    ]
}

/// What was seen of a crate's mutants, by their names with the place: caught, missed, and so on.
type Outcomes = BTreeMap<String, String>;

/// What was decided the last time. What survived then, or took too long, is tried again.
fn former(known: &Path, subject: &Subject) -> Result<Outcomes, Failure> {
    let text = fs::read(known).map_err(|_| {
        format!("{0} was not run through yet: cargo xtask mutants {0}", subject.folder)
    })?;
    let mut outcomes: Outcomes = serde_json::from_slice(&text)?;
    outcomes.retain(|_, summary| ["CaughtMutant", "Unviable"].contains(&summary.as_str()));
    Ok(outcomes)
}

/// Forgets mutants that are none any more, since their lines changed, and makes sure that none of those `listed` is
/// missing.
fn whole(outcomes: &mut Outcomes, listed: &str, subject: &Subject) -> Result<(), Failure> {
    let names: HashSet<&str> = listed.lines().collect();
    outcomes.retain(|name, _| names.contains(name.as_str()));
    if names.len() == outcomes.len() {
        return Ok(());
    }
    Err(format!(
        "{0}'s files have changed since the last run: cargo xtask mutants {0}, without --again",
        subject.folder
    )
    .into())
}

/// Tells cargo-mutants which files are meant.
fn narrowed(command: Cargo, subject: &Subject) -> Cargo {
    let Subject { folder, features, files } = subject;
    let mut command = command.arg("--package").arg(format!("toolweir-{folder}"));
    // What is printed for people decides nothing.
    command = command.arg("--exclude-re").arg("impl (std::)?fmt::");
    if !features.is_empty() {
        command = command.arg("--features").arg(*features);
    }
    for file in *files {
        command = command.arg("--file").arg(format!("{folder}/src/{file}.rs"));
    }
    command
}

fn command(subject: &Subject, output: &Path, options: &Options) -> Cargo {
    let command = Cargo::new("mutants --no-shuffle --colors never --test-tool nextest")
        .arg("--timeout")
        .arg(TIMEOUT_SECONDS)
        .arg("--jobs")
        .arg(options.jobs.to_string())
        // One failure decides: what else runs at that moment need not end.
        .arg("--cargo-test-arg=--max-fail=1:immediate")
        .arg("--output")
        .arg(output.display().to_string());
    let command = narrowed(command, subject);
    let command = if options.again { command.arg("--iterate") } else { command };
    match &options.filter {
        Some(filter) => command.arg("--re").arg(filter),
        None => command,
    }
}

/// cargo-mutants' `outcomes.json`, as far as it is read.
#[derive(Debug, Deserialize)]
struct Written {
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: String,
}

/// `"Baseline"`, or `{"Mutant": {…}}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scenario {
    Mutant {
        #[serde(rename = "Mutant")]
        mutant: Mutant,
    },
    Baseline(String),
}

#[derive(Debug, Deserialize)]
struct Mutant {
    /// `breaker/src/engine/time.rs:30:13: replace + with - in place`.
    name: String,
}

fn read(text: &str) -> Result<Outcomes, Failure> {
    let written: Written = serde_json::from_str(text)?;
    let mut outcomes = Outcomes::new();
    for Outcome { scenario, summary } in written.outcomes {
        match scenario {
            Scenario::Mutant { mutant } => {
                outcomes.insert(mutant.name, summary);
            }
            Scenario::Baseline(name) if summary != "Success" => {
                return Err(format!("{name}: the tests fail without any mutant").into());
            }
            Scenario::Baseline(_) => {}
        }
    }
    Ok(outcomes)
}

/// The mutant's name without its line and column, which move with every edit.
fn without_place(name: &str) -> String {
    match name.split_once(": ") {
        Some((place, what)) => {
            let file = place.split(':').next().unwrap_or_default();
            format!("{file}: {what}")
        }
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_survivors_named_without_their_line() {
        let one = |name: &str, summary: &str| {
            format!(
                r#"{{"scenario":{{"Mutant":{{"name":"{name}","package":"p"}}}},"summary":"{summary}"}}"#
            )
        };
        let text = format!(
            r#"{{"outcomes":[{{"scenario":"Baseline","summary":"Success"}},{},{},{},{}],"missed":1}}"#,
            one("b/src/a.rs:1:2: replace + with - in f", "CaughtMutant"),
            one("b/src/a.rs:1:2: replace + with * in f", "MissedMutant"),
            one("b/src/a.rs:2:2: replace f -> u64 with 1", "Timeout"),
            one("b/src/a.rs:2:2: replace f -> u64 with Default::default()", "Unviable"),
        );
        let tally = Tally::of(&read(&text).expect("it parses")).expect("all are known");
        assert_eq!(tally.missed, ["b/src/a.rs: replace + with * in f"]);
        assert_eq!((tally.caught, tally.timed_out, tally.unviable), (1, 1, 1));
        assert!((tally.share() - 2.0 / 3.0).abs() < 1e-9);
        let failed = r#"{"outcomes":[{"scenario":"Baseline","summary":"Failure"}]}"#;
        assert!(read(failed).is_err());
    }

    #[test]
    fn mutants_of_lines_that_changed_are_forgotten_and_none_is_missing() {
        let known = ["b/src/a.rs:1:2: one", "b/src/a.rs:9:9: gone"];
        let mut outcomes: Outcomes =
            known.map(|name| (name.to_owned(), "CaughtMutant".to_owned())).into();
        assert!(whole(&mut outcomes, "b/src/a.rs:1:2: one\n", &SUBJECTS[0]).is_ok());
        assert_eq!(outcomes.len(), 1);
        let listed = "b/src/a.rs:1:2: one\nb/src/a.rs:3:3: new\n";
        assert!(whole(&mut outcomes, listed, &SUBJECTS[0]).is_err());
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
        for subject in SUBJECTS {
            for file in subject.files {
                let file = file.trim_end_matches("/*");
                let path = root.join(subject.folder).join("src").join(file);
                assert!(path.is_dir() || path.with_extension("rs").is_file(), "{path:?}");
            }
        }
    }
}
