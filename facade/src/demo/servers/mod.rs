//! Five small MCP servers whose data lives in memory, one for each system that has a default route.
//!
//! Their tools carry the names and arguments of the published servers (a part of them), so what is tried on them works on
//! the real ones. Calls really change the data, and an instance shares nothing with another.

mod firebase;
mod github;
mod in_memory;
mod notion;
mod playwright;
mod slack;
mod tool;

use std::sync::Arc;

use toolweir_core::Server;

use self::in_memory::InMemory;

/// The systems that there is a server for.
pub const KINDS: [&str; 5] = ["github", "slack", "notion", "firebase", "playwright"];

/// A new server of one of the [`KINDS`], with its own data.
///
/// ```
/// use toolweir::core::{Call, Method};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let github = toolweir::demo::servers::server("github").ok_or("no such kind")?;
/// let reply = github.call(&Call::new(Method::TOOLS_LIST, None)).await?;
/// assert!(reply.result.as_str().contains("create_issue"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn server(kind: &str) -> Option<Arc<dyn Server>> {
    Some(match kind {
        "github" => Arc::new(InMemory::<github::GitHub>::new()),
        "slack" => Arc::new(InMemory::<slack::Slack>::new()),
        "notion" => Arc::new(InMemory::<notion::Notion>::new()),
        "firebase" => Arc::new(InMemory::<firebase::Firebase>::new()),
        "playwright" => Arc::new(InMemory::<playwright::Playwright>::new()),
        _ => return None,
    })
}
