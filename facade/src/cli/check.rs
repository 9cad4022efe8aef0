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
    /// Those that stand in for each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pools: Vec<String>,
    warnings: usize,
    /// What is withheld or unusual in the lists, as far as they are known from before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

pub(crate) fn check(source: &Source, output: Output) -> Result<ExitCode, Failure> {
    let (config, warnings) = source::load(source, output)?;
    let mut builder = Builder::from_config(&config)?;
    if let Some(folder) = source::state_dir(&config) {
        builder = builder.state_dir(folder);
    }
    let problems = builder.check()?;
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
        pools: config.settings.pools.iter().map(|pool| pool.name().to_owned()).collect(),
        warnings: warnings.len(),
        problems,
    };
    output.result(&checked, |checked| {
        let mut text =
            format!("ok: {} servers: {}", checked.servers.len(), checked.servers.join(", "));
        if !checked.isolated.is_empty() {
            text.push_str(&format!("; one for each client: {}", checked.isolated.join(", ")));
        }
        if !checked.pools.is_empty() {
            text.push_str(&format!("; pools: {}", checked.pools.join(", ")));
        }
        if !checked.disabled.is_empty() {
            text.push_str(&format!("; disabled: {}", checked.disabled.join(", ")));
        }
        for problem in &checked.problems {
            text.push_str(&format!("\nwarning: {problem}"));
        }
        text
    });
    Ok(ExitCode::SUCCESS)
}
