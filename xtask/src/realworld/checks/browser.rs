//! A routed request drives a browser to a page on loopback.

use std::fs;
use std::time::Duration;

use super::super::install::Place;
use super::super::rows::Rows;
use super::super::{page, processes};
use super::servers::CONFIG;
use super::{containing, ensure};
use crate::Failure;

pub(super) fn run(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let page = page::serve()?;
    rows.check("browser.route", "`toolweir route web_automation url=…` opens the page", || {
        let mut command = place.toolweir();
        command.args(["route", "web_automation", &format!("url=http://{page}/")]);
        command.arg("--config").arg(place.file(CONFIG));
        let output = processes::run(&mut command, Duration::from_secs(120))?;
        let (said, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure(output.status.success(), || format!("{}: {said} {told}", output.status))?;
        containing(&said, &format!("http://{page}/"))?;
        containing(&snapshot(place, &said)?, page::TEXT)?;
        Ok(format!("{:?} in the snapshot", page::TEXT))
    });
    Ok(())
}

/// The snapshot of the page: the server writes it to a file below its folder and answers with a link.
fn snapshot(place: &Place, said: &str) -> Result<String, Failure> {
    let link = said.split_once("[Snapshot](").and_then(|(_, rest)| rest.split_once(')'));
    let (file, _) = link.ok_or_else(|| format!("no snapshot is named: {said}"))?;
    Ok(fs::read_to_string(place.folder.join(file))?)
}
