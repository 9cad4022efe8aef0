//! What `docs/PROTOCOL.md` calls a proof exists: tests, scenarios of the official suite, steps between SDKs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sources, Violation};

const PAGE: &str = "docs/PROTOCOL.md";
/// What proves more than one of our tests does: how it is written, and the page that has its results.
const ELSEWHERE: [(&str, &str); 2] =
    [("suite/", "docs/CONFORMANCE.md"), ("interop/", "docs/INTEROP.md")];

/// Checks every proof that the page names, and that each key of its tables stands for some.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    let Some(page) = sources.text(PAGE) else { return Vec::new() };
    let tests = tests(sources);
    let (mut defined, mut used) = (BTreeMap::new(), BTreeMap::new());
    let mut violations = Vec::new();
    for (number, line) in page.lines().enumerate() {
        let at = format!("{PAGE}:{}", number + 1);
        for proof in line.split('`').skip(1).step_by(2) {
            if !exists(proof, &tests, sources) {
                violations.push(Violation::new(
                    &at,
                    format!("names `{proof}`, which is no test"),
                    "name the test that shows this now, or write one",
                ));
            }
        }
        let mut cells = line.trim_matches(['|', ' ']).split('|').map(str::trim);
        let first = cells.next().filter(|cell| line.starts_with('|') && is_key(cell));
        if first.is_some_and(|key| defined.insert(key, at.clone()).is_some()) {
            violations.push(Violation::new(&at, "gives a key a second time", "take another"));
        }
        let rest = first.map_or(line, |key| &line[line.find(key).unwrap_or(0) + key.len()..]);
        let words = rest.split(|c: char| !c.is_ascii_alphanumeric());
        used.extend(words.filter(|word| is_key(word)).map(|word| (word, at.clone())));
    }
    for (key, at) in used.iter().filter(|(key, _)| !defined.contains_key(*key)) {
        let what = format!("uses the key {key}, which stands for nothing");
        violations.push(Violation::new(at, what, "add it to the table of proofs"));
    }
    for (key, at) in defined.iter().filter(|(key, _)| !used.contains_key(*key)) {
        let what = format!("gives the key {key}, which is not used");
        violations.push(Violation::new(at, what, "use it, or take it out"));
    }
    violations
}

/// A letter and a number, such as `E7`.
fn is_key(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && matches!(chars.as_str().len(), 1..=2)
        && chars.all(|c| c.is_ascii_digit())
}

/// Whether code in the page is no proof, or one that there is.
fn exists(code: &str, tests: &BTreeSet<String>, sources: &Sources) -> bool {
    for (prefix, page) in ELSEWHERE {
        if let Some(step) = code.strip_prefix(prefix) {
            let cell = |line: &str| {
                line.split('|').any(|cell| cell.trim().split(' ').next() == Some(step))
            };
            return sources.text(page).is_some_and(|text| text.lines().any(cell));
        }
    }
    let end = format!("::{code}");
    !code.contains("::") || tests.iter().any(|test| format!("::{test}").ends_with(&end))
}

/// All tests by their paths, the crate's folder first: `wire::listen::legacy::a_disconnect_is_no_cancellation`.
fn tests(sources: &Sources) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (path, text) in sources.texts().filter(|(path, _)| path.ends_with(".rs")) {
        let outer = ["src", "tests", "it", "mod", "main", "lib"];
        let parts: Vec<&str> =
            path.trim_end_matches(".rs").split('/').filter(|part| !outer.contains(part)).collect();
        let module = parts.join("::");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
                tests.insert(format!("{module}::{}", name.unwrap_or_default()));
                is_test = false;
            }
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{sources, told};
    use super::*;

    #[test]
    fn a_proof_that_is_none_is_told_with_its_line() {
        let page = "\
| duty | all |
| --- | --- |
| one | L1, U2 |
| two | 2026-07-28, L3 |

| key | test |
| --- | --- |
| L1 | `listen::legacy::it_works` |
| L2 | `legacy::it_works`, `listen::it_works`, `helper` |
| U2 | `upstream::a::helper`, `core::time::passes`, `suite/ping`, `suite/pin`, `interop/list` |
";
        let sources = sources(&[
            (PAGE, page),
            (
                "wire/tests/it/listen/legacy.rs",
                "#[tokio::test(start_paused = true)]\nasync fn it_works() {\n fn inner() {}\n}\n",
            ),
            ("wire/src/upstream/a.rs", "fn helper() {}\n"),
            ("core/src/time.rs", "#[cfg(test)]\nmod tests {\n    #[test]\n    fn passes() {}\n}\n"),
            ("docs/CONFORMANCE.md", "| 2025-11-25 | server | ping (not scored) | ok 2 |\n"),
            ("docs/INTEROP.md", "| server | client | initialise | list |\n"),
        ]);
        assert_eq!(
            told(&check(&sources)),
            [
                "docs/PROTOCOL.md:9: names `listen::it_works`, which is no test",
                "docs/PROTOCOL.md:10: names `upstream::a::helper`, which is no test",
                "docs/PROTOCOL.md:10: names `suite/pin`, which is no test",
                "docs/PROTOCOL.md:4: uses the key L3, which stands for nothing",
                "docs/PROTOCOL.md:9: gives the key L2, which is not used",
            ]
        );
    }
}
