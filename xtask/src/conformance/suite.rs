//! One run of the suite, and what it found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Side;
use super::install::Suite;
use super::programs::Program;
use crate::Failure;

/// How long the suite may say nothing.
const SILENCE: Duration = Duration::from_secs(90);

/// One scenario's outcome in one run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) scenario: String,
    pub(super) is_scored: bool,
    pub(super) passed: usize,
    /// Checks that warned or failed.
    pub(super) problems: Vec<Problem>,
}

/// A check that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) check: String,
    /// A SHOULD that is not met; a scenario passes all the same.
    pub(super) is_warning: bool,
    pub(super) message: String,
}

/// A check as the suite writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    id: String,
    status: String,
    error_message: Option<String>,
}

impl Suite {
    /// Runs what the revision `set` requires against `url`, or one scenario of it.
    ///
    /// # Errors
    /// Fails where the suite cannot be run or leaves no results.
    pub(super) fn run(
        &self,
        url: &str,
        set: &str,
        only: Option<&str>,
    ) -> Result<Vec<Outcome>, Failure> {
        // The suite's test of foreign hosts wants a name.
        let url = url.replace("127.0.0.1", "localhost");
        let mut command = self.command();
        command.args(["server", "--url", &url]);
        match only {
            None => command.args(["--requirements", set]),
            Some(only) => command.args(["--spec-version", set, "--scenario", only]),
        };
        let mut found = self.finish(command, Side::Server)?;
        let wanted = |scenario: &str| only.is_none_or(|only| only == scenario);
        let mut outcomes = Vec::new();
        let requirements = self.requirements(set)?;
        for scenario in scored(&requirements, Side::Server).into_iter().filter(|it| wanted(it)) {
            // One that left nothing did not run: not every scenario is of every revision.
            let checks = match found.remove(&scenario) {
                Some(checks) => checks,
                None if only.is_some() => continue,
                None => missing(),
            };
            outcomes.push(outcome(scenario, true, checks));
        }
        // Where the suite itself skips every check, it says nothing yet.
        let says_something = |checks: &[Check]| checks.iter().any(|it| it.status != "SKIPPED");
        let others = found.into_iter().filter(|(_, checks)| says_something(checks));
        outcomes.extend(others.map(|(name, checks)| outcome(name, false, checks)));
        Ok(outcomes)
    }

    /// Lets the suite's own servers be called by `client`, and judge the calls: in the scenarios that the revision `set`
    /// requires of a client, or in one of them. Those of OAuth are left out: it is not the gateway that authorises.
    ///
    /// # Errors
    /// Fails where the suite cannot be run or leaves no results.
    pub(super) fn run_client(
        &self,
        client: &str,
        set: &str,
        only: Option<&str>,
    ) -> Result<Vec<Outcome>, Failure> {
        let requirements = self.requirements(set)?;
        let scored = scored(&requirements, Side::Client).into_iter().map(|name| (name, true));
        let others = not_scored(&requirements, Side::Client).into_iter().map(|name| (name, false));
        let mut outcomes = Vec::new();
        for (scenario, is_scored) in scored.chain(others) {
            if scenario.starts_with("auth/") || only.is_some_and(|only| only != scenario) {
                continue;
            }
            let mut command = self.command();
            command.args(["client", "--command", client, "--spec-version", set]);
            command.args(["--scenario", &scenario]);
            let checks =
                self.finish(command, Side::Client)?.remove(&scenario).unwrap_or_else(missing);
            outcomes.push(outcome(scenario, is_scored, checks));
        }
        Ok(outcomes)
    }

    /// Runs the suite to its end and reads what it left.
    fn finish(
        &self,
        mut command: Command,
        side: Side,
    ) -> Result<BTreeMap<String, Vec<Check>>, Failure> {
        let results = self.folder.join("results");
        let _ = fs::remove_dir_all(&results);
        command.arg("--output-dir").arg(&results).stdout(Stdio::piped()).stderr(Stdio::null());
        if !Program::start(command)?.has_ended(SILENCE) {
            return Err(format!("the suite was silent for {} s", SILENCE.as_secs()).into());
        }
        read(&results, side)
    }

    fn requirements(&self, set: &str) -> Result<String, Failure> {
        Ok(fs::read_to_string(self.package().join(format!("requirements/{set}.yaml")))?)
    }
}

/// What stands for a scenario that did not run.
fn missing() -> Vec<Check> {
    vec![Check {
        id: "results".to_owned(),
        status: "FAILURE".to_owned(),
        error_message: Some("the scenario checked nothing".to_owned()),
    }]
}

fn outcome(scenario: String, is_scored: bool, mut checks: Vec<Check>) -> Outcome {
    let passed = checks.iter().filter(|check| check.status == "SUCCESS").count();
    if passed == 0 && checks.iter().all(|check| check.status != "FAILURE") {
        checks.extend(missing()); // nothing was seen, so nothing is proved
    }
    let problem = |check: Check| {
        let is_warning = match check.status.as_str() {
            "FAILURE" => false,
            "WARNING" => true,
            _ => return None,
        };
        let message = check.error_message.unwrap_or_default();
        Some(Problem { check: check.id, is_warning, message })
    };
    let problems = checks.into_iter().filter_map(problem).collect();
    Outcome { scenario, is_scored, passed, problems }
}

/// The results that a run left: one folder a scenario, `server-` its name `-` the time; without `server-` on the
/// client's side, and a folder within a folder where the name has a slash.
fn read(results: &Path, side: Side) -> Result<BTreeMap<String, Vec<Check>>, Failure> {
    let mut found: BTreeMap<String, Vec<Check>> = BTreeMap::new();
    let Ok(folders) = fs::read_dir(results) else { return Ok(found) };
    for folder in folders {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        let Some(scenario) = scenario(&name, side) else { continue };
        let checks = folder.path().join("checks.json");
        if !checks.exists() {
            continue; // it is not of this revision
        }
        let checks: Vec<Check> = serde_json::from_str(&fs::read_to_string(checks)?)?;
        found.entry(scenario.to_owned()).or_default().extend(checks);
    }
    Ok(found)
}

/// The scenario in a folder's name, which ends with `-2026-07-28T10-11-12-345Z`.
fn scenario(folder: &str, side: Side) -> Option<&str> {
    const TIME: usize = "-2026-07-28T10-11-12-345Z".len();
    let end = folder.len().checked_sub(TIME)?;
    let name = folder.get(..end)?;
    match side {
        Side::Server => name.strip_prefix("server-"),
        Side::Client => Some(name),
    }
}

/// The scenarios of one side that a file of requirements scores.
fn scored(requirements: &str, side: Side) -> Vec<String> {
    let head = if side == Side::Server { "server:" } else { "client:" };
    let lines = requirements.lines().skip_while(|line| *line != head).skip(1);
    let own = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    own.filter_map(|line| line.trim().strip_prefix("- ").map(str::to_owned)).collect()
}

/// Those that it only lets run.
fn not_scored(requirements: &str, side: Side) -> Vec<String> {
    let leg = if side == Side::Server { "leg: server" } else { "leg: client" };
    let mut found = Vec::new();
    let mut latest = None;
    for line in requirements.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- scenario: ") {
            latest = Some(name.to_owned());
        } else if line == leg {
            found.extend(latest.take());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_its_scenario() {
        let cases = [
            ("server-tools-list-2026-07-28T10-11-12-345Z", Some("tools-list")),
            ("server-server-stateless-2026-07-28T10-11-12-345Z", Some("server-stateless")),
            ("tools-list-2026-07-28T10-11-12-345Z", None),
            ("summary", None),
        ];
        for (folder, expected) in cases {
            assert_eq!(scenario(folder, Side::Server), expected, "{folder}");
        }
    }

    #[test]
    fn what_is_scored_stands_under_its_side() {
        let text = "# head\nserver:\n  - ping\n\n  # why\n  - tools-list\nclient:\n  - auth/x\n";
        assert_eq!(scored(text, Side::Server), ["ping", "tools-list"]);
        assert_eq!(scored(text, Side::Client), ["auth/x"]);
        let text = "not_scored:\n  - scenario: a\n    leg: server\n    reason: r\n  - scenario: b\n    leg: client\n";
        assert_eq!(not_scored(text, Side::Client), ["b"]);
        assert_eq!(not_scored(text, Side::Server), ["a"]);
    }

    #[test]
    fn warnings_are_no_failures_and_skipped_checks_are_nothing() {
        let check = |id: &str, status: &str| Check {
            id: id.to_owned(),
            status: status.to_owned(),
            error_message: None,
        };
        let checks = vec![
            check("a", "SUCCESS"),
            check("b", "WARNING"),
            check("c", "SKIPPED"),
            check("d", "FAILURE"),
        ];
        let outcome = outcome("ping".to_owned(), true, checks);
        let problems: Vec<_> =
            outcome.problems.iter().map(|it| (it.check.as_str(), it.is_warning)).collect();
        assert_eq!((outcome.passed, problems), (1, vec![("b", true), ("d", false)]));
    }
}
