//! `cargo xtask faultmatrix`: what must survive, the tests that prove it, and what they measured.

mod outcome;
mod rows;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::outcome::{Measured, Outcome};
use self::rows::{RELEASED, ROWS, Released, Row};
use crate::Failure;
use crate::command::Cargo;
use crate::document::Document;
use crate::table::{Align, layout};
use crate::workspace::Workspace;

/// Tells a test to run at its full length, not at that of ci.
const FULL: &str = "TOOLWEIR_FULL";

/// What of it is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Writes the rows to FILE: id, name, figure, target, met
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Runs this row alone; may be given again for another
    #[arg(long = "row", value_name = "ID")]
    rows: Vec<String>,
    /// Runs each test at the length that it has in ci
    #[arg(long)]
    quick: bool,
    /// Writes docs/FAULTS.md; every row must have been run
    #[arg(long, conflicts_with_all = ["rows", "quick"])]
    write: bool,
}

/// One row as it came out.
#[derive(Debug, PartialEq, Serialize)]
struct Judged {
    id: &'static str,
    name: &'static str,
    figure: String,
    target: &'static str,
    met: bool,
}

/// Runs the tests of every row and prints the table; whether every row met its target.
///
/// # Errors
/// Fails where no row has an id asked for, or something does not build.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let rows = chosen(&options.rows)?;
    let command = command(&rows, options.quick);
    eprintln!("{command}");
    let mut text = ran(&command, workspace)?;
    let is_chosen = |it: &&Released| !options.quick && rows.iter().any(|row| row.id == it.row);
    for it in RELEASED.iter().filter(is_chosen) {
        let command = released(it);
        eprintln!("{command}");
        text.push('\n');
        text.push_str(&ran(&command, workspace)?);
    }
    let outcome = Outcome::read(&text);
    for test in outcome.failed() {
        eprintln!("FAILED {test}");
    }
    let results: Vec<Judged> = rows.iter().map(|row| judge(row, &outcome)).collect();
    println!("\n{}", layout(&HEAD, &cells(&results)));
    let met = results.iter().filter(|result| result.met).count();
    println!("{met} of {} rows met", results.len());
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&results)? + "\n";
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if options.write {
        document(&results)?.write(workspace)?;
    }
    Ok(met == results.len())
}

/// What the tests print; some must have been run.
fn ran(command: &Cargo, workspace: &Workspace) -> Result<String, Failure> {
    let (succeeded, text) = command.captured(&workspace.root)?;
    if Outcome::read(&text).is_empty() {
        let state = if succeeded { "ran no test" } else { "failed before any test ran" };
        return Err(format!("`{command}` {state}").into());
    }
    Ok(text)
}

fn chosen(ids: &[String]) -> Result<Vec<&'static Row>, Failure> {
    if let Some(unknown) = ids.iter().find(|id| ROWS.iter().all(|row| row.id != **id)) {
        let known: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
        return Err(format!("no row {unknown:?}; there are {}", known.join(", ")).into());
    }
    Ok(ROWS.iter().filter(|row| ids.is_empty() || ids.iter().any(|id| id == row.id)).collect())
}

/// The tests of all rows in one run, built as `cargo xtask ci` builds them.
fn command(rows: &[&Row], quick: bool) -> Cargo {
    let mut command =
        Cargo::new("test --locked --workspace --all-features --test it --no-fail-fast");
    if !quick {
        command = command.env(FULL, "1");
    }
    command = command.arg("--").arg("--show-output");
    for test in rows.iter().flat_map(|row| row.proofs) {
        command = command.arg(*test);
    }
    command
}

/// The same of one test in a release build.
fn released(it: &Released) -> Cargo {
    Cargo::new("test --locked --release --test it --package")
        .arg(it.package)
        .env(FULL, "1")
        .arg("--")
        .arg("--show-output")
        .arg("--exact")
        .arg(it.test)
}

fn judge(row: &Row, outcome: &Outcome) -> Judged {
    let mut measured = Measured::default();
    for test in row.proofs {
        measured.add(test, outcome);
    }
    measured.add_figures(row.id, outcome);
    let Row { id, name, target, .. } = *row;
    Judged { id, name, figure: measured.to_string(), target, met: measured.met() }
}

const HEAD: [(&str, Align); 5] = [
    ("#", Align::Right),
    ("fault", Align::Left),
    ("measured", Align::Left),
    ("target", Align::Left),
    ("met", Align::Left),
];

fn cells(results: &[Judged]) -> Vec<Vec<String>> {
    let line = |result: &Judged| {
        vec![
            result.id.to_owned(),
            result.name.to_owned(),
            result.figure.clone(),
            result.target.to_owned(),
            if result.met { "yes" } else { "NO" }.to_owned(),
        ]
    };
    results.iter().map(line).collect()
}

fn document(results: &[Judged]) -> Result<Document, Failure> {
    let mut page = Document::new("FAULTS.md", "Faults", "cargo xtask faultmatrix --write")?;
    page.add(
        "What must survive, and what was measured. Each row is proven by tests that also run in `cargo xtask ci`, there \
         with smaller numbers; `xtask/src/faultmatrix/rows.rs` names them. Where a figure tells only how many tests \
         passed, what holds is stated in the target and asserted there.",
    );
    page.table(&HEAD, &cells(results));
    let met = results.iter().filter(|result| result.met).count();
    page.add(&format!("{met} of {} rows met.", results.len()));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_id_stands_twice_and_every_row_has_a_proof() {
        let ids: BTreeSet<&str> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| !row.proofs.is_empty()));
    }

    #[test]
    fn one_command_runs_all_rows() {
        let row = |proofs| Row { id: "1", name: "", target: "", proofs };
        let (one, two) = (row(&["x", "y"]), row(&["z"]));
        let shown = command(&[&one, &two], false).to_string();
        assert!(shown.starts_with("TOOLWEIR_FULL=1 cargo test ") && shown.ends_with(" x y z"));
        assert!(!command(&[&one], true).to_string().contains(FULL));
        assert!(chosen(&["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn what_is_told_as_released_is_a_proof_of_its_row() {
        for it in RELEASED {
            let row = ROWS.iter().find(|row| row.id == it.row).expect("it is a row");
            assert!(row.proofs.iter().any(|proof| it.test.contains(proof)), "{}", it.test);
            let shown = released(it).to_string();
            assert!(shown.starts_with("TOOLWEIR_FULL=1 cargo test "), "{shown}");
            assert!(shown.contains("--release") && shown.ends_with(it.test), "{shown}");
        }
    }

    #[test]
    fn a_row_is_met_where_all_its_tests_ran_and_passed() {
        let row = Row { id: "7", name: "n", target: "t", proofs: &["bombs"] };
        let judged = |text: &str| {
            let judged = judge(&row, &Outcome::read(text));
            (judged.figure, judged.met)
        };
        let figure = r#"@fault {"id":"7","figure":"5 MB in 9 ms","met":true}"#;
        let missed = r#"@fault {"id":"7","figure":"9 s","met":false}"#;
        let other = r#"@fault {"id":"8","figure":"of another row","met":false}"#;
        let ok = "test wire::bombs ... ok\n";
        for (text, told, met) in [
            (ok.to_owned(), "1 test", true),
            (format!("{ok}test a::bombs_too ... ok\n"), "2 tests", true),
            (format!("{ok}{figure}\n{other}\n"), "5 MB in 9 ms", true),
            (format!("{ok}{figure}\n{missed}\n"), "5 MB in 9 ms; 9 s", false),
            ("test wire::bombs ... FAILED\n".to_owned(), "wire::bombs failed", false),
            ("test wire::else ... ok\n".to_owned(), "bombs did not run", false),
        ] {
            assert_eq!(judged(&text), (told.to_owned(), met), "{text}");
        }
    }
}
