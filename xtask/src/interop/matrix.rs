//! What all runs together say: nothing may be worse through the gateway than direct.

use std::collections::{BTreeMap, BTreeSet};

use super::install::Place;
use super::peers::{CLIENTS, SERVERS, STEPS};
use super::runs::{Outcome, Run, Transport, Way};
use crate::Failure;
use crate::document::Document;
use crate::table::{Align, layout};

/// A client in its era, by its place in the list.
type Row = (usize, usize);

/// All runs.
#[derive(Debug, Default)]
pub(super) struct Matrix(BTreeMap<(Row, Way), BTreeMap<String, Outcome>>);

/// What a cell says of one way through the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// It is no better direct.
    Absent(String),
    Worse(String),
}

impl Matrix {
    /// Adds a run.
    pub(super) fn add(&mut self, run: Run) {
        let client =
            CLIENTS.iter().position(|it| it.name == run.client.name && it.era == run.client.era);
        let server = SERVERS.iter().position(|it| it.name == run.server.name);
        if let (Some(client), Some(server)) = (client, server) {
            self.0.insert(((server, client), run.way), run.steps);
        }
    }

    fn outcome(&self, row: Row, way: Way, step: &str) -> Outcome {
        let steps = self.0.get(&(row, way));
        let first = steps.and_then(|steps| steps.get("initialise"));
        match steps.and_then(|steps| steps.get(step)) {
            Some(outcome) => outcome.clone(),
            // Nothing can be tried on a connection that is not there.
            None => first.cloned().unwrap_or_else(|| Outcome::Failed("it was not run".to_owned())),
        }
    }

    /// How it is without the gateway: over the same transports, where the two share an era; else as the same client
    /// does in the era that they share.
    fn direct(&self, row: Row, transport: Transport, step: &str) -> Outcome {
        let (server, client) = row;
        let shares = SERVERS[server].eras.contains(&CLIENTS[client].era);
        let same = CLIENTS.iter().position(|it| {
            it.name == CLIENTS[client].name && SERVERS[server].eras.contains(&it.era)
        });
        match (shares, same) {
            (false, Some(other))
                if self.0.contains_key(&((server, other), Way::Direct(transport))) =>
            {
                self.outcome((server, other), Way::Direct(transport), step)
            }
            _ => self.outcome(row, Way::Direct(transport), step),
        }
    }

    fn verdict(&self, row: Row, near: Transport, far: Transport, step: &str) -> Verdict {
        let told = |outcome: &Outcome| match outcome {
            Outcome::Ok => None,
            Outcome::Absent(why) | Outcome::Failed(why) => Some(one_line(why)),
        };
        let Some(why) = told(&self.outcome(row, Way::Through(near, far), step)) else {
            return Verdict::Ok;
        };
        let direct = |transport| told(&self.direct(row, transport, step));
        let lacking = [near, far].into_iter().find_map(|transport| {
            let why = direct(transport)?;
            let everywhere = Transport::ALL.into_iter().all(|it| direct(it).as_ref() == Some(&why));
            let over =
                if everywhere { String::new() } else { format!(" over {}", transport.name()) };
            Some(format!("direct{over}, too: {why}"))
        });
        lacking.map_or(Verdict::Worse(why), Verdict::Absent)
    }

    fn rows(&self) -> BTreeSet<Row> {
        self.0.keys().map(|(row, _)| *row).collect()
    }

    /// Whether nothing is worse through the gateway than direct, and there was something.
    pub(super) fn holds(&self) -> bool {
        let rows = self.rows();
        let worse = |row: &Row| {
            ways().any(|(near, far)| {
                STEPS
                    .iter()
                    .any(|step| matches!(self.verdict(*row, near, far, step), Verdict::Worse(_)))
            })
        };
        !rows.is_empty() && !rows.iter().any(worse)
    }

    /// The cells, and what stands below the table.
    fn table(&self) -> (Vec<Vec<String>>, Vec<String>) {
        let mut notes: Vec<String> = Vec::new();
        let mut note = |text: String| {
            let place = notes.iter().position(|known| *known == text).unwrap_or_else(|| {
                notes.push(text);
                notes.len() - 1
            });
            place + 1
        };
        let mut table = Vec::new();
        for row in self.rows() {
            let (server, client) = row;
            let name = format!("{} {}", CLIENTS[client].name, CLIENTS[client].era.name());
            let mut cells = vec![SERVERS[server].name.to_owned(), name];
            for step in STEPS {
                let mut ok = Vec::new();
                let mut rest: BTreeMap<String, usize> = BTreeMap::new();
                for (near, far) in ways() {
                    match self.verdict(row, near, far, step) {
                        Verdict::Ok => ok.push(()),
                        Verdict::Absent(why) => {
                            *rest.entry(format!("n.a. ({})", note(why))).or_default() += 1;
                        }
                        Verdict::Worse(why) => {
                            let why = format!("{} to {}: {why}", near.name(), far.name());
                            *rest.entry(format!("FAILED ({})", note(why))).or_default() += 1;
                        }
                    }
                }
                let mut parts: Vec<String> = Vec::new();
                if rest.is_empty() {
                    parts.push("ok".to_owned());
                } else if !ok.is_empty() {
                    parts.push(format!("{} × ok", ok.len()));
                }
                parts.extend(rest.into_iter().map(|(text, count)| match count {
                    4 => text,
                    count => format!("{count} × {text}"),
                }));
                cells.push(parts.join(", "));
            }
            table.push(cells);
        }
        (table, notes)
    }

    /// The matrix for people at a terminal.
    pub(super) fn text(&self) -> String {
        let (table, notes) = self.table();
        let mut text = layout(&head(), &table);
        text.push('\n');
        for (number, note) in (1..).zip(&notes) {
            text.push_str(&format!("({number}) {note}\n"));
        }
        let failed = table.iter().flatten().filter(|cell| cell.contains("FAILED")).count();
        text.push_str(&format!("{} runs, {failed} cells worse than direct\n", self.0.len()));
        text
    }

    /// The matrix as a page.
    ///
    /// # Errors
    /// Fails where versions or the date cannot be had.
    pub(super) fn document(&self, place: &Place) -> Result<Document, Failure> {
        let mut page =
            Document::new("INTEROP.md", "Interoperation", "cargo xtask interop --write")?;
        page.add(
            "Clients and servers made with other people's SDKs, through the gateway. A cell says how a step went each of the four ways \
             that client and server can be joined (HTTP and stdio on either side): `ok` where it did all four ways. `n.a.` is what \
             the two cannot do without the gateway either, over one of the transports; the number names why. `FAILED` would be what they can do, and \
             could not through the gateway; the command ends with an error where there is one. A modern client of a server that is \
             legacy alone is measured by what the same client can do there in the legacy era. The servers speak both eras but for \
             server-everything; the gateway speaks to each in the newest that it knows, whatever the client speaks.",
        );
        let (table, notes) = self.table();
        page.table(&head(), &table);
        let notes: Vec<String> =
            (1..).zip(&notes).map(|(number, note)| format!("{number}. {note}")).collect();
        page.add(&notes.join("\n"));
        page.add("## Versions");
        let versions: Vec<Vec<String>> =
            place.versions()?.into_iter().map(|(name, version)| vec![name, version]).collect();
        page.table(&[("what", Align::Left), ("version", Align::Left)], &versions);
        page.add(&format!(
            "{} runs of a client, {} of them without the gateway.",
            self.0.len(),
            self.0.keys().filter(|(_, way)| matches!(way, Way::Direct(_))).count()
        ));
        Ok(page)
    }
}

fn head() -> [(&'static str, Align); 10] {
    let mut head = [("", Align::Left); 10];
    head[0].0 = "server";
    head[1].0 = "client";
    for (place, step) in STEPS.iter().enumerate() {
        head[place + 2].0 = step;
    }
    head
}

fn ways() -> impl Iterator<Item = (Transport, Transport)> {
    Transport::ALL
        .into_iter()
        .flat_map(|near| Transport::ALL.into_iter().map(move |far| (near, far)))
}

/// Long texts cut, lines joined.
fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::peers::Client;

    const HTTP: Transport = Transport::Http;
    const STDIO: Transport = Transport::Stdio;

    /// Server 1 (both eras) or 0 (legacy alone) with client 1 (legacy) or 2 (the same, modern); `call` alone.
    fn matrix(runs: &[(Row, Way, Outcome)]) -> Matrix {
        let steps = |outcome: &Outcome| {
            let of = |step: &str| match step {
                "call" => outcome.clone(),
                _ => Outcome::Ok,
            };
            STEPS.iter().map(|step| ((*step).to_owned(), of(step))).collect()
        };
        Matrix(runs.iter().map(|(row, way, outcome)| ((*row, *way), steps(outcome))).collect())
    }

    fn all(row: Row, direct: &Outcome, through: &Outcome) -> Vec<(Row, Way, Outcome)> {
        let direct = Transport::ALL.map(|it| (row, Way::Direct(it), direct.clone()));
        let through = ways().map(|(near, far)| (row, Way::Through(near, far), through.clone()));
        direct.into_iter().chain(through).collect()
    }

    #[test]
    fn what_is_worse_than_direct_fails_and_what_is_no_worse_does_not() {
        let failed = Outcome::Failed("why".to_owned());
        for (direct, through, holds, cell) in [
            (&Outcome::Ok, &Outcome::Ok, true, "ok"),
            (&failed, &failed, true, "n.a. (1)"),
            (&failed, &Outcome::Ok, true, "ok"),
        ] {
            let matrix = matrix(&all((1, 1), direct, through));
            assert_eq!((matrix.holds(), &*matrix.table().0[0][4]), (holds, cell));
        }
        let worse = matrix(&all((1, 1), &Outcome::Ok, &failed));
        assert!(!worse.holds());
        assert!(worse.text().contains("FAILED (1)"), "{}", worse.text());
        assert!(!Matrix::default().holds(), "nothing was run");
    }

    /// Names were told apart by where they are in memory, which is not one place for a constant: whole rows were missing from
    /// the table, and nobody missed them.
    #[test]
    fn every_client_has_a_row_with_every_server() {
        let mut matrix = Matrix::default();
        for (client, server) in CLIENTS.iter().flat_map(|it| SERVERS.iter().map(move |to| (it, to)))
        {
            // As a run has them that was made elsewhere.
            let client = Client { name: String::leak(client.name.to_owned()), ..*client };
            let (client, way) = (Box::leak(Box::new(client)), Way::Direct(HTTP));
            matrix.add(Run { client, server, way, steps: BTreeMap::new() });
        }
        assert_eq!(matrix.rows().len(), CLIENTS.len() * SERVERS.len());
    }

    #[test]
    fn a_client_of_another_era_is_measured_by_the_era_that_both_have() {
        let failed = Outcome::Failed("unsupported version".to_owned());
        let mut runs = all((0, 1), &Outcome::Ok, &Outcome::Ok);
        runs.extend(all((0, 2), &failed, &Outcome::Ok));
        assert!(matrix(&runs).holds());
        runs.retain(|(row, way, _)| (*row, *way) != ((0, 2), Way::Through(HTTP, STDIO)));
        runs.push(((0, 2), Way::Through(HTTP, STDIO), failed));
        assert!(!matrix(&runs).holds());
    }
}
