//! Writes messages around raw params and results, in one buffer.

use bytes::Bytes;
use toolweir_core::{Method, RawJson};

use super::Id;

/// `{"jsonrpc":"2.0","id":…,"method":…,"params":…}`
pub(crate) fn request(id: &Id, method: &Method, params: Option<&RawJson>) -> Bytes {
    message(Some(id), method, params)
}

/// `{"jsonrpc":"2.0","method":…,"params":…}`
pub(crate) fn notification(method: &Method, params: Option<&RawJson>) -> Bytes {
    message(None, method, params)
}

fn message(id: Option<&Id>, method: &Method, params: Option<&RawJson>) -> Bytes {
    let mut out = Vec::with_capacity(params.map_or(0, RawJson::len) + method.as_str().len() + 96);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","#);
    if let Some(id) = id {
        out.extend_from_slice(br#""id":"#);
        out.extend_from_slice(id.as_json().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(br#""method":"#);
    out.extend_from_slice(serde_json::Value::from(method.as_str()).to_string().as_bytes());
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        extend_in_one_line(&mut out, params);
    }
    out.push(b'}');
    out.into()
}

/// `{"jsonrpc":"2.0","id":…,"result":…}`, or with `error`; the id is null where it could not be read.
pub(crate) fn response(id: Option<&Id>, result: Result<&RawJson, &RawJson>) -> Bytes {
    let (member, value) = match result {
        Ok(value) => (r#","result":"#, value),
        Err(value) => (r#","error":"#, value),
    };
    let mut out = Vec::with_capacity(value.len() + 64);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.map_or(b"null", |id| id.as_json().as_bytes()));
    out.extend_from_slice(member.as_bytes());
    extend_in_one_line(&mut out, value);
    out.push(b'}');
    out.into()
}

/// Line ends between tokens would break a stdio line or an SSE event; inside strings JSON has none. They become
/// spaces.
fn extend_in_one_line(out: &mut Vec<u8>, value: &RawJson) {
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in &mut out[start..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}
