//! What a run of tests printed.

use std::fmt;

use serde::Deserialize;

/// Starts a line by which a test tells a row's figure.
const MARK: &str = "@fault ";

/// What the tests came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    tests: Vec<(String, bool)>,
    figures: Vec<Figure>,
}

/// What a test measured for a row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    id: String,
    figure: String,
    met: bool,
}

impl Outcome {
    /// Reads what the standard test harness prints; what is neither a result nor a figure is passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            if let Some(figure) = line.strip_prefix(MARK) {
                outcome.figures.push(serde_json::from_str(figure).unwrap_or_else(|error| Figure {
                    id: String::new(),
                    figure: format!("{figure}: {error}"),
                    met: false,
                }));
            } else if let Some((name, result)) =
                line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... "))
            {
                match result {
                    "ok" => outcome.tests.push((name.to_owned(), true)),
                    "FAILED" => outcome.tests.push((name.to_owned(), false)),
                    _ => {}
                }
            }
        }
        outcome
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    pub(super) fn failed(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().filter(|(_, passed)| !passed).map(|(name, _)| name.as_str())
    }
}

/// What is known of a row.
#[derive(Debug, Default)]
pub(super) struct Measured {
    passed: usize,
    figures: Vec<String>,
    /// What stands in the way.
    problems: Vec<String>,
    missed: bool,
}

impl Measured {
    /// The tests whose names hold `test`.
    pub(super) fn add(&mut self, test: &str, outcome: &Outcome) {
        let mut ran = false;
        for (name, passed) in outcome.tests.iter().filter(|(name, _)| name.contains(test)) {
            ran = true;
            if *passed {
                self.passed += 1;
            } else {
                self.problems.push(format!("{name} failed"));
            }
        }
        if !ran {
            self.problems.push(format!("{test} did not run"));
        }
    }

    /// The figures that are told of the row.
    pub(super) fn add_figures(&mut self, id: &str, outcome: &Outcome) {
        for figure in outcome.figures.iter().filter(|figure| figure.id == id) {
            self.figures.push(figure.figure.clone());
            self.missed |= !figure.met;
        }
    }

    pub(super) fn met(&self) -> bool {
        self.problems.is_empty() && !self.missed
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.problems.is_empty() {
            return f.write_str(&self.problems.join("; "));
        }
        if self.figures.is_empty() {
            let s = if self.passed == 1 { "" } else { "s" };
            return write!(f, "{} test{s}", self.passed);
        }
        f.write_str(&self.figures.join("; "))
    }
}
