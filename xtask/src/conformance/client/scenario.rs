//! What each scenario of the suite's client side wants to see.

use serde_json::{Value, json};

use super::channel::Channel;
use crate::Failure;

/// Plays one scenario.
///
/// # Errors
/// Fails where it is not known, or an answer is not what it should be.
pub(super) fn play(scenario: &str, client: &mut Channel, context: &Value) -> Result<(), Failure> {
    let nothing = || json!({});
    match scenario {
        "initialize" | "request-metadata" | "json-schema-ref-no-deref" => {
            client.request("tools/list", nothing())?;
        }
        "tools_call" => {
            client.request("tools/list", nothing())?;
            call(client, "add_numbers", json!({ "a": 5, "b": 3 }))?;
        }
        "elicitation-sep1034-client-defaults" => {
            call(client, "test_client_elicitation_defaults", nothing())?;
        }
        "sse-retry" => {
            call(client, "test_reconnection", nothing())?;
        }
        "sep-2322-client-request-state" => rounds(client)?,
        "http-standard-headers" => {
            client.request("tools/list", nothing())?;
            call(client, "test_headers", nothing())?;
            call(client, "my-hyphenated-tool", nothing())?;
            client.request("resources/list", nothing())?;
            client
                .request("resources/read", json!({ "uri": "file:///path/to/file%20name.txt" }))?;
            client.request("prompts/list", nothing())?;
            client.request("prompts/get", json!({ "name": "test_prompt" }))?;
        }
        "http-custom-headers" => {
            client.request("tools/list", nothing())?;
            let calls = context["toolCalls"].as_array().ok_or("the suite names no calls")?;
            for wanted in calls {
                let name = wanted["name"].as_str().unwrap_or_default();
                call(client, name, wanted["arguments"].clone())?;
            }
        }
        "http-invalid-tool-headers" => {
            client.request("tools/list", nothing())?;
            let listed = client.tools.clone();
            for tool in &listed {
                let name = tool["name"].as_str().unwrap_or_default();
                call(client, name, json!({ "region": "r", "value": "v" }))?;
            }
        }
        "json-schema-2020-12-preservation" => {
            client.request("tools/list", nothing())?;
            let named = |tool: &&Value| tool["name"] == "json_schema_2020_12_tool";
            let tool = client.tools.iter().find(named).ok_or("the tool is not listed")?;
            let schema = tool["inputSchema"].clone();
            call(client, "json_schema_echo", json!({ "schema": schema }))?;
        }
        _ => return Err(format!("nothing is known of the scenario `{scenario}`").into()),
    }
    Ok(())
}

fn call(client: &mut Channel, tool: &str, arguments: Value) -> Result<Value, Failure> {
    client.request("tools/call", json!({ "name": tool, "arguments": arguments }))
}

/// Calls that a server of 2026-07-28 wants more input for, with another call between two rounds.
fn rounds(client: &mut Channel) -> Result<(), Failure> {
    client.request("tools/list", json!({}))?;
    for tool in ["test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_no_result_type"] {
        let mut params = json!({ "name": tool, "arguments": {} });
        let mut result = client.request("tools/call", params.clone())?;
        while result["resultType"] == "input_required" {
            call(client, "test_mrtr_unrelated", json!({}))?;
            let asked = result["inputRequests"].as_object().cloned().unwrap_or_default();
            let answers = asked.into_iter().map(|(key, request)| {
                let method = request["method"].as_str().unwrap_or_default();
                (key, answer(method, &request["params"]))
            });
            params["inputResponses"] = Value::Object(answers.collect());
            if let Some(state) = result.get("requestState") {
                params["requestState"] = state.clone();
            }
            result = client.request("tools/call", params.clone())?;
        }
    }
    Ok(())
}

/// What this client answers: to a form, the values that it proposes itself.
pub(super) fn answer(method: &str, params: &Value) -> Value {
    match method {
        "elicitation/create" => {
            let properties = params["requestedSchema"]["properties"].as_object();
            let defaults = properties.into_iter().flatten().filter_map(|(key, property)| {
                let value = match &property["type"] {
                    _ if property.get("default").is_some() => property["default"].clone(),
                    kind if kind == "boolean" => true.into(),
                    _ => return None,
                };
                Some((key.clone(), value))
            });
            json!({ "action": "accept", "content": Value::Object(defaults.collect()) })
        }
        "roots/list" => json!({ "roots": [] }),
        "sampling/createMessage" => json!({
            "role": "assistant", "model": "none", "content": { "type": "text", "text": "yes" }
        }),
        _ => json!({}),
    }
}
