//! How a routed request becomes a call of a tool.

use serde_json::{Map, Value};
use toolweir_core::RawJson;

/// Handlers by request type.
#[derive(Clone, Debug, Default)]
pub struct Handlers;

/// A tool and its arguments.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The tool's name at its server.
    pub tool: String,
    /// Its arguments.
    pub arguments: RawJson,
}

/// No tool fits the request.
#[derive(Debug, thiserror::Error)]
#[error("no tool fits: give `tool` and `arguments`")]
pub struct Unresolved;

/// A handler of the configuration makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("a handler is an object")]
pub struct InvalidHandler;

impl Handlers {
    /// The handlers that come with the crate.
    #[must_use]
    pub fn builtin() -> Self {
        Self
    }

    /// The same handlers, another for `request_type`.
    ///
    /// # Errors
    /// Fails where `handler` is no object.
    pub fn with(self, _request_type: &str, handler: &Value) -> Result<Self, InvalidHandler> {
        if handler.is_object() { Ok(self) } else { Err(InvalidHandler) }
    }

    /// The tool for a request.
    ///
    /// # Errors
    /// Fails where none fits.
    pub fn resolve(
        &self,
        _request_type: &str,
        arguments: &Map<String, Value>,
        has_tool: &dyn Fn(&str) -> bool,
    ) -> Result<Resolved, Unresolved> {
        let tool = arguments
            .get("tool")
            .and_then(Value::as_str)
            .filter(|tool| has_tool(tool))
            .ok_or(Unresolved)?;
        let arguments =
            arguments.get("arguments").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        Ok(Resolved { tool: tool.to_owned(), arguments: RawJson::from(arguments) })
    }
}
