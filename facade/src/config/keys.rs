//! Which keys there are.

use jsonc_parser::ast::Value;

use super::load::whole;
use super::parse::parse;
use super::source::Source;
use super::walk::{Walk, span};

/// Has every object that is read key by key; `*` is where any name may stand.
const SKELETON: &str = r#"{
  "mcpServers": { "*": { "breaker": {}, "rateLimit": {}, "rateLimitPerUser": {}, "concurrency": {}, "cache": {}, "retry": {}, "hedge": {}, "isolate": {}, "tools": { "*": { "hints": {}, "rateLimit": {}, "rateLimitPerUser": {} } } } },
  "toolweir": { "breaker": {}, "rateLimit": {}, "rateLimitPerUser": {}, "concurrency": {}, "cache": {}, "retry": {}, "hedge": {}, "alerts": { "rules": { "*": {} } },
    "pools": { "*": { "tools": { "*": { "members": { "*": {} } } } } } },
}"#;

/// Every key that a configuration may have, as a path such as `toolweir.breaker.failures`; `*` stands for any name.
///
/// The reader itself is asked, so that none can be missing within the objects that it knows.
///
/// ```
/// assert!(toolweir::config::keys().contains(&"mcpServers.*.env".to_owned()));
/// ```
#[must_use]
pub fn keys() -> Vec<String> {
    let mut walk = Walk::new(Source::new("keys", SKELETON), &|_| None);
    let mut keys = Vec::new();
    if let Some(root) = parse(&mut walk, SKELETON) {
        let _ = whole(&mut walk, &root);
        gather(&root, "", walk.asked(), &mut keys);
    }
    keys.sort_unstable();
    keys
}

fn gather(
    value: &Value<'_>,
    path: &str,
    asked: &[(usize, Vec<&'static str>)],
    keys: &mut Vec<String>,
) {
    let Some(object) = value.as_object() else { return };
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (_, known) in asked.iter().filter(|(start, _)| *start == span(object).start) {
        keys.extend(known.iter().map(|key| join(key)));
    }
    for property in &object.properties {
        gather(&property.value, &join(property.name.as_str()), asked, keys);
    }
}
