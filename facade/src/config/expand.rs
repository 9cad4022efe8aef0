//! `${NAME}`, `${NAME:-default}` and `${env:NAME}`.

use std::ops::Range;

/// What is wrong with one reference, and the bytes it takes in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) bytes: Range<usize>,
    pub(super) kind: FaultKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The variable is not set and has no default.
    Unset(String),
    /// `${` without `}`.
    Unclosed,
    /// Not a variable's name.
    BadName,
    /// `${input:..}`, which an editor asks its user for.
    Input,
    /// A default with a reference in it.
    Nested,
}

/// Replaces each reference. What comes in is not expanded again.
pub(super) fn expand(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Vec<Fault>> {
    let mut value = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        value.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            faults.push(Fault { bytes: start..text.len(), kind: FaultKind::Unclosed });
            at = text.len();
            break;
        };
        at = start + length + 1;
        match resolve(&text[start + 2..at - 1], env) {
            Ok(found) => value.push_str(&found),
            Err(kind) => faults.push(Fault { bytes: start..at, kind }),
        }
    }
    value.push_str(&text[at..]);
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}

fn resolve(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, FaultKind> {
    if reference.starts_with("input:") {
        return Err(FaultKind::Input);
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let name = name.strip_prefix("env:").unwrap_or(name);
    if default.is_some_and(|default| default.contains("${")) {
        return Err(FaultKind::Nested);
    }
    if !is_name(name) {
        return Err(FaultKind::BadName);
    }
    match env(name).or_else(|| default.map(str::to_owned)) {
        Some(value) => Ok(value),
        None => Err(FaultKind::Unset(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "REF" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced() {
        for (text, value) in [
            ("", ""),
            ("plain $ $A $$ {A} }", "plain $ $A $$ {A} }"),
            ("${A}", "one"),
            ("<${A}${env:A}>", "<oneone>"),
            ("${B:-two}", "two"),
            ("${B:-}", ""),
            ("${B:-a:-b}", "a:-b"),
            ("${env:B:-two}", "two"),
            ("${A:-two}", "one"),
            ("${EMPTY:-two}", ""),
            ("${REF}", "${A}"),
            ("$${A}", "$one"),
            ("é${A}é", "éoneé"),
        ] {
            assert_eq!(expand(text, &env), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn each_fault_has_its_place() {
        let unset = |name: &str| FaultKind::Unset(name.to_owned());
        for (text, faults) in [
            ("${B}", vec![(0..4, unset("B"))]),
            ("é${B}${A}${env:C}", vec![(2..6, unset("B")), (10..18, unset("C"))]),
            ("x${A", vec![(1..4, FaultKind::Unclosed)]),
            ("${}", vec![(0..3, FaultKind::BadName)]),
            ("${1A} ${A B}", vec![(0..5, FaultKind::BadName), (6..12, FaultKind::BadName)]),
            ("${input:key}", vec![(0..12, FaultKind::Input)]),
            ("${B:-${A}}", vec![(0..9, FaultKind::Nested)]),
        ] {
            let faults: Vec<_> =
                faults.into_iter().map(|(bytes, kind)| Fault { bytes, kind }).collect();
            assert_eq!(expand(text, &env), Err(faults), "{text}");
        }
    }
}
