//! From the text to its tree, and what must hold of any tree.

use std::collections::HashMap;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::walk::{Walk, clean, span};

/// Objects and lists may stand so deep within each other.
const DEEPEST: usize = 64;

/// JSON with comments and trailing commas, nothing looser.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The tree of `text`, which is the walk's; `None` where it has none, and the walk has been told why.
pub(super) fn parse<'t>(walk: &mut Walk<'_>, text: &'t str) -> Option<Value<'t>> {
    match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => {
            let Some(value) = parsed.value else {
                walk.error(0..text.len(), "the file is empty")
                    .help(r#"begin with `{ "mcpServers": { } }`"#);
                return None;
            };
            check(walk, &value, 1).then_some(value)
        }
        Err(error) => {
            let (what, help) = explain(error.kind());
            walk.error(span(&error.range()), what).help(help);
            None
        }
    }
}

fn explain(kind: &ParseErrorKind) -> (String, &'static str) {
    let mut what = kind.to_string();
    if let Some(first) = what.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let help = match kind {
        ParseErrorKind::ExpectedComma => "put a comma here",
        ParseErrorKind::ExpectedColonAfterObjectKey => "put a colon between the key and its value",
        ParseErrorKind::ExpectedObjectValue => "put a value after the colon",
        ParseErrorKind::SingleQuotedStringsNotAllowed => "use double quotes",
        ParseErrorKind::ExpectedStringObjectProperty | ParseErrorKind::UnexpectedWord => {
            "put it in double quotes, if it is meant as text"
        }
        ParseErrorKind::UnexpectedCloseBrace | ParseErrorKind::UnexpectedCloseBracket => {
            "is a value missing before it, or is there one bracket too many?"
        }
        ParseErrorKind::UnterminatedObject => "this object has no closing `}`",
        ParseErrorKind::UnterminatedArray => "this list has no closing `]`",
        ParseErrorKind::UnterminatedCommentBlock => "end the comment with `*/`",
        ParseErrorKind::NestingDepthExceeded => "a configuration needs no such depth",
        ParseErrorKind::MultipleRootJsonValues => {
            "the file must be one object: `{ .. }`; remove what follows it"
        }
        ParseErrorKind::String(_) => {
            "strings are JSON strings: in double quotes, with `\\` before `\"` and `\\`"
        }
        _ => "the file must be JSON; comments and trailing commas are allowed",
    };
    (what, help)
}

/// Depth and duplicate keys. False where the tree is too deep to be walked.
fn check(walk: &mut Walk<'_>, value: &Value<'_>, depth: usize) -> bool {
    if depth > DEEPEST {
        walk.error(span(value), format!("nested deeper than {DEEPEST} levels"))
            .help("a configuration needs no such depth");
        return false;
    }
    match value {
        Value::Object(object) => {
            duplicates(walk, object);
            object.properties.iter().all(|property| check_within(walk, &property.value, depth))
        }
        Value::Array(list) => {
            list.elements.iter().all(|element| check_within(walk, element, depth))
        }
        _ => true,
    }
}

fn check_within(walk: &mut Walk<'_>, value: &Value<'_>, depth: usize) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_)) || check(walk, value, depth + 1)
}

fn duplicates(walk: &mut Walk<'_>, object: &Object<'_>) {
    let mut seen: HashMap<&str, &ObjectProp<'_>> = HashMap::with_capacity(object.properties.len());
    for property in &object.properties {
        let key = property.name.as_str();
        match seen.get(key) {
            Some(first) => {
                let first = walk.place(span(&first.name));
                walk.error(
                    span(&property.name),
                    format!("the key `{}` is given twice", clean(key)),
                )
                .and_at(first, "first here")
                .help("remove one of the two, or give it another name");
            }
            None => {
                seen.insert(key, property);
            }
        }
    }
}
