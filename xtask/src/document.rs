//! Pages under `docs/` that a command writes and nobody types.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::Failure;
use crate::command::output;
use crate::table::Align;
use crate::workspace::Workspace;

/// One page on its way to `docs/`.
#[derive(Debug)]
pub(crate) struct Document {
    file: &'static str,
    text: String,
}

impl Document {
    /// A page that `command` writes: its title, and when and on what it was run.
    ///
    /// # Errors
    /// Fails where the date or the compiler's version cannot be had.
    pub(crate) fn new(file: &'static str, title: &str, command: &str) -> Result<Self, Failure> {
        let mut date = Command::new("date");
        date.args(["-u", "+%Y-%m-%d"]);
        let date = output(date, "date")?;
        let mut rustc = Command::new("rustc");
        rustc.arg("--version");
        let rustc = output(rustc, "rustc --version")?;
        let text = format!(
            "# {title}\n\nWritten by `{command}` on {}, {}, {}. Not to be edited.\n",
            date.trim(),
            machine(),
            rustc.split('(').next().unwrap_or_default().trim(),
        );
        Ok(Self { file, text })
    }

    /// Adds a paragraph, a heading or a list.
    pub(crate) fn add(&mut self, text: &str) {
        let _ = write!(self.text, "\n{}\n", text.trim());
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, head: &[(&str, Align)], rows: &[Vec<String>]) {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(head.iter().map(|(name, _)| (*name).to_owned()).collect());
        text.push_str(&line(
            head.iter()
                .map(|(_, align)| match align {
                    Align::Left => "---".to_owned(),
                    Align::Right => "---:".to_owned(),
                })
                .collect(),
        ));
        for row in rows {
            text.push_str(&line(row.iter().map(|cell| cell.replace('|', "\\|")).collect()));
        }
        self.add(&text);
    }

    /// Writes it.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub(crate) fn write(&self, workspace: &Workspace) -> Result<(), Failure> {
        let folder = workspace.root.join("docs");
        fs::create_dir_all(&folder)?;
        let file = folder.join(self.file);
        fs::write(&file, &self.text).map_err(|error| format!("{}: {error}", file.display()))?;
        eprintln!("wrote docs/{}", self.file);
        Ok(())
    }
}

/// The processor and how many of it.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let model = model.unwrap_or(std::env::consts::ARCH).trim();
    format!("{cores} cores of {model}, {}", std::env::consts::OS)
}
