//! `toolweir list`: the servers and what they offer.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use toolweir::{PoolReport, Readiness, ServerReport};

use super::Source;
use super::failure::Failure;
use super::output::Output;
use super::source;

#[derive(Serialize)]
struct Listed {
    servers: Vec<ServerReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pools: Vec<PoolReport>,
    problems: Vec<String>,
}

pub(crate) async fn list(source: &Source, output: Output) -> Result<ExitCode, Failure> {
    let (config, _) = source::load(source, output)?;
    let orchestrator = source::start(&config)?;
    output.note("starting servers");
    let servers = source::wait(&orchestrator, source::PATIENCE, output).await;
    let (pools, problems) = (orchestrator.pools(), orchestrator.problems());
    let listed = Listed { servers, pools, problems };
    orchestrator.shutdown(Duration::from_secs(5)).await;
    output.result(&listed, text);
    let healthy =
        listed.servers.iter().filter(|server| server.health_status == Readiness::Healthy).count();
    Ok(match healthy {
        _ if healthy == listed.servers.len() && listed.problems.is_empty() => ExitCode::SUCCESS,
        0 => ExitCode::from(4),
        _ => ExitCode::from(7),
    })
}

fn text(listed: &Listed) -> String {
    let mut text = String::new();
    for server in &listed.servers {
        let state = match server.health_status {
            Readiness::Healthy => "healthy",
            Readiness::Unhealthy => "unhealthy",
            _ => "starting",
        };
        text.push_str(&format!("{} ({state}", server.name));
        if let Some(version) = &server.protocol_version {
            text.push_str(&format!(", MCP {version}"));
        }
        if server.instances.is_some() {
            text.push_str(", one for each client");
        }
        text.push_str(")\n");
        if let Some(reason) = &server.reason {
            text.push_str(&format!("  {reason}\n"));
        }
        let groups = [
            ("capabilities", &server.capabilities),
            ("tools", &server.tools),
            ("prompts", &server.prompts),
            ("resources", &server.resources),
        ];
        for (title, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
            text.push_str(&format!("  {title}: {}\n", names.join(", ")));
        }
    }
    for pool in &listed.pools {
        let sticky = if pool.sticky { ", each client stays with one" } else { "" };
        text.push_str(&format!("pool {} ({}{sticky})\n", pool.name, pool.servers.join(", ")));
        for (name, at) in &pool.tools {
            let own: Vec<String> =
                at.iter().map(|(server, tool)| format!("{tool} of {server}")).collect();
            text.push_str(&format!("  {name}: {}\n", own.join(", ")));
        }
    }
    for problem in &listed.problems {
        text.push_str(&format!("warning: {problem}\n"));
    }
    text.trim_end().to_owned()
}
