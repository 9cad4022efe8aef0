//! The client that the suite's own servers are called by: through the gateway, so that they judge what it sends on.
//!
//! The suite starts this program (`cargo xtask conformance-client`) with the URL of its server behind all else, and says
//! in the environment what it wants to see.

mod channel;
mod scenario;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use self::channel::Channel;
use super::Way;
use super::programs::Programs;
use crate::Failure;
use crate::workspace::Workspace;

/// How to reach the suite's server.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How to speak with the gateway before it
    #[arg(long, value_parser = ["http", "stdio"])]
    way: String,
    /// Where to write the gateway's configuration
    #[arg(long)]
    folder: PathBuf,
    /// The suite's server
    url: String,
}

/// What the suite is told to start.
pub(super) fn command(way: Way, folder: &std::path::Path) -> Result<String, Failure> {
    let this = std::env::current_exe()?;
    let way = if way == Way::Http { "http" } else { "stdio" };
    Ok(format!("{} conformance-client --way {way} --folder {}", this.display(), folder.display()))
}

/// Does what one scenario wants.
///
/// # Errors
/// Fails where the gateway does not start or an answer is not what it should be.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let scenario = variable("MCP_CONFORMANCE_SCENARIO");
    let version = variable("MCP_CONFORMANCE_PROTOCOL_VERSION");
    let context = variable("MCP_CONFORMANCE_CONTEXT");
    let context = serde_json::from_str(&context).unwrap_or_default();
    let programs = Programs::built(workspace);
    let server = json!({ "type": "http", "url": options.url });
    let config = programs.config(&options.folder, server)?;
    let mut channel = if options.way == "http" {
        Channel::http(programs.gateway(&config)?, &version)?
    } else {
        Channel::stdio(programs.gateway_over_stdio(&config), &version)?
    };
    scenario::play(&scenario, &mut channel, &context)?;
    Ok(true)
}
