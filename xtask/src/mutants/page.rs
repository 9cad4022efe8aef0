//! `docs/MUTANTS.md`: the counts are written by the command, the reasons by people, and each crate has its section.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::{SUBJECTS, Subject, Tally};
use crate::Failure;
use crate::command::output;
use crate::workspace::Workspace;

const FILE: &str = "docs/MUTANTS.md";

const HEAD: &str = "# Mutants\n\n\
    `cargo xtask mutants [CRATE]` changes the pure files of a crate, one operator, value or function body at a time, and runs the \
    crate's tests on each change. A mutant that no test notices is a line that nothing holds in place. The command writes the \
    counts; people write why a survivor survives, and the command keeps that as long as it does.\n";

/// What a survivor's row says before somebody has thought about it.
const UNEXPLAINED: &str = "**not explained yet**";

/// The page, one section a crate, in the order of the crates.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    sections: BTreeMap<usize, Section>,
}

/// What is known of one crate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section {
    folder: String,
    counts: String,
    /// Mutants that survived, and why.
    survivors: Vec<(String, String)>,
}

impl Section {
    /// A section with today's counts; its survivors are not explained yet.
    pub(super) fn new(subject: &Subject, tally: &Tally) -> Result<Self, Failure> {
        let mut date = Command::new("date");
        date.args(["-u", "+%Y-%m-%d"]);
        let date = output(date, "date")?;
        let files: Vec<String> = subject.files.iter().map(|file| format!("`{file}`")).collect();
        let counts = format!(
            "`cargo xtask mutants {}` on {}, files {}: {} caught, {} timed out, {} missed, {} do not compile; **{:.1} % caught**.",
            subject.folder,
            date.trim(),
            files.join(", "),
            tally.caught,
            tally.timed_out,
            tally.missed.len(),
            tally.unviable,
            tally.share() * 100.0,
        );
        let survivors = tally.missed.iter().map(|name| (name.clone(), UNEXPLAINED.to_owned()));
        Ok(Self { folder: subject.folder.to_owned(), counts, survivors: survivors.collect() })
    }

    fn parse(folder: &str, text: &str) -> Self {
        let rows = text.lines().filter_map(|line| line.strip_prefix("* `"));
        let survivors = rows.filter_map(|row| row.split_once("`: "));
        let counts = text.lines().find(|line| line.starts_with("`cargo")).unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            counts: counts.to_owned(),
            survivors: survivors.map(|(name, why)| (name.to_owned(), why.to_owned())).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("\n## {}\n\n{}\n", self.folder, self.counts);
        if !self.survivors.is_empty() {
            text.push_str("\nThose that survive:\n\n");
        }
        for (name, why) in &self.survivors {
            let _ = writeln!(text, "* `{name}`: {why}");
        }
        text
    }
}

impl Page {
    /// The page as it stands; empty where there is none.
    ///
    /// # Errors
    /// Fails where it is there and cannot be read.
    pub(super) fn read(workspace: &Workspace) -> Result<Self, Failure> {
        let path = workspace.root.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        Ok(Self::parse(&fs::read_to_string(path)?))
    }

    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        for section in text.split("\n## ").skip(1) {
            let (folder, text) = section.split_once('\n').unwrap_or((section, ""));
            page.insert(Section::parse(folder, text));
        }
        page
    }

    fn insert(&mut self, section: Section) {
        let place = SUBJECTS.iter().position(|subject| subject.folder == section.folder);
        self.sections.insert(place.unwrap_or(SUBJECTS.len()), section);
    }

    /// Puts a crate's section in the place of its former one, whose reasons it takes over; whether every
    /// survivor has one.
    pub(super) fn replace(&mut self, mut section: Section) -> bool {
        let former = self.sections.values().find(|former| former.folder == section.folder);
        let mut known = former.map(|former| former.survivors.clone()).unwrap_or_default();
        for (name, why) in &mut section.survivors {
            // Two mutants may have one name: each takes one reason.
            if let Some(place) = known.iter().position(|(known, _)| known == name) {
                *why = known.remove(place).1;
            }
        }
        let explained = section.survivors.iter().all(|(_, why)| why != UNEXPLAINED);
        self.insert(section);
        explained
    }

    fn text(&self) -> String {
        self.sections.values().fold(HEAD.to_owned(), |text, section| text + &section.text())
    }

    /// Writes it.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub(super) fn write(&self, workspace: &Workspace) -> Result<(), Failure> {
        fs::write(workspace.root.join(FILE), self.text())?;
        eprintln!("wrote {FILE}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(missed: &[&str]) -> Tally {
        let missed: Vec<String> = missed.iter().map(|name| (*name).to_owned()).collect();
        Tally { caught: 9, missed_at: missed.clone(), missed, ..Tally::default() }
    }

    #[test]
    fn reasons_stay_with_their_survivors_and_sections_with_their_crates() {
        let mut page = Page::default();
        let mut cache = Section::new(&SUBJECTS[2], &tally(&["a", "b", "b"])).expect("a date");
        cache.survivors[0].1 = "the same `x: y` by another way".to_owned();
        cache.survivors[1].1 = "only slower".to_owned();
        assert!(!page.replace(cache), "the second b has no reason");
        assert!(page.replace(Section::new(&SUBJECTS[0], &tally(&[])).expect("a date")));
        let read = Page::parse(&page.text());
        assert_eq!(read, page);

        let mut page = read;
        let again = Section::new(&SUBJECTS[2], &tally(&["b", "a"])).expect("a date");
        assert!(page.replace(again));
        let text = page.text();
        assert!(text.contains("* `a`: the same `x: y` by another way\n"), "{text}");
        assert!(text.contains("* `b`: only slower\n"), "{text}");
        assert!(text.find("## breaker") < text.find("## cache"), "{text}");
        let new = Section::new(&SUBJECTS[2], &tally(&["c"])).expect("a date");
        assert!(!page.replace(new), "c has no reason");
    }
}
