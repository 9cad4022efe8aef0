//! Finding out how a server speaks.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toolweir_core::{Client, Error, Kind, Method, RawJson, ServerInfo};

use super::Owner;
use crate::message::code;
use crate::version::{Era, LEGACY, MODERN, is_modern, meta, own_identity};

/// What both sides agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) era: Era,
    pub(super) info: Arc<ServerInfo>,
}

/// A connection over which requests can be exchanged before it is agreed how.
pub(super) trait Link {
    /// Sends a request and waits for its result.
    fn request(
        &self,
        method: Method,
        params: RawJson,
    ) -> impl Future<Output = Result<RawJson, Error>> + Send;
    /// Sends a notification.
    fn notify(&self, method: Method) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Asks in the modern way, and in the legacy way where that is not understood.
///
/// The probe is always `server/discover`, never a call, which a legacy server might carry out. A server that leaves
/// the probe unanswered for `patience` is asked in both ways, and the first that works counts.
pub(super) async fn shake<L: Link + Sync>(
    link: &L,
    patience: Duration,
    owner: Option<&Owner>,
) -> Result<Agreed, Error> {
    let mut discover = Box::pin(discover(link));
    tokio::select! {
        biased;
        result = &mut discover => match verdict(result)? {
            Some(agreed) => Ok(agreed),
            None => initialize(link, owner).await,
        },
        () = tokio::time::sleep(patience) => {
            let mut legacy = Box::pin(initialize(link, owner));
            tokio::select! {
                biased;
                result = &mut legacy => match result {
                    Ok(agreed) => Ok(agreed),
                    Err(error) => match verdict(discover.await)? {
                        Some(agreed) => Ok(agreed),
                        None => Err(error),
                    },
                },
                result = &mut discover => match verdict(result)? {
                    Some(agreed) => Ok(agreed),
                    None => legacy.await,
                },
            }
        }
    }
}

/// Asks in the modern way alone: of which era the server is.
pub(super) async fn probe<L: Link + Sync>(link: &L) -> Result<Era, Error> {
    Ok(verdict(discover(link).await)?.map_or(Era::Legacy, |agreed| agreed.era))
}

/// Sends the probe; once more where the server refuses the version and names it among those that it speaks.
async fn discover<L: Link + Sync>(link: &L) -> Result<RawJson, Error> {
    let result = link.request(Method::DISCOVER, discover_params()).await;
    match &result {
        Err(error) if supported(error).iter().any(|version| version == MODERN) => {
            link.request(Method::DISCOVER, discover_params()).await
        }
        _ => result,
    }
}

/// The versions that a -32022 error names.
fn supported(error: &Error) -> Vec<String> {
    #[derive(Deserialize)]
    struct Refusal {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        supported: Vec<String>,
    }
    match error.kind() {
        Kind::Protocol { code: code::UNSUPPORTED_VERSION } => error
            .rpc()
            .and_then(|object| object.get::<Refusal>().ok())
            .map_or_else(Vec::new, |refusal| refusal.data.supported),
        _ => Vec::new(),
    }
}

/// What an answer to the probe says: modern, not modern (`None`), or that the connection is gone.
fn verdict(result: Result<RawJson, Error>) -> Result<Option<Agreed>, Error> {
    match result {
        Ok(result) => Ok(modern(&result)),
        Err(error) => match error.kind() {
            Kind::Protocol { code: code::UNSUPPORTED_VERSION } => {
                if supported(&error).iter().any(|version| LEGACY.contains(&version.as_str())) {
                    return Ok(None);
                }
                Err(Error::new(Kind::Unreachable)
                    .message(format!("the server speaks none of {MODERN} and what came before"))
                    .caused_by(error))
            }
            Kind::Protocol { code: code::HEADER_MISMATCH | code::MISSING_CAPABILITY } => Err(error),
            Kind::Protocol { .. } | Kind::Timeout | Kind::InvalidReply => Ok(None),
            Kind::Status { status: 401 | 403 } => Err(error),
            Kind::Status { status: 400..500 } => Ok(None),
            _ => Err(error),
        },
    }
}

fn discover_params() -> RawJson {
    RawJson::from(serde_json::json!({ "_meta": {
        meta::VERSION: MODERN,
        meta::CAPABILITIES: {},
        meta::CLIENT_INFO: own_identity(),
    }}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    supported_versions: Vec<String>,
    #[serde(default)]
    capabilities: Option<RawJson>,
    #[serde(default)]
    server_info: Option<RawJson>,
    #[serde(default)]
    instructions: Option<String>,
}

/// Reads the probe's result; `None` where it is not what a modern server says.
fn modern(result: &RawJson) -> Option<Agreed> {
    let discovered: Discovered = result.get().ok()?;
    discovered.supported_versions.iter().find(|version| *version == MODERN)?;
    // 2026-07-28 moved the server's identity into `_meta`; some servers still give it beside the capabilities.
    let meta = result.member("_meta").map(|part| part.to_json());
    let in_meta =
        meta.as_ref().and_then(|meta| meta.member(meta::SERVER_INFO)).map(|part| part.to_json());
    let identity = in_meta.or(discovered.server_info).unwrap_or(RawJson::EMPTY_OBJECT);
    let mut info =
        ServerInfo::new(identity, discovered.capabilities.unwrap_or(RawJson::EMPTY_OBJECT));
    info.protocol_version = Arc::from(MODERN);
    info.instructions = discovered.instructions;
    Some(Agreed { era: Era::Modern, info: Arc::new(info) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialized {
    protocol_version: String,
    #[serde(default)]
    capabilities: Option<RawJson>,
    #[serde(default)]
    server_info: Option<RawJson>,
    #[serde(default)]
    instructions: Option<String>,
}

/// What we say that we can be asked, and who we are: what holds for the one client that the connection is for, or for any
/// that may come. A modern client says it anew with every call.
fn introduction(owner: Option<&Owner>) -> (RawJson, RawJson) {
    let is_legacy = |client: &Client| {
        client.protocol_version.as_deref().is_some_and(|version| !is_modern(version))
    };
    let Some(client) = owner.map(|owner| &owner.client).filter(|client| is_legacy(client)) else {
        let all = serde_json::json!({ "roots": { "listChanged": true }, "sampling": {}, "elicitation": {} });
        return (RawJson::from(all), own_identity());
    };
    let nothing = RawJson::EMPTY_OBJECT;
    let mut carried = nothing.edit();
    for member in client.capabilities.members() {
        if ["roots", "sampling", "elicitation"].contains(&&*member.key) {
            carried = carried.set(member.key.into_owned(), &member.value.to_json());
        }
    }
    let capabilities = carried.finish().unwrap_or(RawJson::EMPTY_OBJECT);
    (capabilities, client.info.clone().unwrap_or_else(own_identity))
}

/// The legacy handshake.
pub(super) async fn initialize<L: Link + Sync>(
    link: &L,
    owner: Option<&Owner>,
) -> Result<Agreed, Error> {
    let (capabilities, identity) = introduction(owner);
    let params = RawJson::from(serde_json::json!({
        "protocolVersion": LEGACY[0],
        "capabilities": capabilities,
        "clientInfo": identity,
    }));
    let result = link.request(Method::INITIALIZE, params).await?;
    let invalid = |text: String| Error::new(Kind::Unreachable).message(text);
    let initialized: Initialized = result
        .get()
        .map_err(|error| invalid(format!("its answer to initialize is wrong: {error}")))?;
    if is_modern(&initialized.protocol_version) {
        return Err(invalid(format!(
            "it answered initialize with version {}",
            initialized.protocol_version
        )));
    }
    link.notify(Method::INITIALIZED).await?;
    let mut info = ServerInfo::new(
        initialized.server_info.unwrap_or(RawJson::EMPTY_OBJECT),
        initialized.capabilities.unwrap_or(RawJson::EMPTY_OBJECT),
    );
    info.protocol_version = Arc::from(initialized.protocol_version);
    info.instructions = initialized.instructions;
    Ok(Agreed { era: Era::Legacy, info: Arc::new(info) })
}
