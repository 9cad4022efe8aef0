//! What all servers offer, as one.

use std::sync::Arc;

use toolweir_core::{RawJson, ServerInfo};

/// How large the capabilities may become that are passed on without being known here.
const SIZE_MAX: usize = 64 << 10;
/// How deep `tasks` goes: `tasks.requests.tools.call`.
const TASKS_DEPTH: usize = 4;

/// What the servers offer together; of what is known here, all there is while one of them was never there to say
/// (`None` among `infos`).
pub(super) fn merged(infos: &[Option<Arc<ServerInfo>>]) -> RawJson {
    let all = || infos.iter().flatten();
    let is_complete = all().count() == infos.len();
    let offers =
        |name: &str| !is_complete || all().any(|info| info.capabilities.member(name).is_some());
    let subscribes = !is_complete
        || all().any(|info| {
            let resources = info.capabilities.member("resources").map(|part| part.to_json());
            let subscribe = resources.as_ref().and_then(|part| part.member("subscribe"));
            subscribe.is_some_and(|value| value.as_bytes() == b"true")
        });
    let mut offered = serde_json::json!({
        "tools": { "listChanged": true },
        "prompts": { "listChanged": true },
        "resources": { "listChanged": true },
    });
    if subscribes {
        offered["resources"]["subscribe"] = true.into();
    }
    for name in ["completions", "logging"] {
        if offers(name) {
            offered[name] = serde_json::json!({});
        }
    }
    let mut merged = RawJson::from(offered);
    for info in all() {
        for member in info.capabilities.members() {
            let depth = match member.key.as_ref() {
                "tools" | "prompts" | "resources" | "completions" | "logging" => continue,
                "tasks" => TASKS_DEPTH,
                // Each of these is one server's word as a whole: of two with one name, the first one's.
                "extensions" | "experimental" => 1,
                _ => 0,
            };
            let one =
                RawJson::EMPTY_OBJECT.edit().set(member.key, &member.value.to_json()).finish();
            let both = one.ok().map(|one| union(&merged, &one, depth + 1));
            match both.filter(|both| both.len() <= SIZE_MAX) {
                Some(both) => merged = both,
                None => tracing::warn!("a server's capabilities are too large to be passed on"),
            }
        }
    }
    merged
}

/// The members of both; where both have one, the first one's, or the union of the two down to `depth`.
fn union(one: &RawJson, other: &RawJson, depth: usize) -> RawJson {
    if depth == 0 || !one.is_object() || !other.is_object() {
        return one.clone();
    }
    let mut both = one.clone();
    for member in other.members() {
        let theirs = member.value.to_json();
        let value = match one.member(&member.key).map(|part| part.to_json()) {
            None => theirs,
            Some(ours) => union(&ours, &theirs, depth - 1),
        };
        if let Ok(edited) = both.edit().set(member.key, &value).finish() {
            both = edited;
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(capabilities: &[&str]) -> serde_json::Value {
        let infos: Vec<_> = capabilities
            .iter()
            .map(|text| {
                let capabilities = RawJson::new(text.to_string()).unwrap();
                Some(Arc::new(ServerInfo::new(RawJson::EMPTY_OBJECT, capabilities)))
            })
            .collect();
        let mut merged: serde_json::Value = merged(&infos).get().unwrap();
        for known in ["tools", "prompts", "resources"] {
            merged.as_object_mut().unwrap().remove(known);
        }
        merged
    }

    #[test]
    fn what_any_server_offers_is_offered() {
        let cases: [(&[&str], &str); 6] = [
            (&[r#"{"tools":{}}"#], "{}"),
            (&[r#"{"logging":{}}"#, r#"{"completions":{}}"#], r#"{"logging":{},"completions":{}}"#),
            (
                &[
                    r#"{"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"#,
                    r#"{"tasks":{"cancel":{},"requests":{"tools":{"x":{}},"y":{}}}}"#,
                ],
                r#"{"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{},"x":{}},"y":{}}}}"#,
            ),
            (
                &[
                    r#"{"extensions":{"a/x":{"n":[1]}},"experimental":{"e":1}}"#,
                    r#"{"extensions":{"a/x":{"n":[2],"m":3},"b/y":{}},"experimental":{"f":{}}}"#,
                ],
                r#"{"extensions":{"a/x":{"n":[1]},"b/y":{}},"experimental":{"e":1,"f":{}}}"#,
            ),
            (&[r#"{"unheard":{"of":1}}"#, r#"{"unheard":{"of":2}}"#], r#"{"unheard":{"of":1}}"#),
            (&[r#"{"extensions":7}"#, r#"{"extensions":{"a/x":{}}}"#], r#"{"extensions":7}"#),
        ];
        for (capabilities, expected) in cases {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(of(capabilities), expected, "{capabilities:?}");
        }
    }

    #[test]
    fn a_server_that_says_too_much_costs_its_own_word_only() {
        let long = format!(r#"{{"extensions":{{"a/x":"{}"}}}}"#, "x".repeat(SIZE_MAX));
        let merged = of(&[&long, r#"{"extensions":{"b/y":{}}}"#]);
        assert_eq!(merged, serde_json::json!({ "extensions": { "b/y": {} } }));
    }

    #[test]
    fn who_was_never_there_may_offer_all_that_is_known() {
        let merged = merged(&[None]);
        let names: Vec<_> = merged.members().map(|member| member.key.into_owned()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
    }
}
