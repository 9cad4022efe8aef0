//! The places where a message names a task. All other bytes stay as they came.

use toolweir_core::RawJson;

const ID: &str = "taskId";
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// What a task is called on the other side; `None` where it is nobody's there.
type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An object with `taskId`: a task, or what is told of one. `None` where it has none, or none to tell of.
pub(super) fn object(object: &RawJson, rename: Rename<'_>) -> Option<RawJson> {
    let own = object.member(ID)?;
    let name = RawJson::of(&rename(&own.string()?)?).ok()?;
    object.edit().set(ID, &name).finish().ok()
}

/// An object with a task in its member `task`: a `CreateTaskResult` of 2025-11-25.
pub(super) fn nested(result: &RawJson, rename: Rename<'_>) -> Option<RawJson> {
    let task = object(&result.member("task")?.to_json(), rename)?;
    result.edit().set("task", &task).finish().ok()
}

/// What says in its `_meta` which task it belongs to; `None` where it does not.
pub(super) fn related(message: &RawJson, rename: Rename<'_>) -> Option<RawJson> {
    // Most messages are told apart by one look at their bytes.
    if !message.as_str().contains(RELATED) {
        return None;
    }
    let meta = message.member("_meta")?.to_json();
    let related = object(&meta.member(RELATED)?.to_json(), rename)?;
    let meta = meta.edit().set(RELATED, &related).finish().ok()?;
    message.edit().set("_meta", &meta).finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_changes() {
        type Change = fn(&RawJson, Rename<'_>) -> Option<RawJson>;
        let cases: [(Change, &str, Option<&str>); 8] = [
            (
                object,
                r#"{"x":1e22, "taskId" : "a","y":[ ]}"#,
                Some(r#"{"x":1e22, "taskId" : "A","y":[ ]}"#),
            ),
            (object, r#"{"taskId":"gone"}"#, None),
            (object, r#"{"taskId":7}"#, None),
            (object, r#"{"id":"a"}"#, None),
            (
                nested,
                r#"{"task":{"taskId":"a","ttl":null},"_meta":{}}"#,
                Some(r#"{"task":{"taskId":"A","ttl":null},"_meta":{}}"#),
            ),
            (nested, r#"{"task":"a"}"#, None),
            (
                related,
                r#"{"_meta":{"k":1,"io.modelcontextprotocol/related-task":{"taskId":"a"}},"content":[]}"#,
                Some(
                    r#"{"_meta":{"k":1,"io.modelcontextprotocol/related-task":{"taskId":"A"}},"content":[]}"#,
                ),
            ),
            (related, r#"{"text":"io.modelcontextprotocol/related-task"}"#, None),
        ];
        let rename = |own: &str| (own == "a").then(|| "A".to_owned());
        for (change, before, after) in cases {
            let changed = change(&RawJson::new(before).unwrap(), &rename);
            assert_eq!(changed.as_ref().map(RawJson::as_str), after, "{before}");
        }
    }
}
