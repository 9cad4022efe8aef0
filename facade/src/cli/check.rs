//! `toolweir check`: reads everything, starts nothing.

use std::process::ExitCode;

use serde::Serialize;
use toolweir::Builder;

use super::Source;
use super::failure::Failure;
use super::output::Output;
use super::source;

#[derive(Serialize)]
struct Checked {
    ok: bool,
    servers: Vec<String>,
    disabled: Vec<String>,
    /// Those of which each client has an instance of its own.
    isolated: Vec<String>,
    warnings: usize,
}

pub(crate) fn check(source: &Source, output: Output) -> Result<ExitCode, Failure> {
    let (config, warnings) = source::load(source, output)?;
    let builder = Builder::from_config(&config)?;
    builder.check()?;
    let names = |disabled: bool| {
        let servers = config.servers.iter().filter(|server| server.disabled == disabled);
        servers.map(|server| server.name.clone()).collect::<Vec<_>>()
    };
    let checked = Checked {
        ok: true,
        servers: names(false),
        disabled: names(true),
        isolated: config
            .servers
            .iter()
            .filter(|server| server.isolate.is_some() && !server.disabled)
            .map(|server| server.name.clone())
            .collect(),
        warnings: warnings.len(),
    };
    output.result(&checked, |checked| {
        let mut text =
            format!("ok: {} servers: {}", checked.servers.len(), checked.servers.join(", "));
        if !checked.isolated.is_empty() {
            text.push_str(&format!("; one for each client: {}", checked.isolated.join(", ")));
        }
        if !checked.disabled.is_empty() {
            text.push_str(&format!("; disabled: {}", checked.disabled.join(", ")));
        }
        text
    });
    Ok(ExitCode::SUCCESS)
}
