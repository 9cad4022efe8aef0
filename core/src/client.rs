//! Who calls, and the way back.

use std::fmt;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;

use crate::{Error, Instant, Method, RawJson};

/// On whose behalf a call is made; replies that are private to one principal never reach another.
///
/// It is a name for comparing, not a credential.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// A principal of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The program itself, or its one user on a loopback or stdio connection.
    #[must_use]
    pub fn local() -> Self {
        static LOCAL: LazyLock<Principal> = LazyLock::new(|| Principal::new("local"));
        LOCAL.clone()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({})", self.0)
    }
}

/// A client as it introduced itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Client {
    /// On whose behalf it calls.
    pub principal: Principal,
    /// The protocol revision that it speaks, such as `2025-11-25`; `None` for the program itself.
    pub protocol_version: Option<Arc<str>>,
    /// Its name and version as it gave them (`clientInfo`).
    pub info: Option<RawJson>,
    /// What it can be asked (`capabilities`).
    pub capabilities: RawJson,
}

impl Client {
    /// A client that calls for `principal` and offers nothing.
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self { principal, protocol_version: None, info: None, capabilities: RawJson::EMPTY_OBJECT }
    }

    /// The program itself, shared.
    #[must_use]
    pub fn local() -> Arc<Self> {
        static LOCAL: LazyLock<Arc<Client>> =
            LazyLock::new(|| Arc::new(Client::new(Principal::local())));
        LOCAL.clone()
    }
}

/// A message that wants no answer.
#[derive(Clone, Debug)]
pub struct Notification {
    /// What it tells.
    pub method: Method,
    /// Its params as they came.
    pub params: Option<RawJson>,
}

impl Notification {
    /// A notification of `method` with `params`.
    #[must_use]
    pub fn new(method: Method, params: Option<RawJson>) -> Self {
        Self { method, params }
    }
}

/// The way back to the caller of one call, while that call runs.
#[async_trait]
pub trait Peer: Send + Sync + fmt::Debug {
    /// Sends a notification that belongs to the call (progress, a log message).
    ///
    /// Never waits: an implementation queues within a bound, keeps the order, and delivers what was queued
    /// before the call's own result.
    fn notify(&self, notification: Notification);

    /// Asks the caller something (sampling, elicitation, roots) and waits for its result.
    ///
    /// # Errors
    /// Fails where the caller refuses, has gone, cannot be asked, or does not answer by `deadline`.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the question.
    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        deadline: Instant,
    ) -> Result<RawJson, Error>;

    /// The way back to the same caller that outlives the call; `None` where there is none, as for clients of 2026-07-28.
    fn lasting(&self) -> Option<Arc<dyn Peer>> {
        None
    }
}
