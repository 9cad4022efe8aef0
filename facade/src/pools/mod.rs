//! Servers that stand in for each other under one name, because the configuration says that they do.

mod equivalent;
mod join;
mod schema;

use std::sync::Arc;

use toolweir_core::RawJson;

pub use self::equivalent::Equivalent;
pub(crate) use self::equivalent::Way;
pub(crate) use self::join::{Joined, Pooled, join, same};

/// Servers that stand in for each other: their tools are offered once more, as `POOL__tool`, and a call of such a name
/// goes to the member best able to answer it.
///
/// Within a pool, tools of one name that take the same arguments are equivalents; others are declared as such by
/// [`PooledTool`]s. Nothing is an equivalent of anything without a pool (or a shared prefix) that says so: two servers of
/// one program may be two accounts of one service.
///
/// ```
/// use toolweir::{Equivalent, Pool, PooledTool};
///
/// let search = PooledTool::new("web_search")
///     .at("brave", Equivalent::new("brave_web_search"))
///     .at("tavily", Equivalent::new("tavily_search").rename("count", "max_results").without("country"));
/// let pool = Pool::new("search", ["brave", "tavily"]).tool(search);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub(crate) name: Arc<str>,
    pub(crate) servers: Vec<Arc<str>>,
    pub(crate) tools: Vec<PooledTool>,
    pub(crate) sticky: bool,
    pub(crate) hides_members: bool,
}

impl Pool {
    /// A pool of these servers; where their definitions of a tool differ, the first one's is shown.
    #[must_use]
    pub fn new(
        name: impl Into<Arc<str>>,
        servers: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Self {
        Self {
            name: name.into(),
            servers: servers.into_iter().map(Into::into).collect(),
            tools: Vec::new(),
            sticky: false,
            hides_members: false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Declares different tools of the members to be equivalents.
    #[must_use]
    pub fn tool(mut self, tool: PooledTool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Keeps each client with one member while that is up, because the members keep state: see the README.
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// Offers the members' pooled tools under the pool's name alone, not under their own too.
    #[must_use]
    pub fn hide_members(mut self) -> Self {
        self.hides_members = true;
        self
    }

    /// What makes no sense about it, given the servers that there are with their prefixes.
    pub(crate) fn mistake(&self, servers: &[(&str, &str)]) -> Option<String> {
        let is_known = |name: &str| servers.iter().any(|(known, _)| *known == name);
        if let Some(unknown) = self.servers.iter().find(|name| !is_known(name)) {
            return Some(format!("there is no server `{unknown}`"));
        }
        if let Some((server, _)) = servers.iter().find(|(_, prefix)| *prefix == &*self.name) {
            return Some(format!("its name is the prefix of the server `{server}`"));
        }
        let placed = |(at, name): (usize, &Arc<str>)| self.servers[..at].contains(name);
        if self.servers.iter().enumerate().any(placed) {
            return Some("a server is a member twice".to_owned());
        }
        self.tools.iter().find_map(|tool| {
            let foreign = tool.members.iter().find(|(name, _)| !self.servers.contains(name));
            if let Some((server, _)) = foreign {
                return Some(format!("`{}`: `{server}` is no member", tool.name));
            }
            tool.members.iter().find_map(|(server, how)| {
                how.mistake().map(|mistake| format!("`{}` at `{server}`: {mistake}", tool.name))
            })
        })
    }
}

/// One tool of a pool, and what it is at each member.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledTool {
    pub(crate) name: Arc<str>,
    pub(crate) definition: Option<RawJson>,
    pub(crate) members: Vec<(Arc<str>, Equivalent)>,
}

impl PooledTool {
    /// A tool that is offered as `POOL__name`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), definition: None, members: Vec::new() }
    }

    /// The member `server` has it as `tool`.
    #[must_use]
    pub fn at(mut self, server: impl Into<Arc<str>>, tool: Equivalent) -> Self {
        self.members.push((server.into(), tool));
        self
    }

    /// What clients are told of it: each member of this object stands in the place of the one in the first server's
    /// definition. With an `inputSchema`, callers' arguments are those of this schema.
    #[must_use]
    pub fn definition(mut self, definition: RawJson) -> Self {
        self.definition = Some(definition);
        self
    }
}
