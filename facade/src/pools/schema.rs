//! What a tool takes, as far as its schema says so.

use toolweir_core::RawJson;

use super::Equivalent;

const SCHEMA: &str = "inputSchema";

/// The arguments that a tool takes.
#[derive(Debug, PartialEq)]
pub(super) struct Arguments {
    names: Vec<String>,
    required: Vec<String>,
    /// Whether these are certainly all that it takes.
    are_all: bool,
}

/// With one of these a schema says more than its `properties` do.
const FURTHER: [&str; 8] =
    ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties", "propertyNames"];

impl Arguments {
    /// Those of a tool by its definition.
    ///
    /// JSON Schema lets further arguments pass unless it says otherwise; tools list what they know. So a name that is
    /// not listed counts as unknown, unless the schema says that any may come or speaks in more than a plain list.
    pub(super) fn of(definition: &RawJson) -> Self {
        let schema = definition.member(SCHEMA).map(|schema| schema.to_json());
        let schema = schema.unwrap_or(RawJson::NULL);
        let member = |key| schema.member(key).map(|member| member.to_json());
        let properties = member("properties");
        let names = properties.iter().flat_map(RawJson::members);
        let further = member("additionalProperties");
        let takes_any = further.is_some_and(|further| further.as_str() != "false");
        Self {
            names: names.map(|member| member.key.into_owned()).collect(),
            required: member("required").map(|list| texts(&list)).unwrap_or_default(),
            are_all: properties.is_some()
                && !takes_any
                && FURTHER.iter().all(|key| schema.member(key).is_none()),
        }
    }

    fn lacks(&self, name: &str) -> bool {
        self.are_all && !self.names.iter().any(|known| known == name)
    }

    /// What keeps a tool that takes these from standing in, as `how` says, for one whose callers give `callers`.
    /// What `how` names of the callers' is looked for where these are `sure` to be what the pool means, and not just what
    /// another member takes as long as the first is not known.
    pub(super) fn misfit(&self, callers: &Self, sure: bool, how: &Equivalent) -> Option<String> {
        let tool = &how.tool;
        let own = how.rename.iter().map(|(_, to)| to);
        let mut named = own.chain(how.set.iter().chain(&how.defaults).map(|(name, _)| name));
        if let Some(name) = named.find(|name| self.lacks(name)) {
            let known = listed(&self.names);
            return Some(format!("`{tool}` there takes no `{name}`: it takes {known}"));
        }
        let mut given = how.rename.iter().map(|(from, _)| from).chain(&how.drop);
        if let Some(name) = given.find(|name| sure && callers.lacks(name)) {
            let known = listed(&callers.names);
            return Some(format!("callers give no `{name}`: they give {known}"));
        }
        let mut owns: Vec<(&str, &str)> = Vec::new();
        for name in &callers.names {
            let Some(own) = how.own_name(name) else { continue };
            if self.lacks(own) {
                return Some(format!("`{tool}` there takes no `{own}`: `rename` it or `drop` it"));
            }
            if let Some((other, _)) = owns.iter().find(|(_, known)| *known == own) {
                return Some(format!("callers' `{other}` and `{name}` are both its `{own}`"));
            }
            owns.push((name, own));
        }
        let is_given = |wanted: &str| {
            owns.iter().any(|(_, own)| *own == wanted)
                || how.sets(wanted)
                || how.defaults.iter().any(|(name, _)| name == wanted)
        };
        let missing = self.required.iter().find(|wanted| callers.are_all && !is_given(wanted));
        missing.map(|wanted| {
            format!("`{tool}` there needs `{wanted}`, which nothing gives: `set` it, or `rename` what it is")
        })
    }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 12;
    let mut text: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.len() > MOST {
        text.push(format!("and {} more", names.len() - MOST));
    }
    if text.is_empty() { "no argument".to_owned() } else { text.join(", ") }
}

fn texts(list: &RawJson) -> Vec<String> {
    list.items().filter_map(|item| Some(item.string()?.into_owned())).collect()
}

/// A tool's definition as its callers through `how` see it: arguments by the callers' names, without those that are set,
/// and those with a default not required. `None` where it is not well-formed.
pub(super) fn shown(definition: &RawJson, how: &Equivalent) -> Option<RawJson> {
    let Some(schema) = definition.member(SCHEMA).map(|schema| schema.to_json()) else {
        return Some(definition.clone());
    };
    if how.is_plain() {
        return Some(definition.clone());
    }
    let callers_name = |own: &str| {
        let renamed = how.rename.iter().find(|(_, to)| to == own);
        renamed.map_or_else(|| own.to_owned(), |(from, _)| from.clone())
    };
    let mut changed = schema.clone();
    if let Some(properties) = schema.member("properties").map(|it| it.to_json()) {
        let empty = RawJson::EMPTY_OBJECT;
        let mut edit = empty.edit();
        for member in properties.members().filter(|member| !how.sets(&member.key)) {
            edit = edit.set(callers_name(&member.key), &member.value.to_json());
        }
        changed = changed.edit().set("properties", &edit.finish().ok()?).finish().ok()?;
    }
    if let Some(required) = schema.member("required").map(|it| it.to_json()) {
        let has_default = |own: &str| how.defaults.iter().any(|(name, _)| name == own);
        let required = texts(&required);
        let left = required.iter().filter(|own| !how.sets(own) && !has_default(own));
        let left: Vec<String> = left.map(|own| callers_name(own)).collect();
        changed = changed.edit().set("required", &RawJson::of(&left).ok()?).finish().ok()?;
    }
    definition.edit().set(SCHEMA, &changed).finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tool(schema: Value) -> RawJson {
        RawJson::from(json!({ "name": "t", "inputSchema": schema }))
    }

    fn plain(names: &[&str], required: &[&str]) -> RawJson {
        let properties: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        tool(json!({ "type": "object", "properties": properties, "required": required }))
    }

    fn how() -> Equivalent {
        Equivalent::new("t")
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let cases = [
            // The member's tool, the callers', the way between them, and what is said.
            (plain(&["q"], &["q"]), plain(&["q"], &[]), how(), ""),
            (plain(&["q"], &[]), plain(&["n"], &[]), how().rename("n", "q"), ""),
            (
                plain(&["q"], &[]),
                plain(&["n"], &[]),
                how().rename("n", "z"),
                "takes no `z`: it takes `q`",
            ),
            (plain(&["q"], &[]), plain(&["q"], &[]), how().set("z", &json!(1)), "takes no `z`"),
            (
                plain(&["q"], &[]),
                plain(&["q"], &[]),
                how().with_default("z", &json!(1)),
                "takes no `z`",
            ),
            (
                plain(&["q"], &[]),
                plain(&["q"], &[]),
                how().without("z"),
                "callers give no `z`: they give `q`",
            ),
            (plain(&["q"], &[]), plain(&["q"], &[]), how().rename("z", "q"), "callers give no `z`"),
            (
                plain(&["q"], &[]),
                plain(&["q", "n"], &[]),
                how(),
                "takes no `n`: `rename` it or `drop` it",
            ),
            (plain(&["q"], &[]), plain(&["q", "n"], &[]), how().without("n"), ""),
            (
                plain(&["q"], &[]),
                plain(&["q", "n"], &[]),
                how().rename("n", "q"),
                "`n` and `q` are both its `q`",
            ),
            (
                plain(&["q", "k"], &["k"]),
                plain(&["q"], &[]),
                how(),
                "needs `k`, which nothing gives",
            ),
            (plain(&["q", "k"], &["k"]), plain(&["q"], &[]), how().set("k", &json!(1)), ""),
            (
                plain(&["q", "k"], &["k"]),
                plain(&["q"], &[]),
                how().with_default("k", &json!(1)),
                "",
            ),
            (plain(&[], &[]), plain(&["q"], &[]), how(), "takes no `q`"),
            // Of what says more than a plain list nothing is certain.
            (tool(json!({ "type": "object" })), plain(&["q"], &[]), how(), ""),
            (
                tool(json!({ "properties": {}, "additionalProperties": true })),
                plain(&["q"], &[]),
                how(),
                "",
            ),
            (tool(json!({ "properties": {}, "anyOf": [] })), plain(&["q"], &[]), how(), ""),
            (plain(&["q", "k"], &["k"]), tool(json!(true)), how().without("z"), ""),
            (RawJson::from(json!({ "name": "t" })), plain(&["q"], &[]), how(), ""),
        ];
        for (own, callers, how, expected) in cases {
            let said = Arguments::of(&own).misfit(&Arguments::of(&callers), true, &how);
            match &said {
                None => assert_eq!(expected, "", "{own:?} {callers:?} {how}"),
                Some(said) if !expected.is_empty() => assert!(said.contains(expected), "{said}"),
                Some(said) => panic!("{own:?} {callers:?} {how}: {said}"),
            }
        }
    }

    #[test]
    fn a_definition_is_shown_in_the_callers_words() {
        let own = RawJson::new(
            r#"{"name":"t","inputSchema":{"type":"object","properties":{"z":{"type":"number","maximum":1e2},"a":{},"k":{}},"required":["z","k","a"]},"x":1}"#,
        )
        .unwrap();
        let through = |how: Equivalent| shown(&own, &how).unwrap();
        assert_eq!(through(how()), own);
        assert_eq!(
            through(how().rename("count", "z").set("k", &json!(1)).with_default("a", &json!(2)))
                .as_str(),
            r#"{"name":"t","inputSchema":{"type":"object","properties":{"count":{"type":"number","maximum":1e2},"a":{}},"required":["count"]},"x":1}"#,
        );
    }
}
