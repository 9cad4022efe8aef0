//! Reads one message's envelope; params and results stay raw.

use bytes::Bytes;
use toolweir_core::{InvalidJson, Method, Notification, RawJson};

use super::Id;

/// A message as it came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    Request(Request),
    Notification(Notification),
    Response(Response),
    /// Several messages in one array (2025-03-26 only), not yet read.
    Batch(Vec<RawJson>),
}

/// A request that wants an answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: Id,
    pub(crate) method: Method,
    pub(crate) params: Option<RawJson>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// `None` where the peer could not read the id of what it answers.
    pub(crate) id: Option<Id>,
    /// The result, or the whole error object.
    pub(crate) result: Result<RawJson, RawJson>,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Syntax(#[source] InvalidJson),
    #[error("nested deeper than {0}")]
    TooDeep(usize),
    #[error("{reason}")]
    Invalid {
        reason: &'static str,
        /// The id, where it could be read all the same.
        id: Option<Id>,
    },
}

impl Fault {
    /// The id of the request that could not be read, where that much could be.
    pub(crate) fn id(&self) -> Option<&Id> {
        match self {
            Self::Invalid { id, .. } => id.as_ref(),
            _ => None,
        }
    }

    /// JSON-RPC's code for it: -32700 or -32600.
    pub(crate) fn code(&self) -> i64 {
        match self {
            Self::Syntax(_) => super::code::PARSE,
            Self::TooDeep(_) | Self::Invalid { .. } => super::code::INVALID_REQUEST,
        }
    }
}

/// How many messages a batch may hold: each costs more memory than its shortest text.
const BATCH: usize = 1_024;

/// Reads a message whose arrays and objects nest at most `depth` deep.
pub(crate) fn read(bytes: Bytes, depth: usize) -> Result<Incoming, Fault> {
    let json = RawJson::new(bytes).map_err(Fault::Syntax)?;
    if !json.is_within_depth(depth) {
        return Err(Fault::TooDeep(depth));
    }
    if json.as_bytes().first() == Some(&b'[') {
        if json.items().nth(BATCH).is_some() {
            return Err(Fault::Invalid { reason: "a batch of more than 1,024 messages", id: None });
        }
        return Ok(Incoming::Batch(json.items().map(|item| item.to_json()).collect()));
    }
    envelope(&json)
}

fn envelope(json: &RawJson) -> Result<Incoming, Fault> {
    if !json.is_object() {
        return Err(Fault::Invalid { reason: "a message is an object", id: None });
    }
    let [mut version, mut id, mut method, mut params, mut result, mut error] = [const { None }; 6];
    let mut duplicate = false;
    for member in json.members() {
        let slot = match member.key.as_ref() {
            "jsonrpc" => &mut version,
            "id" => &mut id,
            "method" => &mut method,
            "params" => &mut params,
            "result" => &mut result,
            "error" => &mut error,
            _ => continue,
        };
        duplicate |= slot.replace(member.value).is_some();
    }
    let has_null_id = id.as_ref().is_some_and(|id| id.as_bytes() == b"null");
    let readable_id = id.as_ref().and_then(|id| Id::from_json(id.to_json()));
    let invalid = |reason| Fault::Invalid { reason, id: readable_id.clone() };
    if duplicate {
        return Err(Fault::Invalid { reason: "a member of the envelope stands twice", id: None });
    }
    if version.is_none_or(|version| version.as_bytes() != br#""2.0""#) {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    if id.is_some() && readable_id.is_none() && !has_null_id {
        return Err(invalid("`id` must be a string or a number"));
    }
    match (method, result, error) {
        (Some(method), None, None) => {
            let Some(method) = method.string() else {
                return Err(invalid("`method` must be a string"));
            };
            let method = Method::from(method.as_ref());
            if params
                .as_ref()
                .is_some_and(|params| !matches!(params.as_bytes().first(), Some(b'{' | b'[')))
            {
                return Err(invalid("`params` must be an object"));
            }
            let params = params.map(|params| params.to_json());
            match readable_id {
                Some(id) => Ok(Incoming::Request(Request { id, method, params })),
                None if has_null_id => Err(invalid("`id` must not be null")),
                None => Ok(Incoming::Notification(Notification { method, params })),
            }
        }
        (None, Some(result), None) => {
            Ok(Incoming::Response(Response { id: readable_id, result: Ok(result.to_json()) }))
        }
        (None, None, Some(error)) => {
            if error.as_bytes().first() != Some(&b'{') {
                return Err(invalid("`error` must be an object"));
            }
            Ok(Incoming::Response(Response { id: readable_id, result: Err(error.to_json()) }))
        }
        _ => Err(invalid("a message has one of `method`, `result` and `error`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> &'static str {
        match read(Bytes::copy_from_slice(text.as_bytes()), 128) {
            Ok(Incoming::Request(_)) => "request",
            Ok(Incoming::Notification(_)) => "notification",
            Ok(Incoming::Response(response)) if response.result.is_ok() => "result",
            Ok(Incoming::Response(_)) => "error",
            Ok(Incoming::Batch(_)) => "batch",
            Err(Fault::Syntax(_)) => "syntax",
            Err(Fault::TooDeep(_)) => "deep",
            Err(Fault::Invalid { .. }) => "invalid",
        }
    }

    #[test]
    fn tells_messages_apart() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request"),
            (r#"{"method":"ping","id":"a","jsonrpc":"2.0","params":{}}"#, "request"),
            (r#"{"jsonrpc":"2.0","method":"ping"}"#, "notification"),
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "result"),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#, "error"),
            (r#"[{"jsonrpc":"2.0","method":"ping"}]"#, "batch"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, "syntax"),
            ("\u{feff}{}", "syntax"),
            ("", "syntax"),
            ("1", "invalid"),
            (r#"{"id":1,"method":"ping"}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"ping"}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":1}"#, "invalid"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":3}"#, "invalid"),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(text), expected, "{text}");
        }
        assert_eq!(kind(&format!("[{}1]", "1,".repeat(1_023))), "batch");
        assert_eq!(kind(&format!("[{}1]", "1,".repeat(1_024))), "invalid");
        assert_eq!(kind(&"[".repeat(200_000)), "syntax");
        assert_eq!(kind(&format!("{}{}", "[".repeat(200), "]".repeat(200))), "deep");
    }
}
