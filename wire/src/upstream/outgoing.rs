//! A call as it is written to one server.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use toolweir_core::{Call, Error, InvalidJson, Kind, Method, RawJson};

use super::crossing;
use crate::message::{self, Id};
use crate::version::{Era, MODERN, is_modern, meta, own_identity};

/// What is written, and what must be put back on the way home.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    /// The caller's progress token, where it gave one; the server sees our id in its place.
    pub(super) token: Option<RawJson>,
}

/// Writes `call` under our own `id` for a server of `era`.
///
/// Of the params only these change: the target's name, the progress token, and the `_meta` members that 2026-07-28
/// reserves.
pub(super) fn encode(id: u64, call: &Call, era: Era) -> Result<Outgoing, Error> {
    let invalid =
        |error: InvalidJson| Error::new(Kind::InvalidRequest).message(format!("params: {error}"));
    let id = Id::own(id);
    let (params, token) = params(&id, call, era).map_err(invalid)?;
    Ok(Outgoing { bytes: message::request(&id, &call.method, params.as_ref()), token })
}

fn params(
    id: &Id,
    call: &Call,
    era: Era,
) -> Result<(Option<RawJson>, Option<RawJson>), InvalidJson> {
    let Some(given) = &call.params else {
        return Ok(match era {
            Era::Legacy => (None, None),
            Era::Modern => {
                let meta = modern_meta(&RawJson::EMPTY_OBJECT, call)?;
                (Some(RawJson::EMPTY_OBJECT.edit().set("_meta", &meta).finish()?), None)
            }
        });
    };
    let mut edit = given.edit();
    if let Some(target) = &call.target {
        edit = match call.method.target_member() {
            Some(member) => edit.set(member, &RawJson::of(&**target)?),
            None => match renamed_reference(call, target)? {
                Some(reference) => edit.set("ref", &reference),
                None => edit,
            },
        };
    }
    let given_meta = given.member("_meta").map(|part| part.to_json()).filter(RawJson::is_object);
    let token = given_meta
        .as_ref()
        .and_then(|given| given.member(meta::PROGRESS_TOKEN))
        .map(|part| part.to_json());
    let mut new_meta = given_meta.clone();
    if token.is_some()
        && let Some(meta) = &mut new_meta
    {
        *meta = meta.edit().set(meta::PROGRESS_TOKEN, id.as_json()).finish()?;
    }
    if era == Era::Legacy && is_modern_caller(call) && given.member("task").is_some() {
        edit = edit.remove("task"); // means nothing since 2026-07-28, but something to this server
    }
    match era {
        Era::Modern => {
            new_meta =
                Some(modern_meta(new_meta.as_ref().unwrap_or(&RawJson::EMPTY_OBJECT), call)?);
        }
        Era::Legacy => {
            if let Some(meta) = new_meta.take() {
                new_meta = crossing::legacy_meta(&meta)?;
            }
        }
    }
    edit = match (&given_meta, &new_meta) {
        (Some(given), Some(new)) if given == new => edit,
        (_, Some(new)) => edit.set("_meta", new),
        (Some(_), None) => edit.remove("_meta"),
        (None, None) => edit,
    };
    Ok((Some(edit.finish()?), token))
}

fn is_modern_caller(call: &Call) -> bool {
    call.client.protocol_version.as_deref().is_some_and(is_modern)
}

/// `completion/complete` names its target inside `ref`.
fn renamed_reference(call: &Call, target: &str) -> Result<Option<RawJson>, InvalidJson> {
    if call.method != Method::COMPLETE {
        return Ok(None);
    }
    let Some(reference) = call.params.as_ref().and_then(|params| params.member("ref")) else {
        return Ok(None);
    };
    let reference = reference.to_json();
    let member = if reference.member("uri").is_some() { "uri" } else { "name" };
    reference.edit().set(member, &RawJson::of(target)?).finish().map(Some)
}

/// What every modern request carries. A modern client's own words stay; for a legacy client we speak with what it can
/// do, and for the program itself we claim no capability.
fn modern_meta(given: &RawJson, call: &Call) -> Result<RawJson, InvalidJson> {
    let mut edit = given.edit().set(meta::VERSION, &RawJson::of(MODERN)?);
    // What a legacy client can be asked it is asked on its open call; its log level its listener sees to.
    let legacy = super::bridge::is_legacy_caller(call);
    if given.member(meta::CAPABILITIES).is_none() {
        let own = if legacy { call.client.capabilities.clone() } else { RawJson::EMPTY_OBJECT };
        edit = edit.set(meta::CAPABILITIES, &own);
    }
    if legacy && given.member(meta::LOG_LEVEL).is_none() {
        edit = edit.set(meta::LOG_LEVEL, &RawJson::of("debug")?);
    }
    if given.member(meta::CLIENT_INFO).is_none() {
        edit = edit.set(meta::CLIENT_INFO, &call.client.info.clone().unwrap_or_else(own_identity));
    }
    edit.finish()
}

/// A call's target as a header carries it.
pub(super) fn header_name(call: &Call) -> Option<Cow<'_, str>> {
    let target: &Arc<str> = call.target.as_ref()?;
    call.method.target_member().map(|_| crate::header::encode(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn written(call: &Call, era: Era) -> String {
        let bytes = encode(7, call, era).unwrap().bytes;
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn call(method: Method, params: &'static str) -> Call {
        Call::new(method, Some(RawJson::new(Bytes::from_static(params.as_bytes())).unwrap()))
    }

    #[test]
    fn changes_nothing_but_the_name_and_the_token() {
        let call = call(
            Method::TOOLS_CALL,
            r#"{"name":"git__log", "arguments":{"n":1e22,"m":100000000000000000000000000001}, "x":[1, 2],"_meta":{"progressToken":"p","y":1}}"#,
        )
        .target("log");
        assert_eq!(
            written(&call, Era::Legacy),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"log", "arguments":{"n":1e22,"m":100000000000000000000000000001}, "x":[1, 2],"_meta":{"progressToken":7,"y":1}}}"#,
        );
        assert_eq!(encode(7, &call, Era::Legacy).unwrap().token.unwrap().as_str(), r#""p""#);
    }

    #[test]
    fn what_was_omitted_stays_omitted() {
        assert_eq!(
            written(&Call::new(Method::TOOLS_LIST, None), Era::Legacy),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#,
        );
        let params = r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;
        assert_eq!(
            written(&call(Method::TOOLS_CALL, params).target("a"), Era::Legacy),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}}"#,
        );
    }

    #[test]
    fn a_modern_client_asks_no_legacy_server_for_a_task() {
        let call = call(Method::TOOLS_CALL, r#"{"name":"a","task":{"ttl":1}}"#).target("a");
        let by = |version: &str| {
            let mut client = toolweir_core::Client::new(toolweir_core::Principal::local());
            client.protocol_version = Some(version.into());
            written(&call.clone().client(Arc::new(client)), Era::Legacy)
        };
        assert!(by("2025-11-25").contains(r#""params":{"name":"a","task":{"ttl":1}}"#));
        assert!(by(MODERN).contains(r#""params":{"name":"a"}"#));
    }

    #[test]
    fn a_modern_server_always_sees_who_speaks() {
        let text = written(&Call::new(Method::TOOLS_LIST, None), Era::Modern);
        for key in [meta::VERSION, meta::CAPABILITIES, meta::CLIENT_INFO] {
            assert!(text.contains(key), "{text}");
        }
    }

    #[test]
    fn a_completion_names_its_target_inside_ref() {
        let call = call(
            Method::COMPLETE,
            r#"{"ref":{"type":"ref/prompt","name":"a__p"},"argument":{"name":"x","value":""}}"#,
        );
        assert!(
            written(&call.target("p"), Era::Legacy)
                .contains(r#""ref":{"type":"ref/prompt","name":"p"}"#)
        );
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let call = call(Method::TOOLS_CALL, r#"{"name":"a","n\u0061me":"b"}"#).target("a");
        assert_eq!(encode(7, &call, Era::Legacy).unwrap_err().kind(), Kind::InvalidRequest);
    }
}
