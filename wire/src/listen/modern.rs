//! 2026-07-28: every request stands alone.

use std::sync::{Arc, Weak};

use hyper::header::HeaderValue;
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use toolweir_core::{Client, Method, Principal, RawJson, ServerInfo};

use super::calls::{Asked, target};
use super::front::Front;
use super::session::{Level, Session, Stop};
use super::stream::{Answer, Outbox};
use super::subscriptions::Opened;
use super::tasks;
use crate::header;
use crate::message::{self, Id, Request, code, error_object};
use crate::version::{Era, MODERN, meta};

/// Why a request is not carried out, with its HTTP status.
#[derive(Debug)]
pub(crate) struct Reject {
    pub(crate) status: StatusCode,
    pub(crate) error: RawJson,
}

impl Reject {
    pub(crate) fn new(code: i64, message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: error_object(code, message, None) }
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn data(code: i64, message: &str, data: serde_json::Value) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: error_object(code, message, Some(data)) }
    }

    pub(crate) fn mismatch(header: &str, problem: &str) -> Self {
        Self::new(code::HEADER_MISMATCH, &format!("`{header}` {problem}"))
    }

    pub(crate) fn answer(&self, id: Option<&Id>) -> Answer {
        Answer { bytes: message::response(id, Err(&self.error)), status: self.status }
    }
}

/// What a modern request says of its client.
#[derive(Debug)]
pub(crate) struct Envelope {
    version: String,
    client: Arc<Client>,
    level: Option<Level>,
}

/// Whether a message claims to be modern: its `_meta` names a revision.
pub(crate) fn claims(params: Option<&RawJson>) -> bool {
    params
        .and_then(|params| params.member("_meta"))
        .is_some_and(|meta| meta.to_json().member(meta::VERSION).is_some())
}

/// Reads what `_meta` must hold.
pub(crate) fn envelope(params: Option<&RawJson>, principal: Principal) -> Result<Envelope, Reject> {
    let invalid = |message: &str| Reject::new(code::INVALID_PARAMS, message);
    let meta = params.and_then(|params| params.member("_meta")).map(|meta| meta.to_json());
    let Some(meta) = meta.filter(RawJson::is_object) else {
        return Err(invalid(
            "`params._meta` is missing: every request carries it since 2026-07-28",
        ));
    };
    let mut client = Client::new(principal);
    let (mut version, mut capabilities, mut level) = (None, None, None);
    for member in meta.members() {
        match member.key.as_ref() {
            meta::VERSION => version = Some(member.value),
            meta::CAPABILITIES => capabilities = Some(member.value.to_json()),
            meta::LOG_LEVEL => level = Some(member.value),
            meta::CLIENT_INFO => client.info = Some(member.value.to_json()),
            _ => {}
        }
    }
    let Some(version) = version.and_then(|version| version.string()) else {
        return Err(invalid(&format!("`_meta` needs `{}`, a string", meta::VERSION)));
    };
    let Some(capabilities) = capabilities.filter(RawJson::is_object) else {
        return Err(invalid(&format!("`_meta` needs `{}`, an object", meta::CAPABILITIES)));
    };
    let is_text =
        |info: &RawJson, key| info.member(key).is_some_and(|text| text.string().is_some());
    if client.info.as_ref().is_some_and(|info| !is_text(info, "name") || !is_text(info, "version"))
    {
        return Err(invalid(&format!("`{}` needs a name and a version", meta::CLIENT_INFO)));
    }
    let level = match level {
        None => None,
        Some(level) => {
            let known = level.string().and_then(|level| Level::parse(&level));
            Some(known.ok_or_else(|| invalid(&format!("`{}` is no log level", meta::LOG_LEVEL)))?)
        }
    };
    client.protocol_version = Some(Arc::from(MODERN));
    client.capabilities = capabilities;
    Ok(Envelope { version: version.into_owned(), client: Arc::new(client), level })
}

/// Checks the headers that a request over HTTP carries against its body, in the order in which clients expect it.
pub(crate) fn check_headers(
    headers: &HeaderMap,
    request: &Request,
    envelope: &Envelope,
) -> Result<(), Reject> {
    const VERSION: &str = "MCP-Protocol-Version";
    const METHOD: &str = "Mcp-Method";
    const NAME: &str = "Mcp-Name";
    let version = single(headers, VERSION)?;
    let method = single(headers, METHOD)?;
    if version.is_some_and(|value| plain(value) != Some(&envelope.version)) {
        return Err(Reject::mismatch(VERSION, "is not the body's version"));
    }
    if method.is_some_and(|value| plain(value) != Some(request.method.as_str())) {
        return Err(Reject::mismatch(METHOD, "is not the body's method"));
    }
    check_version(envelope)?;
    if version.is_none() {
        return Err(Reject::mismatch(VERSION, "is missing"));
    }
    if method.is_none() {
        return Err(Reject::mismatch(METHOD, "is missing"));
    }
    let is_named = matches!(
        request.method.as_str(),
        "tools/call"
            | "prompts/get"
            | "resources/read"
            | "tasks/get"
            | "tasks/update"
            | "tasks/cancel"
    );
    if is_named && let Some(target) = target(&request.method, request.params.as_ref()) {
        let Some(value) = single(headers, NAME)? else {
            return Err(Reject::mismatch(NAME, "is missing"));
        };
        let Some(name) = header::decode(value.as_bytes()) else {
            return Err(Reject::mismatch(NAME, "is not validly encoded"));
        };
        if name != target {
            return Err(Reject::mismatch(NAME, "is not what the body names"));
        }
    }
    Ok(())
}

/// The one value of a header.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a HeaderValue>, Reject> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Reject::mismatch(name, "stands twice"));
    }
    Ok(first)
}

fn plain(value: &HeaderValue) -> Option<&str> {
    Some(value.to_str().ok()?.trim_matches([' ', '\t']))
}

/// Whether the revision is the one spoken here.
pub(crate) fn check_version(envelope: &Envelope) -> Result<(), Reject> {
    if envelope.version == MODERN {
        return Ok(());
    }
    let data = serde_json::json!({ "supported": [MODERN], "requested": envelope.version });
    Err(Reject::data(code::UNSUPPORTED_VERSION, "this protocol version is not spoken here", data))
}

/// What becomes of a modern request.
#[derive(Debug)]
pub(crate) enum Route {
    Answer(Answer),
    Call(Asked),
    Listen(Opened),
}

/// Answers what is answered here, and prepares the rest.
pub(crate) async fn route(
    front: &Arc<Front>,
    request: Request,
    envelope: Envelope,
    outbox: &Arc<Outbox>,
    session: Weak<Session>,
    stop: Arc<Stop>,
) -> Route {
    let id = request.id.clone();
    if let Some(reject) = tasks::refusal(front, &request.method, &envelope.client).await {
        return Route::Answer(reject.answer(Some(&id)));
    }
    match request.method.as_str() {
        name if is_ours(name) => {
            let reject = Reject::new(code::METHOD_NOT_FOUND, "method not found");
            Route::Answer(reject.status(StatusCode::NOT_FOUND).answer(Some(&id)))
        }
        "initialize"
        | "ping"
        | "logging/setLevel"
        | "resources/subscribe"
        | "resources/unsubscribe" => {
            let reject = Reject::new(code::METHOD_NOT_FOUND, "2026-07-28 has no such method");
            Route::Answer(reject.status(StatusCode::NOT_FOUND).answer(Some(&id)))
        }
        "server/discover" => Route::Answer(match front.service.info().await {
            Ok(info) => Answer::ok(message::response(Some(&id), Ok(&discovered(&info)))),
            Err(error) => {
                let object = message::own_error(&error, &Method::DISCOVER, true);
                Answer::ok(message::response(Some(&id), Err(&object)))
            }
        }),
        "subscriptions/listen" => {
            match Opened::open(front, request, envelope.client, outbox).await {
                Ok(opened) => Route::Listen(opened),
                Err(answer) => Route::Answer(answer),
            }
        }
        _ => Route::Call(Asked {
            request,
            era: Era::Modern,
            client: envelope.client,
            outbox: outbox.clone(),
            session,
            level: envelope.level,
            stop,
        }),
    }
}

/// The result of `server/discover`.
fn discovered(info: &ServerInfo) -> RawJson {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Discovered<'a> {
        result_type: &'static str,
        supported_versions: [&'static str; 1],
        capabilities: RawJson,
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<&'a str>,
        ttl_ms: u64,
        cache_scope: &'static str,
        #[serde(rename = "_meta")]
        meta: Meta<'a>,
    }
    #[derive(Serialize)]
    struct Meta<'a> {
        #[serde(rename = "io.modelcontextprotocol/serverInfo")]
        server: &'a RawJson,
    }
    RawJson::of(&Discovered {
        result_type: "complete",
        supported_versions: [MODERN],
        capabilities: tasks::offered(&info.capabilities, true),
        instructions: info.instructions.as_deref(),
        ttl_ms: 0,
        cache_scope: "private",
        meta: Meta { server: &info.identity },
    })
    .unwrap_or(RawJson::EMPTY_OBJECT)
}

/// Whether a method is one by which our own parts speak to each other; to a client there is no such method.
pub(crate) fn is_ours(method: &str) -> bool {
    method.starts_with("toolweir/")
}

/// Whether a modern client's notification means something to the server behind.
pub(crate) fn is_passed_on(method: &Method) -> bool {
    !matches!(
        method.as_str(),
        "notifications/initialized"
            | "notifications/roots/list_changed"
            | "notifications/elicitation/complete"
            | "notifications/cancelled"
            | "notifications/progress"
    )
}
