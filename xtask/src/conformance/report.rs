//! All outcomes side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::suite::{Outcome, Problem};
use super::{SETS, Side, Way};
use crate::Failure;
use crate::document::Document;
use crate::table::{Align, layout};

/// What every run found.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: BTreeMap<(&'static str, Side, String), Row>,
}

#[derive(Debug, Default)]
struct Row {
    is_scored: bool,
    cells: BTreeMap<Way, Cell>,
}

/// One scenario on one way, all rounds.
#[derive(Debug, Default, Serialize)]
struct Cell {
    rounds: u32,
    failed: u32,
    warned: u32,
    /// Checks that passed, in the round where fewest did.
    passed: usize,
    /// Each check's problem once.
    problems: Vec<Problem>,
}

impl Cell {
    /// How bad it is.
    fn grade(&self) -> u8 {
        match self {
            Self { failed: 1.., .. } => 2,
            Self { warned: 1.., .. } => 1,
            _ => 0,
        }
    }

    fn text(&self) -> String {
        let (word, count) = match self.grade() {
            2 => ("FAILED", self.failed),
            1 => ("warned", self.warned),
            _ => return format!("ok {}", self.passed),
        };
        match self.rounds {
            1 => word.to_owned(),
            rounds => format!("{word} {count}/{rounds}"),
        }
    }
}

impl Row {
    fn grade(&self, way: Way) -> u8 {
        self.cells.get(&way).map_or(2, Cell::grade)
    }

    /// Whether a way through the gateway is worse than direct, where there is a direct one.
    fn is_worse(&self, side: Side) -> bool {
        let ways = Way::ALL.into_iter();
        side == Side::Server
            && ways.into_iter().any(|way| self.grade(way) > self.grade(Way::Direct))
    }

    /// Whether it says nothing against the gateway or the listener.
    fn holds(&self, side: Side) -> bool {
        let passes = side.ways().iter().all(|way| self.grade(*way) < 2);
        !self.is_worse(side) && (passes || !self.is_scored)
    }
}

impl Report {
    /// Adds what one run found.
    pub(super) fn add(&mut self, set: &'static str, side: Side, way: Way, outcome: Outcome) {
        let row = self.rows.entry((set, side, outcome.scenario)).or_default();
        row.is_scored |= outcome.is_scored;
        let cell = row.cells.entry(way).or_default();
        cell.passed =
            if cell.rounds == 0 { outcome.passed } else { cell.passed.min(outcome.passed) };
        cell.rounds += 1;
        cell.failed += u32::from(outcome.problems.iter().any(|problem| !problem.is_warning));
        cell.warned += u32::from(outcome.problems.iter().any(|problem| problem.is_warning));
        for problem in outcome.problems {
            if !cell.problems.iter().any(|known| known.check == problem.check) {
                cell.problems.push(problem);
            }
        }
    }

    /// Whether every scored scenario passes on every way, and nothing is worse through the gateway.
    pub(super) fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|((_, side, _), row)| row.holds(*side))
    }

    /// The table, what is in the way, and the sums.
    pub(super) fn text(&self) -> String {
        let mut text = layout(&Self::head(), &self.table());
        text.push_str(&self.problems());
        text.push_str(&self.sums());
        text
    }

    fn head() -> Vec<(&'static str, Align)> {
        let ways = Way::ALL.map(|way| (way.name(), Align::Left));
        ["revision", "under test", "scenario"]
            .map(|it| (it, Align::Left))
            .into_iter()
            .chain(ways)
            .collect()
    }

    fn table(&self) -> Vec<Vec<String>> {
        let row = |((set, side, scenario), row): (&(&str, Side, String), &Row)| {
            let mark = if row.is_scored { "" } else { " (not scored)" };
            let cells = Way::ALL.map(|way| match row.cells.get(&way) {
                Some(cell) => cell.text(),
                None if side.ways().contains(&way) => "missing".to_owned(),
                None => String::new(),
            });
            let names = [(*set).to_owned(), side.name().to_owned(), format!("{scenario}{mark}")];
            names.into_iter().chain(cells).collect()
        };
        self.rows.iter().map(row).collect()
    }

    fn problems(&self) -> String {
        let mut text = String::new();
        for ((set, side, scenario), row) in &self.rows {
            let told: BTreeSet<&str> = row
                .cells
                .get(&Way::Direct)
                .map(|cell| cell.problems.iter().map(|problem| problem.check.as_str()).collect())
                .unwrap_or_default();
            for (way, cell) in &row.cells {
                for problem in &cell.problems {
                    if *way != Way::Direct && told.contains(problem.check.as_str()) {
                        continue; // as it is direct
                    }
                    let message: String = problem.message.chars().take(240).collect();
                    let _ = writeln!(
                        text,
                        "\n{set} {} {scenario}, {}: {}\n    {}",
                        side.name(),
                        way.name(),
                        problem.check,
                        message.replace('\n', " ")
                    );
                }
            }
        }
        text
    }

    /// How many pass: each revision, each way, scored and not.
    fn sums(&self) -> String {
        let mut text = "\n".to_owned();
        for (set, side) in SETS.into_iter().flat_map(|set| Side::ALL.map(|side| (set, side))) {
            for is_scored in [true, false] {
                let rows = || {
                    let own = self.rows.iter().filter(move |((of, on, _), row)| {
                        (*of, *on, row.is_scored) == (set, side, is_scored)
                    });
                    own.map(|(_, row)| row)
                };
                let all = rows().count();
                if all == 0 {
                    continue;
                }
                let sums: Vec<String> = side
                    .ways()
                    .iter()
                    .map(|way| {
                        let passed = rows().filter(|row| row.grade(*way) < 2).count();
                        format!("{} {passed} of {all}", way.name())
                    })
                    .collect();
                let mark = if is_scored { "scored" } else { "not scored" };
                let _ = writeln!(text, "{set} {}, {mark}: {}", side.name(), sums.join(", "));
            }
        }
        let worse = self.rows.iter().filter(|((_, side, _), row)| row.is_worse(*side)).count();
        let _ = writeln!(text, "worse through the gateway than direct: {worse}");
        text
    }

    /// The page that is kept.
    ///
    /// # Errors
    /// As [`Document::new`].
    pub(super) fn document(
        &self,
        rounds: u32,
        servers: &str,
        version: &str,
    ) -> Result<Document, Failure> {
        let command = match (rounds, servers) {
            (1, "both") => "cargo xtask conformance --write".to_owned(),
            (rounds, "both") => format!("cargo xtask conformance --repeat {rounds} --write"),
            (rounds, era) => {
                format!("cargo xtask conformance --repeat {rounds} --servers {era} --write")
            }
        };
        let mut page = Document::new("CONFORMANCE.md", "Conformance", &command)?;
        page.add(&format!(
            "The official suite, `@modelcontextprotocol/conformance` {version}, run {rounds} time{} in a row. As a *server*: against \
             the fixture (`wire/examples/conformance`) direct, and through the gateway over HTTP and over stdio. As a *client*: \
             the suite's own servers, called through the gateway by a client over HTTP and over stdio. `ok 9` is a scenario \
             of which nine checks passed each time; `warned` says that a SHOULD is not met. Scenarios of OAuth are left \
             out: the gateway does not authorise itself at servers by a browser.",
            if rounds == 1 { "" } else { "s" }
        ));
        page.table(&Self::head(), &self.table());
        page.add(&self.sums().trim().replace('\n', "  \n"));
        Ok(page)
    }

    /// Every cell with its problems.
    ///
    /// # Errors
    /// Fails where it cannot be written as JSON, which nothing here leads to.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let row = |((set, side, scenario), row): (&(&str, Side, String), &Row)| {
            let cells: BTreeMap<&str, &Cell> =
                row.cells.iter().map(|(way, cell)| (way.name(), cell)).collect();
            serde_json::json!({
                "revision": set,
                "under_test": side.name(),
                "scenario": scenario,
                "scored": row.is_scored,
                "holds": row.holds(*side),
                "outcomes": cells,
            })
        };
        let rows: Vec<serde_json::Value> = self.rows.iter().map(row).collect();
        Ok(serde_json::to_string_pretty(&rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `o` passes, `w` warns, `x` fails.
    fn report(is_scored: bool, outcomes: [char; 3]) -> Report {
        let mut report = Report::default();
        for (way, letter) in Way::ALL.into_iter().zip(outcomes) {
            let problem = |is_warning| Problem {
                check: "check".to_owned(),
                is_warning,
                message: String::new(),
            };
            let problems = match letter {
                'w' => vec![problem(true)],
                'x' => vec![problem(false)],
                _ => Vec::new(),
            };
            let scenario = "ping".to_owned();
            report.add(
                SETS[0],
                Side::Server,
                way,
                Outcome { scenario, is_scored, passed: 1, problems },
            );
        }
        report
    }

    #[test]
    fn it_holds_where_the_gateway_is_as_good_and_what_is_scored_passes() {
        let cases = [
            (true, ['o', 'o', 'o'], true),
            (true, ['w', 'w', 'w'], true),
            (true, ['w', 'o', 'o'], true),
            (true, ['o', 'w', 'o'], false),
            (true, ['o', 'o', 'x'], false),
            (true, ['x', 'x', 'x'], false),
            (false, ['x', 'x', 'x'], true),
            (false, ['o', 'x', 'o'], false),
        ];
        for (is_scored, outcomes, holds) in cases {
            assert_eq!(report(is_scored, outcomes).holds(), holds, "{outcomes:?}");
        }
    }

    #[test]
    fn one_failed_round_of_many_is_seen() {
        let mut report = report(true, ['o', 'o', 'o']);
        let problem =
            Problem { check: "late".to_owned(), is_warning: false, message: "too late".to_owned() };
        let outcome = Outcome {
            scenario: "ping".to_owned(),
            is_scored: true,
            passed: 0,
            problems: vec![problem],
        };
        report.add(SETS[0], Side::Server, Way::Stdio, outcome);
        assert!(!report.holds());
        assert!(report.text().contains("FAILED 1/2"), "{}", report.text());
        assert!(report.text().contains("through stdio: late\n    too late"), "{}", report.text());
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(!Report::default().holds());
    }
}
