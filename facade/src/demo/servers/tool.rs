//! A tool as data: what it is called, what it takes, what it does; and how a call's arguments are read.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// A tool of a system whose data is an `S`.
pub(super) struct Tool<S> {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) effect: Effect,
    pub(super) parameters: &'static [Parameter],
    pub(super) run: fn(&mut S, &Arguments<'_>) -> Result<Answer, Refusal>,
}

/// What a call of a tool does to the data.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// Adds something.
    Adds,
    /// Sets something; twice is as good as once.
    Sets,
}

impl Effect {
    fn annotations(self) -> Value {
        match self {
            Self::Reads => json!({"readOnlyHint": true, "openWorldHint": false}),
            Self::Adds => {
                json!({"readOnlyHint": false, "destructiveHint": false, "openWorldHint": false})
            }
            Self::Sets => json!({
                "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": false,
            }),
        }
    }
}

/// An argument that a tool takes.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) is_required: bool,
    pub(super) description: &'static str,
}

/// An argument without which the tool does nothing.
pub(super) const fn need(name: &'static str, shape: Shape, description: &'static str) -> Parameter {
    Parameter { name, shape, is_required: true, description }
}

/// An argument that may be left out.
pub(super) const fn may(name: &'static str, shape: Shape, description: &'static str) -> Parameter {
    Parameter { name, shape, is_required: false, description }
}

/// Which values an argument may have.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    OneOf(&'static [&'static str]),
    Number,
    Flag,
    List,
    Object,
}

impl Shape {
    fn schema(self, description: &str) -> Value {
        match self {
            Self::OneOf(values) => {
                json!({"type": "string", "enum": values, "description": description})
            }
            _ => json!({"type": self.type_name(), "description": description}),
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Text | Self::OneOf(_) => "string",
            Self::Number => "number",
            Self::Flag => "boolean",
            Self::List => "array",
            Self::Object => "object",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::OneOf(values) => value.as_str().is_some_and(|text| values.contains(&text)),
            Self::Number => value.is_number(),
            Self::Flag => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn wanted(self) -> String {
        match self {
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
            _ => format!("of type {}", self.type_name()),
        }
    }
}

impl<S> Tool<S> {
    /// The tool as `tools/list` tells it.
    pub(super) fn listed(&self) -> Value {
        let schema = |parameter: &Parameter| {
            (parameter.name.to_owned(), parameter.shape.schema(parameter.description))
        };
        let properties: Map<String, Value> = self.parameters.iter().map(schema).collect();
        let required: Vec<&str> = self
            .parameters
            .iter()
            .filter(|parameter| parameter.is_required)
            .map(|parameter| parameter.name)
            .collect();
        json!({
            "name": self.name,
            "description": self.description,
            "inputSchema": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            },
            "annotations": self.effect.annotations(),
        })
    }
}

/// A call's arguments, known to fit the parameters.
pub(super) struct Arguments<'a>(&'a Map<String, Value>);

impl<'a> Arguments<'a> {
    /// Checks the arguments; the refusal tells all that is wrong with them.
    pub(super) fn check(
        given: &'a Map<String, Value>,
        parameters: &[Parameter],
    ) -> Result<Self, Refusal> {
        let mut wrong = Vec::new();
        for parameter in parameters {
            match given.get(parameter.name) {
                None if parameter.is_required => {
                    wrong.push(format!("`{}` is missing", parameter.name));
                }
                Some(value) if !parameter.shape.fits(value) => {
                    wrong.push(format!(
                        "`{}` must be {}",
                        parameter.name,
                        parameter.shape.wanted()
                    ));
                }
                _ => {}
            }
        }
        let is_unknown = |name: &&String| parameters.iter().all(|known| known.name != **name);
        wrong.extend(given.keys().filter(is_unknown).map(|name| format!("`{name}` is unknown")));
        if wrong.is_empty() { Ok(Self(given)) } else { Err(Refusal(wrong.join("; "))) }
    }

    /// A text; empty where it was left out.
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.optional_text(name).unwrap_or_default()
    }

    pub(super) fn optional_text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A count, at least 1 and at most `most`, which also stands for one that was left out.
    pub(super) fn count(&self, name: &str, most: usize) -> usize {
        let given = self.0.get(name).and_then(Value::as_u64);
        given
            .and_then(|count| usize::try_from(count).ok())
            .map_or(most, |count| count.clamp(1, most))
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    pub(super) fn list(&self, name: &str) -> &'a [Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }
}

/// Why a tool did nothing, for people; the client sees it as a result with `isError`.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// What a tool answers, and how long that takes.
pub(super) struct Answer {
    pub(super) text: String,
    /// Told on the way, one after another, to a caller who asked for progress.
    pub(super) steps: Vec<String>,
    /// How long the steps take together.
    pub(super) takes: Duration,
}

impl Answer {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), steps: Vec::new(), takes: Duration::ZERO }
    }

    /// A value as readable JSON, as most of the published servers answer.
    pub(super) fn json(value: &Value) -> Self {
        Self::text(format!("{value:#}"))
    }

    pub(super) fn steps<T: Into<String>>(mut self, steps: impl IntoIterator<Item = T>) -> Self {
        self.steps = steps.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }
}

/// Adds to a table that has a bound.
pub(super) fn push_within<T>(table: &mut Vec<T>, most: usize, item: T) -> Result<(), Refusal> {
    if table.len() >= most {
        return Err(Refusal::new(format!("this demonstration keeps at most {most} of these")));
    }
    table.push(item);
    Ok(())
}
