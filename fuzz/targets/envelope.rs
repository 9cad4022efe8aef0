//! A message's envelope, beside a plain reading of the same bytes by serde_json.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use toolweir_fuzz::Model;
use toolweir_wire::fuzzing::{Envelope, envelope};

const DEPTH: usize = 16;
/// How many messages a batch may hold.
const BATCH: usize = 1_024;

fuzz_target!(|input: &[u8]| {
    let seen = envelope(input.to_vec().into(), DEPTH);
    let Ok(raw) = serde_json::from_slice::<&RawValue>(input) else {
        assert_eq!(seen, Envelope::Syntax);
        return;
    };
    let text = raw.get();
    if depth(text) > DEPTH {
        assert_eq!(seen, Envelope::TooDeep);
    } else if text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).expect("it is an array");
        if items.len() > BATCH {
            return assert_eq!(seen, invalid(None));
        }
        let items = items.into_iter().map(|item| item.get().as_bytes().to_vec().into());
        assert_eq!(seen, Envelope::Batch(items.collect()));
    } else if !text.starts_with('{') {
        assert_eq!(seen, Envelope::Invalid(None));
    } else if let Some(members) = Model::members(text) {
        assert_eq!(seen, plain(&members).unwrap_or_else(|id| invalid(id)), "{text}");
    }
});

fn invalid(id: Option<&str>) -> Envelope {
    Envelope::Invalid(id.map(|id| id.as_bytes().to_vec().into()))
}

fn depth(text: &str) -> usize {
    let (mut depth, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '[' | '{' if !in_string => {
                depth += 1;
                most = most.max(depth);
            }
            ']' | '}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    most
}

/// The rules of JSON-RPC one by one; a message that breaks one is an error with the id that can be told.
fn plain<'a>(members: &[(String, &'a str)]) -> Result<Envelope, Option<&'a str>> {
    let known = ["jsonrpc", "id", "method", "params", "result", "error"];
    let [version, id, method, params, result, error] =
        known.map(|name| members.iter().find(|member| member.0 == name).map(|member| member.1));
    let is_double = |name: &&str| members.iter().filter(|member| member.0 == *name).count() > 1;
    if known.iter().any(is_double) {
        return Err(None);
    }
    let own = |text: &str| text.as_bytes().to_vec().into();
    let is_id = |id: &&str| id.starts_with('"') || id.parse::<f64>().is_ok();
    let readable = id.filter(is_id);
    let is_in_order =
        version == Some("\"2.0\"") && (readable.is_some() || matches!(id, None | Some("null")));
    if !is_in_order {
        return Err(readable);
    }
    match (method, result, error) {
        (Some(method), None, None) => {
            let method: String = serde_json::from_str(method).map_err(|_| readable)?;
            if params.is_some_and(|params| !params.starts_with(['{', '['])) {
                return Err(readable);
            }
            match (id, readable) {
                (Some(_), Some(id)) => Ok(Envelope::Request(own(id), method, params.map(own))),
                (None, _) => Ok(Envelope::Notification(method, params.map(own))),
                _ => Err(None),
            }
        }
        (None, Some(result), None) => Ok(Envelope::Response(readable.map(own), Ok(own(result)))),
        (None, None, Some(error)) if error.starts_with('{') => {
            Ok(Envelope::Response(readable.map(own), Err(own(error))))
        }
        _ => Err(readable),
    }
}
