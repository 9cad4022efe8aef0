//! The rules that come with the crate.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jsonc_parser::JsonValue;
use serde_json::{Map, Value};

use super::Rule;
use super::read;

static TEXT: &str = include_str!("defaults.jsonc");

type Rules = BTreeMap<String, Vec<Arc<Rule>>>;

/// The rules of `defaults.jsonc`.
///
/// # Panics
/// Never in a build that passes its tests: the file is part of the program.
pub(super) fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> =
        LazyLock::new(|| parse(TEXT).expect("the built-in handlers are tested"));
    &RULES
}

fn parse(text: &str) -> Result<Rules, String> {
    let parsed = jsonc_parser::parse_to_value(text, &jsonc_parser::ParseOptions::default())
        .map_err(|error| error.to_string())?;
    let Some(Value::Object(types)) = parsed.map(json) else { return Err("no object".to_owned()) };
    types
        .into_iter()
        .map(|(request_type, mut handler)| {
            let name = |key| handler[key].as_str().map(Arc::<str>::from);
            let (capability, source) = (name("capability"), name("source"));
            if capability.is_none() || source.is_none() {
                return Err(format!("{request_type} has no capability or source"));
            }
            let rules = serde_json::json!({"rules": handler["rules"].take()});
            let rules =
                read::handler(&rules).map_err(|error| format!("{error} at {}", error.pointer))?;
            let told = |rule: Rule| {
                Arc::new(Rule { capability: capability.clone(), source: source.clone(), ..rule })
            };
            Ok((request_type, rules.into_iter().map(told).collect()))
        })
        .collect()
}

fn json(value: JsonValue<'_>) -> Value {
    match value {
        JsonValue::String(text) => Value::String(text.into_owned()),
        JsonValue::Number(number) => number.parse().map_or(Value::Null, Value::Number),
        JsonValue::Boolean(flag) => Value::Bool(flag),
        JsonValue::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| (key.to_string(), json(value)))
                .collect::<Map<_, _>>(),
        ),
        JsonValue::Array(items) => items.into_iter().map(json).collect(),
        JsonValue::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_read() {
        let rules = parse(TEXT).unwrap();
        assert_eq!(rules.len(), 5);
        assert!(parse("[]").is_err());
        assert!(parse(r#"{"a": {"rules": [{"tool": "b"}]}}"#).unwrap_err().contains("source"));
    }
}
