//! The resources.

use serde_json::{Value, json};
use toolweir_core::{Call, Error, Reply};

use crate::changes::Changes;
use crate::fixture::{refuse, reply};

/// One red pixel.
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/// The resource that changes.
pub(crate) const WATCHED: &str = "test://watched-resource";

/// What `resources/list` gives.
pub(crate) fn list() -> Value {
    let entry = |uri: &str, name: &str, mime_type: &str| json!({ "uri": uri, "name": name, "description": "A test resource", "mimeType": mime_type });
    json!([
        entry("test://static-text", "Static text", "text/plain"),
        entry("test://static-binary", "Static binary", "image/png"),
        entry(WATCHED, "Watched resource", "text/plain"),
    ])
}

/// What `resources/templates/list` gives.
pub(crate) fn templates() -> Value {
    json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "Template",
        "description": "Data for any id",
        "mimeType": "application/json",
    }])
}

/// Carries out `resources/read`.
pub(crate) fn read(call: &Call) -> Result<Reply, Error> {
    let uri = uri(call);
    let content = content(uri).ok_or_else(|| not_found(uri))?;
    Ok(reply(json!({ "contents": [content], "ttlMs": 0, "cacheScope": "public" })))
}

fn content(uri: &str) -> Option<Value> {
    let text = |mime_type: &str, text: &str| {
        Some(json!({ "uri": uri, "mimeType": mime_type, "text": text }))
    };
    match uri {
        "test://static-text" => {
            text("text/plain", "This is the content of the static text resource.")
        }
        "test://static-binary" => Some(json!({ "uri": uri, "mimeType": "image/png", "blob": PNG })),
        WATCHED => {
            text("text/plain", "This resource changes when test_trigger_resource_update runs.")
        }
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({
                "id": id,
                "templateTest": true,
                "data": format!("Data for ID: {id}"),
            });
            text("application/json", &data.to_string())
        }
    }
}

/// Carries out `resources/subscribe`.
pub(crate) fn subscribe(changes: &Changes, call: &Call) -> Result<Reply, Error> {
    let uri = uri(call);
    content(uri).ok_or_else(|| not_found(uri))?;
    changes.watch(uri);
    Ok(reply(json!({})))
}

/// Carries out `resources/unsubscribe`.
pub(crate) fn unsubscribe(changes: &Changes, call: &Call) -> Result<Reply, Error> {
    changes.unwatch(uri(call));
    Ok(reply(json!({})))
}

fn uri(call: &Call) -> &str {
    call.target.as_deref().unwrap_or_default()
}

/// The code of the legacy revisions; the listener knows the modern one.
fn not_found(uri: &str) -> Error {
    refuse(-32002, "resource not found", json!({ "uri": uri }))
}
