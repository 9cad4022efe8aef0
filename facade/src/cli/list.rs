//! `toolweir list`: the servers and what they offer.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use toolweir::{PoolReport, Readiness, ServerReport};

use super::Source;
use super::failure::Failure;
use super::health::again;
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
    let well = listed.servers.iter().filter(|server| is_well(server.health_status)).count();
    Ok(match well {
        _ if well == listed.servers.len() && listed.problems.is_empty() => ExitCode::SUCCESS,
        0 => ExitCode::from(4),
        _ => ExitCode::from(7),
    })
}

/// One that rests answers when it is needed.
fn is_well(readiness: Readiness) -> bool {
    matches!(readiness, Readiness::Healthy | Readiness::Resting)
}

/// A server's state in the words of `/health`, and when one that is left alone is tried again.
fn state(readiness: Readiness, retry_in_ms: Option<u64>) -> String {
    let word = match readiness {
        Readiness::Starting => "starting",
        Readiness::Healthy => "healthy",
        Readiness::Resting => "resting",
        Readiness::Quarantined => "quarantined",
        Readiness::Unhealthy => "unhealthy",
        _ => "unknown",
    };
    let left_alone = retry_in_ms.filter(|_| readiness == Readiness::Quarantined);
    format!("{word}{}", left_alone.map(again).unwrap_or_default())
}

fn text(listed: &Listed) -> String {
    let mut text = String::new();
    for server in &listed.servers {
        let state = state(server.health_status, server.retry_in_ms);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_the_word_that_health_has_for_it() {
        let all = [
            (Readiness::Starting, false),
            (Readiness::Healthy, true),
            (Readiness::Resting, true),
            (Readiness::Quarantined, false),
            (Readiness::Unhealthy, false),
        ];
        for (readiness, well) in all {
            let word = serde_json::to_value(readiness).unwrap();
            assert_eq!(state(readiness, None), word.as_str().unwrap());
            assert_eq!(is_well(readiness), well, "{readiness:?}");
        }
        let left = Some(58_200);
        assert_eq!(state(Readiness::Quarantined, left), "quarantined, tried again in 59 s");
        assert_eq!(state(Readiness::Healthy, left), "healthy");
    }
}
