//! The commands that need no client: `list`, `call`, and `check` on mistakes.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::super::install::Place;
use super::super::rows::Rows;
use super::servers::{CONFIG, SERVERS};
use super::{containing, ensure};
use crate::Failure;
use crate::processes;

pub(super) fn commands(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let run = |arguments: &[&str]| {
        let mut command = place.toolweir();
        command.args(arguments).arg("--config").arg(place.file(CONFIG));
        processes::run(&mut command, Duration::from_secs(150))
    };
    rows.check("commands.check", "`toolweir check` accepts the example", || {
        let output = run(&["check"])?;
        let said = String::from_utf8(output.stdout)?;
        ensure(output.status.success(), || format!("{}: {said}", output.status))?;
        containing(&said, "5 servers")
    });
    rows.check("commands.list", "`toolweir list --json` shows every server healthy", || {
        let output = run(&["list", "--json"])?;
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        ensure(output.status.success(), || format!("{}: {listed}", output.status))?;
        let servers = listed["servers"].as_array().map_or(0, Vec::len);
        ensure(servers == SERVERS.len(), || format!("{servers} servers"))?;
        Ok(format!("{servers} servers"))
    });
    rows.check("commands.call", "`toolweir call` calls a tool", || {
        let output =
            run(&["call", "everything__get-sum", "--tool-arg", "a=2", "--tool-arg", "b=40"])?;
        let said = String::from_utf8(output.stdout)?;
        ensure(output.status.success(), || format!("{}: {said}", output.status))?;
        containing(&said, "42")
    });
    Ok(())
}

pub(super) fn broken(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let folder = place.file("facade/tests/broken");
    let mut names: Vec<String> = fs::read_dir(&folder)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".jsonc"))
        .collect();
    names.sort();
    ensure(!names.is_empty(), || format!("{} is empty", folder.display()))?;
    for name in &names {
        let id = format!("configs.{}", name.trim_end_matches(".jsonc"));
        rows.check(id, "exit 6, the place, no panic", || {
            let mut command = place.toolweir();
            command.args(["check", "--config", name]).current_dir(&folder);
            let output = processes::run(&mut command, Duration::from_secs(10))?;
            let told = String::from_utf8(output.stderr)?;
            ensure(output.status.code() == Some(6), || format!("{}: {told}", output.status))?;
            ensure(!told.contains("panicked"), || told.clone())?;
            let place = told.lines().find_map(|line| place_of(line, name));
            let place = place.ok_or_else(|| format!("no place is told: {told}"))?;
            Ok(format!("{place}: {}", told.lines().next().unwrap_or_default()))
        });
    }
    Ok(())
}

/// `name:line:column` where `line` tells it.
fn place_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let place = line.trim_start().strip_prefix("--> ")?;
    let numbers = place.strip_prefix(name)?.strip_prefix(':')?;
    let (row, column) = numbers.split_once(':')?;
    (row.parse::<u32>().is_ok() && column.parse::<u32>().is_ok()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_a_line_and_a_column() {
        assert_eq!(place_of(" --> a.jsonc:1:40", "a.jsonc"), Some("a.jsonc:1:40"));
        assert_eq!(place_of(" --> a.jsonc:1", "a.jsonc"), None);
        assert_eq!(place_of("error: a.jsonc:1:40", "a.jsonc"), None);
    }
}
