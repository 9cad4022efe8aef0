//! How a routed request becomes a call of a tool: rules that are data.

mod build;
mod builtin;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use toolweir_core::RawJson;

pub use self::read::InvalidHandler;

/// From a request's type and arguments to a tool and its own arguments.
///
/// The caller's arguments choose a [`Rule`]: by `action`, or, where there is none, by which of them are given. A caller
/// who knows the tool says `{"tool": .., "arguments": {..}}` instead, which works for every request type; so does the
/// name of a tool as `action`, where no rule has that action.
///
/// ```
/// use serde_json::json;
/// use toolweir::handlers::Handlers;
///
/// let request = json!({"channel": "C0002", "text": "High water"});
/// let request = request.as_object().ok_or("no object")?;
/// let call = Handlers::builtin().resolve("notifications", request, &|tool| tool == "slack_post_message")?;
/// assert_eq!(call.tool, "slack_post_message");
/// assert_eq!(call.arguments.as_str(), r#"{"channel_id":"C0002","text":"High water"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handlers {
    rules: BTreeMap<String, Vec<Arc<Rule>>>,
}

/// The rules that come with the crate.
impl Default for Handlers {
    fn default() -> Self {
        Self::builtin()
    }
}

/// Which requests become a call of one tool, and how.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// The tool's name at its server.
    pub tool: String,
    /// The package, with its version, whose tool this is; `None` for rules of a configuration.
    pub source: Option<Arc<str>>,
    /// The system that the package is for; `None` for rules of a configuration.
    pub capability: Option<Arc<str>>,
    /// Values of the caller's `action` that ask for the tool.
    pub actions: Vec<String>,
    /// Arguments whose presence asks for the tool where the caller gives no action. A rule with neither this nor
    /// actions fits every request.
    pub given: Option<Vec<String>>,
    /// The caller's name for an argument, and the tool's.
    pub rename: BTreeMap<String, String>,
    /// Arguments of the tool that are made from the caller's: `"$title"` stands for the caller's `title`, `"$$"` at
    /// the start of a text for one `$`.
    pub build: Map<String, Value>,
    /// Arguments of the tool that are set where the caller gives none.
    pub defaults: Map<String, Value>,
    /// Arguments of the tool that are JSON text: other values are written as such.
    pub text: Vec<String>,
    /// Arguments without which the tool cannot be called.
    pub required: Vec<String>,
}

/// A tool and its arguments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// The tool's name at its server.
    pub tool: String,
    /// Its arguments.
    pub arguments: RawJson,
}

/// Why no tool fits a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// `tool`, `arguments` or `action` is not what it must be.
    #[error("`{argument}` must be {wanted}")]
    Shape {
        /// Which of them.
        argument: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// Arguments stand beside `tool` and `arguments`.
    #[error(
        "{} cannot stand beside `tool`: put the tool's arguments into `arguments`",
        quoted(arguments)
    )]
    Beside {
        /// Which.
        arguments: Vec<String>,
    },
    /// No rule is known for the request type.
    #[error("`{request_type}` has no handler: give `tool` and `arguments`")]
    NoHandler {
        /// The type.
        request_type: String,
    },
    /// No rule has the action, and the server has no tool of that name.
    #[error(
        "`{action}` is no action of `{request_type}`: give one of {}, or a tool's own name",
        quoted(known)
    )]
    UnknownAction {
        /// The request's type.
        request_type: String,
        /// The action that was given.
        action: String,
        /// The actions that there are.
        known: Vec<String>,
    },
    /// The arguments do not tell what is wanted.
    #[error(
        "the arguments of `{request_type}` do not tell which tool is wanted: give an `action`, one of {}",
        quoted(known)
    )]
    Unclear {
        /// The request's type.
        request_type: String,
        /// The actions that there are.
        known: Vec<String>,
    },
    /// The server has none of the tools that the request could mean.
    #[error("the server has no tool {}", quoted(looked_for))]
    NoTool {
        /// Those tools.
        looked_for: Vec<String>,
    },
    /// Arguments that the tool needs are missing.
    #[error("`{tool}` needs {}", arguments.join(", "))]
    Missing {
        /// The tool.
        tool: String,
        /// The arguments as the caller may write them, such as ``` `channel` (or `channel_id`) ```.
        arguments: Vec<String>,
    },
    /// Two of the caller's arguments mean the same one of the tool.
    #[error("`{first}` and `{second}` both give `{tool}` its `{argument}`: leave one out")]
    Twice {
        /// The tool.
        tool: String,
        /// Its argument.
        argument: String,
        /// One of the caller's.
        first: String,
        /// The other.
        second: String,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Handlers {
    /// The rules that come with the crate: for the published servers of the five systems that have a default route.
    #[must_use]
    pub fn builtin() -> Self {
        Self { rules: builtin::rules().clone() }
    }

    /// The same handlers with another for `request_type`: one rule, or `{"rules": [..]}`. It is tried before those
    /// that are there already.
    ///
    /// # Errors
    /// Tells the first mistake in `handler`, and where it is.
    pub fn with(mut self, request_type: &str, handler: &Value) -> Result<Self, InvalidHandler> {
        let rules = read::handler(handler)?;
        let all = self.rules.entry(request_type.to_owned()).or_default();
        all.splice(0..0, rules.into_iter().map(Arc::new));
        Ok(self)
    }

    /// The request types that have rules, in order.
    pub fn request_types(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }

    /// The rules of a request type, in the order in which they are tried.
    pub fn rules(&self, request_type: &str) -> impl Iterator<Item = &Rule> {
        self.rules.get(request_type).into_iter().flatten().map(|rule| &**rule)
    }

    /// The tool for a request, of those that `has_tool` knows.
    ///
    /// # Errors
    /// Says which arguments are missing or stand in each other's way, or which tools were looked for.
    pub fn resolve(
        &self,
        request_type: &str,
        arguments: &Map<String, Value>,
        has_tool: &dyn Fn(&str) -> bool,
    ) -> Result<Resolved, Unresolved> {
        if let Some(tool) = arguments.get("tool") {
            return explicit(tool, arguments, has_tool);
        }
        let action = match arguments.get("action") {
            None => None,
            Some(Value::String(action)) => Some(action.as_str()),
            Some(_) => return Err(Unresolved::Shape { argument: "action", wanted: "a string" }),
        };
        let fitting = || self.rules(request_type).filter(|rule| rule.fits(action, arguments));
        if let Some(rule) = fitting().find(|rule| has_tool(&rule.tool)) {
            let arguments = rule.arguments(action, arguments)?;
            return Ok(Resolved { tool: rule.tool.clone(), arguments });
        }
        if let Some(action) = action.filter(|action| has_tool(action)) {
            let mut rest = arguments.clone();
            rest.remove("action");
            return Ok(Resolved { tool: action.to_owned(), arguments: Value::Object(rest).into() });
        }
        let mut looked_for: Vec<String> = fitting().map(|rule| rule.tool.clone()).collect();
        looked_for.dedup();
        Err(self.nothing(request_type.to_owned(), action, looked_for))
    }

    fn nothing(
        &self,
        request_type: String,
        action: Option<&str>,
        looked_for: Vec<String>,
    ) -> Unresolved {
        if !looked_for.is_empty() {
            return Unresolved::NoTool { looked_for };
        }
        if self.rules(&request_type).next().is_none() {
            return Unresolved::NoHandler { request_type };
        }
        let known: Vec<String> =
            self.rules(&request_type).filter_map(|rule| rule.actions.first().cloned()).collect();
        match action {
            Some(action) => {
                Unresolved::UnknownAction { request_type, action: action.to_owned(), known }
            }
            None => Unresolved::Unclear { request_type, known },
        }
    }
}

fn explicit(
    tool: &Value,
    request: &Map<String, Value>,
    has_tool: &dyn Fn(&str) -> bool,
) -> Result<Resolved, Unresolved> {
    let Value::String(tool) = tool else {
        return Err(Unresolved::Shape { argument: "tool", wanted: "a string" });
    };
    let beside: Vec<String> =
        request.keys().filter(|key| *key != "tool" && *key != "arguments").cloned().collect();
    if !beside.is_empty() {
        return Err(Unresolved::Beside { arguments: beside });
    }
    let arguments = match request.get("arguments") {
        None => RawJson::EMPTY_OBJECT,
        Some(arguments @ Value::Object(_)) => arguments.clone().into(),
        Some(_) => return Err(Unresolved::Shape { argument: "arguments", wanted: "an object" }),
    };
    if !has_tool(tool) {
        return Err(Unresolved::NoTool { looked_for: vec![tool.clone()] });
    }
    Ok(Resolved { tool: tool.clone(), arguments })
}
