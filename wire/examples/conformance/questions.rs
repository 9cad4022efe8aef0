//! The questions that the tools ask.

use serde_json::{Value, json};
use toolweir_core::Method;

use crate::ask::Question;

/// Asks the user to fill in a form.
pub(crate) fn form(key: &'static str, message: &str, schema: Value) -> Question {
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    Question { key, method: Method::ELICITATION, params }
}

/// Asks the user for one required text.
pub(crate) fn text(key: &'static str, message: &str, property: &str) -> Question {
    form(key, message, object(json!({ property: { "type": "string" } }), &[property]))
}

/// Asks the client's model.
pub(crate) fn model(key: &'static str, prompt: &str, max_tokens: u32) -> Question {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    let params = json!({ "messages": [message], "maxTokens": max_tokens });
    Question { key, method: Method::SAMPLING, params }
}

/// Asks for the client's roots.
pub(crate) fn roots(key: &'static str) -> Question {
    Question { key, method: Method::ROOTS_LIST, params: json!({}) }
}

/// Asks for consent.
pub(crate) fn confirm() -> Question {
    let schema = object(json!({ "ok": { "type": "boolean" } }), &["ok"]);
    form("confirm", "Please confirm", schema)
}

/// Asks who the user is.
pub(crate) fn user(message: &str) -> Question {
    let properties = json!({
        "username": { "type": "string", "description": "User's response" },
        "email": { "type": "string", "description": "User's email address" },
    });
    form("user", message, object(properties, &["username", "email"]))
}

/// Every primitive type with a default.
pub(crate) fn defaults() -> Question {
    let properties = json!({
        "name": { "type": "string", "description": "User name", "default": "John Doe" },
        "age": { "type": "integer", "description": "User age", "default": 30 },
        "score": { "type": "number", "description": "User score", "default": 95.5 },
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": { "type": "boolean", "description": "Verification", "default": true },
    });
    form("defaults", "Please review the values", object(properties, &[]))
}

/// Every kind of choice.
pub(crate) fn choices() -> Question {
    let plain = json!(["option1", "option2", "option3"]);
    let titled = |word: &str| {
        json!([
            { "const": "value1", "title": format!("First {word}") },
            { "const": "value2", "title": format!("Second {word}") },
            { "const": "value3", "title": format!("Third {word}") },
        ])
    };
    let properties = json!({
        "untitledSingle": { "type": "string", "enum": plain },
        "titledSingle": { "type": "string", "oneOf": titled("Option") },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
    });
    form("choices", "Please choose", object(properties, &[]))
}

fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}
