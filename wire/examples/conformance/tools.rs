//! The tools.

use std::time::Duration;

use serde_json::{Value, json};
use toolweir_core::{Call, Error, Kind, Method, Notification, RawJson, Reply};

use crate::ask::{self, Answers, Question, ask};
use crate::changes::Changes;
use crate::fixture::{Fixture, argument, reply};
use crate::resources::{PNG, WATCHED};
use crate::{questions, tasks};

/// A sample of silence.
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA==";

/// What `tools/list` gives.
pub(crate) fn list(changes: &Changes) -> Value {
    let mut tools: Vec<Value> = serde_json::from_str(include_str!("tools.json"))
        .expect("the file is part of the program, and each test reads it");
    if changes.has_extra_tool() {
        tools.push(json!({
            "name": "test_dynamic_tool",
            "description": "Comes and goes with test_trigger_tool_change",
            "inputSchema": { "type": "object" },
        }));
    }
    tools.into()
}

/// Carries out `tools/call`.
pub(crate) async fn call(fixture: &Fixture, call: &Call) -> Result<Reply, Error> {
    let name = call.target.as_deref().unwrap_or_default();
    match name {
        "test_simple_text" => Ok(text("This is a simple text response for testing.")),
        "test_image_content" => Ok(content(json!([image()]))),
        "test_audio_content" => {
            Ok(content(json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }])))
        }
        "test_embedded_resource" => Ok(content(json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]))),
        "test_multiple_content_types" => Ok(content(json!([
            { "type": "text", "text": "Multiple content types test:" },
            image(),
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#,
            ),
        ]))),
        "test_error_handling" => {
            Ok(failure("This tool intentionally returns an error for testing"))
        }
        "test_tool_with_logging" => {
            log(call, "Tool execution started");
            pause().await;
            log(call, "Tool processing data");
            pause().await;
            log(call, "Tool execution completed");
            Ok(text("Logged three messages."))
        }
        "test_logging_tool" | "test_reconnection" => {
            log(call, "Working");
            pause().await;
            Ok(text("Done."))
        }
        "test_tool_with_progress" => {
            progress(call, 0);
            pause().await;
            progress(call, 50);
            pause().await;
            progress(call, 100);
            Ok(text("Reported progress three times."))
        }
        "test_missing_capability" if !ask::has(call, "sampling") => Err(ask::missing("sampling")),
        "test_missing_capability" => Ok(text("The client declared `sampling`.")),
        "test_custom_header" => Ok(text(&format!("region={}", argument(call, "region")))),
        "json_schema_2020_12_tool" => Ok(text("Took what the schema describes.")),
        "test_dynamic_tool" if fixture.changes.has_extra_tool() => Ok(text("I came later.")),
        "test_trigger_tool_change" => {
            fixture.changes.change_tools();
            Ok(text("The tools have changed."))
        }
        "test_trigger_prompt_change" => {
            fixture.changes.change_prompts();
            Ok(text("The prompts have changed."))
        }
        "test_trigger_resource_update" => {
            fixture.changes.change_resource(WATCHED);
            Ok(text("The resource has changed."))
        }
        "greet" => Ok(text(&format!("Hello, {}!", argument(call, "name")))),
        "slow_compute"
        | "failing_job"
        | "protocol_error_job"
        | "confirm_delete"
        | "multi_input"
        | "test_tool_with_task" => slow(fixture, call, name).await,
        "test_input_required_result_multi_round" => rounds(fixture, call, name).await,
        "test_input_required_result_request_state"
        | "test_input_required_result_tampered_state" => {
            let state = fixture.seal.open(call)?;
            let sealed = Some(fixture.seal.seal(name));
            match ask(call, vec![questions::confirm()], sealed.clone()).await? {
                // Answers that came without the state are asked for again.
                Answers::Given(_) if ask::is_modern(call) && state.as_deref() != Some(name) => {
                    Err(Error::new(Kind::InvalidRequest).message("`requestState` is missing"))
                }
                Answers::Given(_) => Ok(text("state-ok")),
                Answers::Needed(reply) => Ok(reply),
            }
        }
        _ => {
            let asked = question(name, call).ok_or(Kind::NotFound)?;
            let state = (asked.len() > 1).then(|| fixture.seal.seal(name));
            fixture.seal.open(call)?;
            match ask(call, asked, state).await? {
                Answers::Given(answers) => Ok(text(
                    &answers
                        .into_iter()
                        .map(|(key, it)| format!("{key}: {it}"))
                        .collect::<Vec<_>>()
                        .join("; "),
                )),
                Answers::Needed(reply) => Ok(reply),
            }
        }
    }
}

/// The tools that take their time: as a task where that may be.
async fn slow(fixture: &Fixture, call: &Call, name: &str) -> Result<Reply, Error> {
    const SECONDS_MAX: u64 = 600;
    let is_required = matches!(name, "failing_job" | "protocol_error_job" | "test_tool_with_task");
    let is_task = tasks::wanted(call, is_required)?;
    let arguments = call.params.as_ref().and_then(|params| params.member("arguments"));
    let seconds = arguments.and_then(|it| it.to_json().member("seconds")?.get::<u64>().ok());
    let time = Duration::from_secs(seconds.unwrap_or_default().min(SECONDS_MAX));
    let questions = match name {
        "confirm_delete" => vec![questions::confirm()],
        "multi_input" => vec![
            questions::text("first", "What is the first name?", "name"),
            questions::text("second", "What is the second name?", "name"),
        ],
        // Asks before it becomes a task.
        "test_tool_with_task" => {
            let question = questions::text("user_name", "What is your name?", "name");
            let greeting = match ask(call, vec![question], None).await? {
                Answers::Needed(reply) => return Ok(reply),
                Answers::Given(answers) => {
                    let name = &answers["user_name"]["content"]["name"];
                    format!("Hello, {}!", name.as_str().unwrap_or("whoever you are"))
                }
            };
            return Ok(fixture.tasks.begin(call, &fixture.changes, |_| async move {
                pause().await;
                Ok(said(&greeting, false))
            }));
        }
        _ => Vec::new(),
    };
    if is_task {
        let name = name.to_owned();
        return Ok(fixture.tasks.begin(call, &fixture.changes, |task| async move {
            tokio::time::sleep(time).await;
            match name.as_str() {
                "failing_job" => Ok(said("This job always fails.", true)),
                "protocol_error_job" => Err((-32603, "this job breaks off")),
                _ if questions.is_empty() => Ok(said("Computed.", false)),
                _ => {
                    let answers = task.ask(questions).await;
                    Ok(said(&format!("Took {} answers.", answers.len()), false))
                }
            }
        }));
    }
    if !questions.is_empty()
        && let Answers::Needed(reply) = ask(call, questions, None).await?
    {
        return Ok(reply);
    }
    tokio::time::sleep(time).await;
    Ok(text("Done."))
}

/// A tool's result with one text.
fn said(text: &str, is_error: bool) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
}

/// What the tools ask that do nothing but ask.
fn question(name: &str, call: &Call) -> Option<Vec<Question>> {
    let name_of_user = || questions::text("user_name", "What is your name?", "name");
    Some(match name {
        "test_sampling" => {
            vec![questions::model("answer", &argument(call, "prompt"), 100)]
        }
        "test_elicitation" => vec![questions::user(&argument(call, "message"))],
        "test_elicitation_sep1034_defaults" => vec![questions::defaults()],
        "test_elicitation_sep1330_enums" => vec![questions::choices()],
        "test_streaming_elicitation" | "test_input_required_result_elicitation" => {
            vec![name_of_user()]
        }
        "test_input_required_result_sampling" => {
            vec![questions::model("capital_question", "What is the capital of France?", 100)]
        }
        "test_input_required_result_list_roots" => vec![questions::roots("client_roots")],
        "test_input_required_result_multiple_inputs" => vec![
            name_of_user(),
            questions::model("greeting", "Generate a greeting", 50),
            questions::roots("client_roots"),
        ],
        "test_input_required_result_capabilities" => {
            let all = [
                name_of_user(),
                questions::model("capital_question", "What is the capital of France?", 100),
            ];
            all.into_iter().filter(|question| ask::has(call, question.capability())).collect()
        }
        _ => return None,
    })
}

/// Asks twice, the second question after the first answer.
async fn rounds(fixture: &Fixture, call: &Call, name: &str) -> Result<Reply, Error> {
    let steps = [
        ("step1", "Step 1: What is your name?", "name"),
        ("step2", "Step 2: What is your favorite color?", "color"),
    ];
    let state = fixture.seal.open(call)?;
    let number = state.as_deref().and_then(|state| state.strip_prefix(name)?.parse().ok());
    for (number, (key, message, property)) in
        steps.into_iter().enumerate().skip(number.unwrap_or(0))
    {
        let sealed = fixture.seal.seal(&format!("{name}{number}"));
        let question = questions::text(key, message, property);
        if let Answers::Needed(reply) = ask(call, vec![question], Some(sealed)).await? {
            return Ok(reply);
        }
    }
    Ok(text("Both questions are answered."))
}

fn content(content: Value) -> Reply {
    reply(json!({ "content": content }))
}

fn text(text: &str) -> Reply {
    content(json!([{ "type": "text", "text": text }]))
}

fn failure(text: &str) -> Reply {
    let content = json!([{ "type": "text", "text": text }]);
    let mut reply = reply(json!({ "content": content, "isError": true }));
    reply.is_error = true;
    reply
}

fn image() -> Value {
    json!({ "type": "image", "data": PNG, "mimeType": "image/png" })
}

fn resource(uri: &str, mime_type: &str, text: &str) -> Value {
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": mime_type, "text": text } })
}

/// Long enough for a client to see messages come one by one.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn log(call: &Call, text: &str) {
    notify(
        call,
        Method::MESSAGE,
        json!({ "level": "info", "logger": "conformance", "data": text }),
    );
}

/// Tells how far the call has come, where the client wants to know.
fn progress(call: &Call, done: u32) {
    let meta = call.params.as_ref().and_then(|params| params.member("_meta"));
    let token = meta.and_then(|meta| meta.to_json().member("progressToken")?.get::<Value>().ok());
    if let Some(token) = token {
        let params = json!({ "progressToken": token, "progress": done, "total": 100 });
        notify(call, Method::PROGRESS, params);
    }
}

fn notify(call: &Call, method: Method, params: Value) {
    if let Some(peer) = &call.peer {
        peer.notify(Notification::new(method, Some(RawJson::from(params))));
    }
}
