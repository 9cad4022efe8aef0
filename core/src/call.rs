//! A call on its way to a server.

use std::sync::Arc;

use crate::{Client, Instant, InvalidJson, Method, Peer, RawJson};

/// One request on its way to a server.
///
/// Params are raw JSON. The target stands beside them because routing, limits and cache keys need it without
/// reading the params again; whoever writes the call to a server puts the target in its place in the params
/// ([`Method::target_member`]), so renaming a tool costs no second parse.
///
/// ```
/// use toolweir_core::{Call, RawJson};
///
/// let call = Call::tool("create_issue", &RawJson::new(r#"{"title":"Weir leaks"}"#)?)?;
/// assert_eq!(call.target.as_deref(), Some("create_issue"));
/// # Ok::<(), toolweir_core::InvalidJson>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// What is asked.
    pub method: Method,
    /// The tool, prompt or resource URI that it is asked of.
    pub target: Option<Arc<str>>,
    /// The params as they came; `None` where the caller sent none.
    pub params: Option<RawJson>,
    /// Who asks.
    pub client: Arc<Client>,
    /// The way back to who asks, for progress, logs and the server's own requests.
    pub peer: Option<Arc<dyn Peer>>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// What is known of the target's effects.
    pub hints: Hints,
}

impl Call {
    /// A call of `method` with no target, from the program itself.
    #[must_use]
    pub fn new(method: Method, params: Option<RawJson>) -> Self {
        Self {
            method,
            target: None,
            params,
            client: Client::local(),
            peer: None,
            deadline: None,
            hints: Hints::default(),
        }
    }

    /// A `tools/call` of `name` with `arguments`.
    ///
    /// # Errors
    /// Fails only where `name` cannot be written as JSON, which no string does.
    pub fn tool(name: &str, arguments: &RawJson) -> Result<Self, InvalidJson> {
        let name_json = RawJson::of(name)?;
        let mut params = Vec::with_capacity(arguments.len() + name_json.len() + 24);
        params.extend_from_slice(br#"{"name":"#);
        params.extend_from_slice(name_json.as_bytes());
        params.extend_from_slice(br#","arguments":"#);
        params.extend_from_slice(arguments.as_bytes());
        params.push(b'}');
        let params = RawJson::new(params)?;
        Ok(Self::new(Method::TOOLS_CALL, Some(params)).target(name))
    }

    /// The same call to another target.
    #[must_use]
    pub fn target(mut self, target: impl Into<Arc<str>>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The same call with a deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same call for another client.
    #[must_use]
    pub fn client(mut self, client: Arc<Client>) -> Self {
        self.client = client;
        self
    }

    /// The same call with a way back to its caller.
    #[must_use]
    pub fn peer(mut self, peer: Arc<dyn Peer>) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The same call with what is known of its effects.
    #[must_use]
    pub fn hints(mut self, hints: Hints) -> Self {
        self.hints = hints;
        self
    }

    /// Size of the params in bytes; 0 where there are none.
    #[must_use]
    pub fn size(&self) -> usize {
        self.params.as_ref().map_or(0, RawJson::len)
    }
}

/// What is known of a tool's effects: MCP's tool annotations, as far as they are to be believed.
///
/// `None` means unknown, and unknown is treated as the worst case. Annotations count only where the
/// configuration trusts the server or states them itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Hints {
    /// Changes nothing.
    pub read_only: Option<bool>,
    /// Repeating it with the same arguments changes nothing further.
    pub idempotent: Option<bool>,
    /// May destroy something.
    pub destructive: Option<bool>,
    /// Touches things outside the server's own domain.
    pub open_world: Option<bool>,
}

impl Hints {
    /// Hints of a read.
    #[must_use]
    pub fn read() -> Self {
        Self { read_only: Some(true), ..Self::default() }
    }

    /// Whether a reply may be cached and shared.
    #[must_use]
    pub fn is_read_only(self) -> bool {
        self.read_only == Some(true)
    }

    /// Whether a call that may have been carried out can be sent again.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        self.is_read_only() || self.idempotent == Some(true)
    }
}
