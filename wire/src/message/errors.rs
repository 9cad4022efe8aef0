//! Errors as JSON-RPC objects.

use toolweir_core::{Delivery, Error, Kind, Method, RawJson};

/// Error codes of JSON-RPC and MCP, and our own.
pub(crate) mod code {
    pub(crate) const PARSE: i64 = -32700;
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    pub(crate) const INTERNAL: i64 = -32603;
    /// A legacy server has no such resource.
    pub(crate) const RESOURCE_NOT_FOUND: i64 = -32002;
    /// A header and the body disagree (2026-07-28).
    pub(crate) const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability that the request needs (2026-07-28).
    pub(crate) const MISSING_CAPABILITY: i64 = -32021;
    /// This protocol revision is not spoken here (2026-07-28).
    pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;
}

/// An error object `{"code":…,"message":…,"data":…}`.
pub(crate) fn error_object(code: i64, message: &str, data: Option<serde_json::Value>) -> RawJson {
    let mut object = serde_json::json!({ "code": code, "message": message });
    if let (Some(data), Some(object)) = (data, object.as_object_mut()) {
        object.insert("data".to_owned(), data);
    }
    RawJson::from(object)
}

/// The error object for a failed call of `method`: a server's own byte for byte, ours with a code outside the range
/// that JSON-RPC reserves, and `data` that a program can act on.
pub(crate) fn own_error(error: &Error, method: &Method, modern: bool) -> RawJson {
    if let Some(object) = error.rpc() {
        return object.clone();
    }
    let code = match error.kind() {
        Kind::Protocol { code } => code,
        Kind::InvalidRequest => code::INVALID_PARAMS,
        Kind::NotFound => match method.as_str() {
            "tools/call" | "prompts/get" | "completion/complete" => code::INVALID_PARAMS,
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" if !modern => {
                code::RESOURCE_NOT_FOUND
            }
            "resources/read" => code::INVALID_PARAMS,
            _ => code::METHOD_NOT_FOUND,
        },
        Kind::CircuitOpen { .. } => -31001,
        Kind::RateLimited { .. } => -31002,
        Kind::Overloaded => -31003,
        Kind::NoServer => -31004,
        Kind::Unreachable => -31005,
        Kind::Disconnected => -31006,
        Kind::Timeout => -31007,
        Kind::InvalidReply => -31008,
        Kind::TooLarge => -31009,
        Kind::Throttled { .. } => -31010,
        Kind::Status { .. } => -31011,
        Kind::Cancelled => -31012,
        Kind::Closed => -31013,
        _ => code::INTERNAL,
    };
    let mut data = serde_json::json!({
        "kind": error.kind().name(),
        "sent": match error.delivery() {
            Delivery::Unsent => "no",
            Delivery::Ambiguous => "unknown",
            Delivery::Answered => "yes",
        },
    });
    if let Some(data) = data.as_object_mut() {
        if let Some(server) = error.server_name() {
            data.insert("server".to_owned(), server.into());
        }
        if let Some(retry_after) = error.kind().retry_after() {
            let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            data.insert("retryAfterMs".to_owned(), millis.into());
        }
    }
    let mut message = error.to_string();
    if let Some(retry_after) = error.kind().retry_after() {
        message.push_str(&format!("; retry in {:.1} s", retry_after.as_secs_f64()));
    }
    error_object(code, &message, Some(data))
}

/// A server's JSON-RPC error as one of ours, its object kept byte for byte.
pub(crate) fn server_error(object: RawJson) -> Error {
    match object.member("code").and_then(|code| code.get::<i64>().ok()) {
        Some(code) => {
            let text = object
                .member("message")
                .and_then(|text| text.string().map(std::borrow::Cow::into_owned));
            let error = Error::protocol(code, object);
            match text {
                Some(text) => error.message(text),
                None => error,
            }
        }
        None => Error::new(Kind::InvalidReply).message("an error without a code"),
    }
}
