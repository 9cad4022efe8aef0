//! Errors as JSON-RPC objects.

use toolweir_core::{Delivery, Error, Kind, Method, RawJson};

use super::advice::text;

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
/// that JSON-RPC reserves, a text that a model can act on, and `data` for programs. What the protocol itself has a code for
/// (a request that is wrong, a name or method that is not known) has that code.
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
        kind if kind.is_rate_limit() => -31002,
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
        _ => -31014,
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
            // Rounded up: a millisecond too early is refused again.
            let millis = retry_after.as_nanos().div_ceil(1_000_000);
            let millis = u64::try_from(millis).unwrap_or(u64::MAX);
            data.insert("retryAfterMs".to_owned(), millis.into());
        }
        if !error.alternatives().is_empty() {
            let names: Vec<&str> = error.alternatives().iter().map(|name| &**name).collect();
            data.insert("alternatives".to_owned(), names.into());
        }
    }
    error_object(code, &text(error, method), Some(data))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    /// Every kind, of a call of a tool: its code, whether it was sent, and what is said.
    #[test]
    fn each_kind_says_what_can_be_done_about_it() {
        let retry_after = Duration::from_millis(2_400);
        let cases = [
            (
                Kind::CircuitOpen { retry_after },
                -31001,
                "no",
                "`s` failed too often and is left alone for now; retry in 2.4 s",
            ),
            (
                Kind::RateLimited { retry_after },
                -31002,
                "no",
                "rate limit of `s` reached; retry in 2.4 s",
            ),
            (
                Kind::ToolRateLimited { retry_after },
                -31002,
                "no",
                "rate limit of a tool of `s` reached; retry in 2.4 s",
            ),
            (
                Kind::UserRateLimited { retry_after },
                -31002,
                "no",
                "your own rate limit at `s` is reached; retry in 2.4 s",
            ),
            (Kind::Overloaded, -31003, "no", "too many calls at once at `s`; retry later"),
            (Kind::NoServer, -31004, "no", "no server can answer this"),
            (
                Kind::Unreachable,
                -31005,
                "no",
                "`s` cannot be reached; nothing was sent, retry later",
            ),
            (
                Kind::Disconnected,
                -31006,
                "unknown",
                "the connection to `s` ended before the reply; the call may have been carried out, look before you retry",
            ),
            (
                Kind::Timeout,
                -31007,
                "unknown",
                "`s` did not reply in time; the call may have been carried out, look before you retry",
            ),
            (
                Kind::InvalidReply,
                -31008,
                "unknown",
                "the reply of `s` is invalid; the call may have been carried out, look before you retry",
            ),
            (Kind::TooLarge, -31009, "no", "the message is too large for `s`"),
            (
                Kind::Throttled { retry_after: Some(retry_after) },
                -31010,
                "yes",
                "`s` asks for a pause; retry in 2.4 s",
            ),
            (
                Kind::Throttled { retry_after: None },
                -31010,
                "yes",
                "`s` asks for a pause; retry later",
            ),
            (Kind::Status { status: 502 }, -31011, "yes", "`s` answered with HTTP status 502"),
            (Kind::Cancelled, -31012, "unknown", "the call was cancelled"),
            (Kind::Closed, -31013, "no", "the gateway is shutting down; retry later"),
            (
                Kind::Internal,
                -31014,
                "unknown",
                "internal error at `s`; the call may have been carried out, look before you retry",
            ),
            // What the protocol has codes for.
            (Kind::InvalidRequest, code::INVALID_PARAMS, "no", "invalid request"),
            (Kind::NotFound, code::INVALID_PARAMS, "no", "not known"),
        ];
        for (kind, code, sent, said) in cases {
            let plain = Error::new(kind).server("s");
            let of = |error: &Error| -> Value {
                own_error(error, &Method::TOOLS_CALL, true).get().unwrap()
            };
            let mut data = json!({ "kind": kind.name(), "sent": sent, "server": "s" });
            if kind.retry_after().is_some() {
                data["retryAfterMs"] = 2_400.into();
            }
            assert_eq!(of(&plain), json!({ "code": code, "message": said, "data": data }));
            let is_of_the_protocol = matches!(kind, Kind::InvalidRequest | Kind::NotFound);
            assert_eq!((-32768..=-32000).contains(&code), is_of_the_protocol, "{kind}");
            // With details and others that may do, both are told.
            let more = plain.message("as told").instead(["p__t", "other__t"]);
            let told = of(&more);
            let message = told["message"].as_str().unwrap();
            assert!(message.contains("as told"), "{message}");
            assert!(message.ends_with("use `p__t` or `other__t`"), "{message}");
            assert_eq!(told["data"]["alternatives"], json!(["p__t", "other__t"]));
        }
        let limited =
            Error::new(Kind::RateLimited { retry_after }).server("github").instead(["other__tool"]);
        let object = own_error(&limited, &Method::TOOLS_CALL, false);
        let text = "rate limit of `github` reached; retry in 2.4 s, or use `other__tool`";
        assert_eq!(object.member("message").unwrap().string().unwrap(), text);
        // What only asks carries nothing out, and a server's own word is its own.
        let list = own_error(&Error::new(Kind::Timeout).server("s"), &Method::TOOLS_LIST, true);
        assert_eq!(
            list.member("message").unwrap().string().unwrap(),
            "`s` did not reply in time; retry later"
        );
        let own = RawJson::new(r#"{"code":-32050,"message":"mine"}"#).unwrap();
        assert_eq!(
            own_error(&Error::protocol(-32050, own.clone()), &Method::TOOLS_CALL, true),
            own
        );
    }
}
