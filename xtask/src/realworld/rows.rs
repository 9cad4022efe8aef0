//! What a run found: one row a check.

use serde::Serialize;

use crate::Failure;
use crate::command::timed;
use crate::table::{Align, layout};

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    /// Never changes, so that runs can be compared.
    id: String,
    /// What must hold.
    name: String,
    /// What was seen.
    detail: String,
    met: bool,
    /// How long it took.
    millis: u128,
}

/// All checks of a run, in order.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    /// Runs one check: what it saw if it holds, why it does not otherwise.
    pub(super) fn check(
        &mut self,
        id: impl Into<String>,
        name: impl Into<String>,
        check: impl FnOnce() -> Result<String, Failure>,
    ) {
        let (seen, took) = timed(check);
        let (detail, met) = match seen {
            Ok(detail) => (detail, true),
            Err(failure) => (failure.to_string(), false),
        };
        let (id, name, detail) = (id.into(), name.into(), one_line(&detail));
        let mark = if met { "ok  " } else { "MISS" };
        println!("{mark} {id}: {detail} ({:.1} s)", took.as_secs_f64());
        self.0.push(Row { id, name, detail, met, millis: took.as_millis() });
    }

    /// Notes that a whole group could not be had.
    pub(super) fn missing(&mut self, id: &str, name: &str, failure: &Failure) {
        self.check(id, name, || Err(format!("NOT TO BE HAD: {failure}").into()));
    }

    /// Whether every check holds, and there was one.
    pub(super) fn met(&self) -> bool {
        !self.0.is_empty() && self.missed() == 0
    }

    fn missed(&self) -> usize {
        self.0.iter().filter(|row| !row.met).count()
    }

    /// All rows as a table, the sum below.
    pub(super) fn table(&self) -> String {
        let cells = |row: &Row| {
            let met = if row.met { "yes" } else { "NO" };
            vec![row.id.clone(), row.name.clone(), row.detail.clone(), met.to_owned()]
        };
        let rows: Vec<_> = self.0.iter().map(cells).collect();
        let head = ["id", "what must hold", "seen", "met"].map(|name| (name, Align::Left));
        let (missed, count) = (self.missed(), self.0.len());
        format!(
            "{}\n{} of {count} rows met, {missed} missed\n",
            layout(&head, &rows),
            count - missed
        )
    }

    /// All rows for programs.
    ///
    /// # Errors
    /// Never in practice: rows are plain text.
    pub(super) fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(&serde_json::json!({ "met": self.met(), "rows": self.0 }))?)
    }
}

/// Long texts cut, lines joined: a row is one line.
fn one_line(text: &str) -> String {
    const MOST: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_met_only_when_every_row_is_and_there_is_one() {
        let mut rows = Rows::default();
        assert!(!rows.met());
        rows.check("a.b", "it works", || Ok("42".into()));
        assert!(rows.met());
        rows.check("a.c", "it works too", || Err("line one\nline two".into()));
        assert!(!rows.met());
        let table = rows.table();
        assert!(table.contains("a.c  it works too    line one line two  NO"), "{table}");
        assert!(table.ends_with("1 of 2 rows met, 1 missed\n"), "{table}");
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let cut = one_line(&"ä".repeat(200));
        assert_eq!(cut.chars().count(), 161);
        assert!(cut.ends_with('…'));
    }
}
