//! Typed reading of a tree: each helper either gives the value or notes what is wrong with it.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use jsonc_parser::ast::{Object, StringLit, Value};
use jsonc_parser::common::Ranged;

use super::diagnostics::{Problem, Severity};
use super::expand::{FaultKind, expand};
use super::hide::secrets;
use super::secret::{Secret, Text};
use super::source::{Place, Source};
use super::suggest::nearest;

/// One pass over a file: its text, the environment, and what was found to be wrong.
pub(super) struct Walk<'e> {
    source: Arc<Source>,
    env: &'e dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
    asked: Vec<(usize, Vec<&'static str>)>,
    /// How bad an unset variable is: in a server that is switched off it does not matter.
    pub(super) unset: Severity,
}

/// The bytes that a node takes.
pub(super) fn span(node: &impl Ranged) -> Range<usize> {
    node.start()..node.end()
}

/// A key from the file, fit to be printed.
pub(super) fn clean(key: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = key.chars().take(60).map(printable).collect();
    if key.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

impl<'e> Walk<'e> {
    pub(super) fn new(source: Source, env: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source: Arc::new(source),
            env,
            problems: Vec::new(),
            asked: Vec::new(),
            unset: Severity::Error,
        }
    }

    /// The text with its secrets hidden, and all problems, which show no other.
    pub(super) fn finish(mut self) -> (Arc<Source>, Vec<Problem>) {
        let shown = Arc::new(self.source.mask(&secrets(self.source.text())));
        self.problems.iter_mut().for_each(|problem| problem.show_as(&shown));
        (shown, self.problems)
    }

    /// Whether nothing was found to be wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// How much was found to be wrong so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    /// The keys that were asked for, by the first byte of the object that was asked.
    pub(super) fn asked(&self) -> &[(usize, Vec<&'static str>)] {
        &self.asked
    }

    pub(super) fn error(&mut self, at: Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.note(Severity::Error, at, message)
    }

    pub(super) fn warn(&mut self, at: Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.note(Severity::Warning, at, message)
    }

    pub(super) fn note(
        &mut self,
        severity: Severity,
        at: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Problem {
        let place = self.place(at);
        let at = self.problems.len();
        self.problems.push(Problem::new(Arc::clone(&self.source), severity, Some(place), message));
        &mut self.problems[at]
    }

    pub(super) fn place(&self, bytes: Range<usize>) -> Place {
        self.source.place(bytes)
    }

    /// The file's name.
    pub(super) fn file(&self) -> &str {
        self.source.name()
    }

    fn mistyped(&mut self, value: &Value<'_>, what: &str, wanted: &str) -> &mut Problem {
        let message = format!("`{what}` must be {wanted}, not {}", kind(value));
        self.error(span(value), message)
    }

    pub(super) fn object<'a, 't>(
        &mut self,
        value: &'a Value<'t>,
        what: &str,
    ) -> Option<&'a Object<'t>> {
        if value.as_object().is_none() {
            self.mistyped(value, what, "an object").help("write `{ .. }`");
        }
        value.as_object()
    }

    pub(super) fn list<'a, 't>(
        &mut self,
        value: &'a Value<'t>,
        what: &str,
    ) -> Option<&'a [Value<'t>]> {
        let Some(list) = value.as_array() else {
            self.mistyped(value, what, "a list").help("write `[ .. ]`");
            return None;
        };
        Some(&list.elements)
    }

    pub(super) fn boolean(&mut self, value: &Value<'_>, what: &str) -> Option<bool> {
        let Some(literal) = value.as_boolean_lit() else {
            self.mistyped(value, what, "true or false")
                .help("write `true` or `false`, without quotes");
            return None;
        };
        Some(literal.value)
    }

    /// A whole number within `range`.
    pub(super) fn integer(
        &mut self,
        value: &Value<'_>,
        what: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let (least, most) = (*range.start(), *range.end());
        let wanted = format!("a whole number from {least} to {most}");
        let Some(literal) = value.as_number_lit() else {
            self.mistyped(value, what, &wanted).help("write a number, without quotes");
            return None;
        };
        let number = literal.value.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(span(literal), format!("`{what}` must be {wanted}"))
                .help(format!("write digits only, at least {least} and at most {most}"));
        }
        number
    }

    /// A number within `range`.
    pub(super) fn number(
        &mut self,
        value: &Value<'_>,
        what: &str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        let Some(literal) = value.as_number_lit() else {
            self.mistyped(value, what, &wanted).help("write a number, without quotes");
            return None;
        };
        let number = literal.value.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(span(literal), format!("`{what}` must be {wanted}")).help(format!(
                "write at least {} and at most {}",
                range.start(),
                range.end()
            ));
        }
        number
    }

    pub(super) fn millis(
        &mut self,
        value: &Value<'_>,
        what: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Duration> {
        self.integer(value, what, range).map(Duration::from_millis)
    }

    /// A string with its variables replaced.
    pub(super) fn text(&mut self, value: &Value<'_>, what: &str) -> Option<Text> {
        let Some(literal) = value.as_string_lit() else {
            self.mistyped(value, what, "a string").help("write it in double quotes");
            return None;
        };
        self.expanded(literal, what)
    }

    /// A string with its variables replaced that is not empty.
    pub(super) fn filled(&mut self, value: &Value<'_>, what: &str) -> Option<Text> {
        let text = self.text(value, what)?;
        if text.value().trim().is_empty() {
            self.error(span(value), format!("`{what}` is empty")).help(
                if text.written().contains("${") {
                    "the variable is set, but to nothing"
                } else {
                    "write a value, or remove the key"
                },
            );
            return None;
        }
        Some(text)
    }

    /// A string that is not to be shown; [`secrets`] hides it in the file's text.
    pub(super) fn secret(&mut self, value: &Value<'_>, what: &str) -> Option<Secret> {
        self.text(value, what).map(|text| Secret::new(text.value()))
    }

    /// A list of strings, none of them empty.
    pub(super) fn names(&mut self, value: &Value<'_>, what: &str) -> Option<Vec<String>> {
        let list = self.list(value, what)?;
        let item = format!("{what}[]");
        let names: Vec<_> = list.iter().map(|element| self.filled(element, &item)).collect();
        names.into_iter().map(|name| name.map(|name| name.value().to_owned())).collect()
    }

    fn expanded(&mut self, literal: &StringLit<'_>, what: &str) -> Option<Text> {
        match expand(&literal.value, self.env) {
            Ok(value) if value.contains('\0') => {
                self.error(span(literal), format!("`{what}` contains a NUL character"))
                    .help("remove it");
                None
            }
            Ok(value) => Some(Text::new(&literal.value, value)),
            Err(faults) => {
                let inside = inside(literal);
                let exact = self.source.text().get(inside.clone()) == Some(&*literal.value);
                for fault in faults {
                    let at = if exact {
                        inside.start + fault.bytes.start..inside.start + fault.bytes.end
                    } else {
                        span(literal)
                    };
                    self.fault(at, fault.kind);
                }
                None
            }
        }
    }

    fn fault(&mut self, at: Range<usize>, kind: FaultKind) {
        let (message, help) = match kind {
            FaultKind::Unset(name) => {
                let help =
                    format!("set it in the environment, or give a default: `${{{name}:-value}}`");
                self.note(self.unset, at, format!("the environment variable `{name}` is not set"))
                    .help(help);
                return;
            }
            FaultKind::Unclosed => ("`${` without its `}`", "close it, as in `${NAME}`"),
            FaultKind::BadName => (
                "this is not the name of an environment variable",
                "write `${NAME}`, `${NAME:-default}` or `${env:NAME}`, with letters, digits and `_` in the name",
            ),
            FaultKind::Input => (
                "`${input:..}` is asked for by an editor; nobody can be asked here",
                "use an environment variable: `${NAME}`",
            ),
            FaultKind::Nested => {
                ("a default cannot hold another variable", "write a plain text after `:-`")
            }
        };
        self.error(at, message).help(help);
    }
}

/// The bytes between the quotes.
fn inside(literal: &StringLit<'_>) -> Range<usize> {
    literal.range.start + 1..literal.range.end.saturating_sub(1).max(literal.range.start + 1)
}

fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "true or false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}

/// The keys of one object, each asked for by name; [`Fields::finish`] speaks of those that nobody asked for.
pub(super) struct Fields<'a, 't> {
    object: &'a Object<'t>,
    known: Vec<&'static str>,
}

impl<'a, 't> Fields<'a, 't> {
    pub(super) fn new(object: &'a Object<'t>) -> Self {
        Self { object, known: Vec::new() }
    }

    /// The value of `key`, unless it is `null`.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value<'t>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let value =
            &self.object.properties.iter().find(|property| property.name.as_str() == key)?.value;
        value.as_null_keyword().is_none().then_some(value)
    }

    /// The bytes of the key itself.
    pub(super) fn key(&self, key: &str) -> Option<Range<usize>> {
        let property =
            self.object.properties.iter().find(|property| property.name.as_str() == key)?;
        Some(span(&property.name))
    }

    /// Notes each unknown key, as bad as `severity` says, within what `place` names.
    pub(super) fn finish(self, walk: &mut Walk<'_>, severity: Severity, place: &str) {
        for property in &self.object.properties {
            let key = property.name.as_str();
            if self.known.contains(&key) {
                continue;
            }
            let at = span(&property.name);
            let problem =
                walk.note(severity, at, format!("unknown key `{}` in {place}", clean(key)));
            match nearest(key, &self.known) {
                Some(known) => problem.help(format!("did you mean `{known}`?")),
                None if severity == Severity::Warning => problem.help("it has no effect here"),
                None => problem.help(format!("known here: {}", self.known.join(", "))),
            };
        }
        walk.asked.push((span(self.object).start, self.known));
    }
}
