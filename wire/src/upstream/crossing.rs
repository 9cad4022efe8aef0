//! What a notification says that is true on one connection alone, and does not go on to the next.

use toolweir_core::{InvalidJson, Notification, RawJson, ServerMessage};

use crate::version::{Era, meta};

/// What a client of 2026-07-28 says of itself; a legacy server knows none of it.
const OF_CLIENTS: [&str; 4] =
    [meta::VERSION, meta::CAPABILITIES, meta::CLIENT_INFO, meta::LOG_LEVEL];

/// A request's `_meta` as a legacy server sees it; `None` where nothing is left.
pub(super) fn legacy_meta(meta: &RawJson) -> Result<Option<RawJson>, InvalidJson> {
    without(meta, &OF_CLIENTS)
}

/// A client's notification as a server of `era` is told it.
pub(super) fn told(notification: Notification, era: Era) -> Notification {
    match era {
        Era::Legacy => edited(notification, &OF_CLIENTS),
        Era::Modern => notification,
    }
}

/// What a server says unasked, without the name of our subscription there: who hears it has others, or knows of none.
pub(super) fn heard(message: ServerMessage) -> ServerMessage {
    match message {
        ServerMessage::Notification(notification) => {
            ServerMessage::Notification(edited(notification, &[meta::SUBSCRIPTION_ID]))
        }
        other => other,
    }
}

fn edited(notification: Notification, keys: &[&str]) -> Notification {
    let params = notification.params.as_ref().and_then(|params| {
        let given = params.member("_meta")?.to_json();
        let edit = match without(&given, keys).ok()? {
            Some(rest) if rest == given => return None,
            Some(rest) => params.edit().set("_meta", &rest),
            None => params.edit().remove("_meta"),
        };
        edit.finish().ok()
    });
    match params {
        Some(params) => Notification::new(notification.method, Some(params)),
        None => notification,
    }
}

/// The object without these members; `None` where that empties it.
fn without(object: &RawJson, keys: &[&str]) -> Result<Option<RawJson>, InvalidJson> {
    if !object.is_object() || keys.iter().all(|key| object.member(key).is_none()) {
        return Ok(Some(object.clone()));
    }
    let rest = keys.iter().fold(object.edit(), |edit, key| edit.remove(*key)).finish()?;
    Ok(rest.members().next().is_some().then_some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolweir_core::Method;

    /// The params of a notification after `change`.
    fn after(params: &str, change: impl FnOnce(Notification) -> Notification) -> String {
        let params = RawJson::new(params.to_owned()).unwrap();
        let changed = change(Notification::new(Method::from("notifications/x"), Some(params)));
        changed.params.unwrap().as_str().to_owned()
    }

    #[test]
    fn only_what_is_of_one_connection_is_left_behind() {
        let mark = r#""io.modelcontextprotocol/subscriptionId":7"#;
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        let cases = [
            (r#"{"n":1e22, "x":{"_meta":{MARK}}}"#, r#"{"n":1e22, "x":{"_meta":{MARK}}}"#),
            (r#"{"_meta":7}"#, r#"{"_meta":7}"#),
            (r#"{"_meta":{},"n":1e22}"#, r#"{"_meta":{},"n":1e22}"#),
            (r#"{"n":1e22,"_meta":{"k":1.10,MARK}}"#, r#"{"n":1e22,"_meta":{"k":1.10}}"#),
            (r#"{"n":1e22,"_meta":{MARK}}"#, r#"{"n":1e22}"#),
        ];
        for (before, expected) in cases {
            let [heard_before, told_before] = [mark, version].map(|it| before.replace("MARK", it));
            let [heard_after, told_after] = [mark, version].map(|it| expected.replace("MARK", it));
            let hear = |notification| match heard(ServerMessage::Notification(notification)) {
                ServerMessage::Notification(notification) => notification,
                other => panic!("{other:?}"),
            };
            assert_eq!(after(&heard_before, hear), heard_after);
            assert_eq!(after(&told_before, |it| told(it, Era::Legacy)), told_after);
            assert_eq!(after(&told_before, |it| told(it, Era::Modern)), told_before);
        }
    }
}
