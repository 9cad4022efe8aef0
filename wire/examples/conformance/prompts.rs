//! The prompts, and the completion of their arguments.

use serde_json::{Value, json};
use toolweir_core::{Call, Error, Kind, Reply};

use crate::ask::{Answers, ask};
use crate::changes::Changes;
use crate::fixture::{argument, reply};
use crate::questions;
use crate::resources::PNG;

/// What `prompts/list` gives.
pub(crate) fn list(changes: &Changes) -> Value {
    let argument = |name: &str, description: &str| json!({ "name": name, "description": description, "required": true });
    let mut prompts = vec![
        json!({ "name": "test_simple_prompt", "description": "A prompt without arguments" }),
        json!({
            "name": "test_prompt_with_arguments",
            "description": "A prompt with two arguments",
            "arguments": [
                argument("arg1", "First test argument"),
                argument("arg2", "Second test argument"),
            ],
        }),
        json!({
            "name": "test_prompt_with_embedded_resource",
            "description": "A prompt with a resource in it",
            "arguments": [argument("resourceUri", "URI of the resource to embed")],
        }),
        json!({ "name": "test_prompt_with_image", "description": "A prompt with an image in it" }),
        json!({
            "name": "test_input_required_result_prompt",
            "description": "A prompt that asks the user for its context",
        }),
    ];
    if changes.has_extra_prompt() {
        prompts.push(json!({
            "name": "test_dynamic_prompt",
            "description": "Comes and goes with test_trigger_prompt_change",
        }));
    }
    prompts.into()
}

/// Carries out `prompts/get`.
pub(crate) async fn get(call: &Call) -> Result<Reply, Error> {
    let contents = match call.target.as_deref().unwrap_or_default() {
        "test_simple_prompt" | "test_dynamic_prompt" => {
            vec![text("This is a simple prompt for testing.")]
        }
        "test_prompt_with_arguments" => {
            let [first, second] = ["arg1", "arg2"].map(|name| argument(call, name));
            vec![text(&format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
        }
        "test_prompt_with_embedded_resource" => vec![
            json!({
                "type": "resource",
                "resource": {
                    "uri": argument(call, "resourceUri"),
                    "mimeType": "text/plain",
                    "text": "Embedded resource content for testing.",
                },
            }),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![
            json!({ "type": "image", "data": PNG, "mimeType": "image/png" }),
            text("Please analyze the image above."),
        ],
        "test_input_required_result_prompt" => {
            let message = "What context should the prompt use?";
            let question = questions::text("user_context", message, "context");
            match ask(call, vec![question], None).await? {
                Answers::Given(answers) => {
                    let context = &answers["user_context"]["content"]["context"];
                    vec![text(&format!("Use this context: {context}"))]
                }
                Answers::Needed(reply) => return Ok(reply),
            }
        }
        _ => return Err(Kind::NotFound.into()),
    };
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({ "role": "user", "content": content })).collect();
    Ok(reply(json!({ "messages": messages })))
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// Carries out `completion/complete`.
pub(crate) fn complete(call: &Call) -> Reply {
    let argument = call.params.as_ref().and_then(|params| params.member("argument"));
    let typed: Option<String> =
        argument.and_then(|argument| argument.to_json().member("value")?.get().ok());
    let typed = typed.unwrap_or_default();
    let values: Vec<&str> =
        ["paris", "park", "party"].into_iter().filter(|value| value.starts_with(&typed)).collect();
    let total = values.len();
    reply(json!({ "completion": { "values": values, "total": total, "hasMore": false } }))
}
