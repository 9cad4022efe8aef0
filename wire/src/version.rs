//! The protocol's revisions and its two eras.

use toolweir_core::RawJson;

/// The modern revision: stateless, per-request `_meta`.
pub(crate) const MODERN: &str = "2026-07-28";
/// The revisions opened by `initialize`, newest first.
pub(crate) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Revisions from this one on are modern; they sort as text.
pub(crate) fn is_modern(version: &str) -> bool {
    version >= MODERN
}

/// Which of the protocol's two ways a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// `initialize`, sessions, requests in both directions.
    Legacy,
    /// Every request stands alone.
    Modern,
}

/// The extension that carries tasks since 2026-07-28.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// Keys that 2026-07-28 reserves in `_meta`.
pub(crate) mod meta {
    pub(crate) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    pub(crate) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// The token under which progress is reported; in both eras.
    pub(crate) const PROGRESS_TOKEN: &str = "progressToken";
}

/// How this crate introduces itself where nothing else is said.
pub(crate) fn own_identity() -> RawJson {
    RawJson::from(serde_json::json!({ "name": "toolweir", "version": env!("CARGO_PKG_VERSION") }))
}
