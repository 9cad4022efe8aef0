//! `toolweir call` and `toolweir route`: one call from the command line.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use toolweir::Orchestrator;
use toolweir::core::{Call, Error, Instant, Kind, Method, Notification, Peer, RawJson, Reply};

use super::Source;
use super::failure::Failure;
use super::output::Output;
use super::{near, source};

pub(crate) async fn call(
    source: &Source,
    tool: &str,
    arguments: &RawJson,
    output: Output,
) -> Result<ExitCode, Failure> {
    let (config, _) = source::load(source, output)?;
    let orchestrator = source::start(&config)?;
    let call = Call::tool(tool, arguments).map_err(|error| Failure::usage(error.to_string()))?;
    let params = with_progress(call.params.as_ref());
    let mut call = call.peer(Arc::new(Terminal(output)));
    call.params = params.or(call.params);
    let result = orchestrator.call(&call).await;
    let unknown = match &result {
        Err(error) => unknown(&orchestrator, tool, error.kind()).await,
        Ok(_) => None,
    };
    orchestrator.shutdown(Duration::from_secs(5)).await;
    match unknown {
        Some(failure) => Err(failure),
        None => show(result, output),
    }
}

/// Whether the call failed because there is no such tool; then it says which there are.
pub(crate) async fn unknown(
    orchestrator: &Orchestrator,
    tool: &str,
    kind: Kind,
) -> Option<Failure> {
    const INVALID_PARAMS: i64 = -32602; // what a server says of a tool that it does not have
    if !matches!(kind, Kind::NotFound | Kind::Protocol { code: INVALID_PARAMS }) {
        return None;
    }
    let servers = orchestrator.ready(source::PATIENCE).await;
    if servers.iter().any(|server| server.tools.iter().any(|name| name == tool)) {
        return None;
    }
    let names = servers.iter().flat_map(|server| server.tools.iter().map(String::as_str));
    let near = near::names(tool, names);
    let mut message = format!("unknown tool: `{tool}`; ");
    message.push_str(&match near.join("` or `") {
        near if near.is_empty() => "`toolweir list` shows those that there are".to_owned(),
        near => format!("did you mean `{near}`?"),
    });
    let away: Vec<&str> = servers
        .iter()
        .filter(|server| !server.is_listed)
        .map(|server| server.name.as_str())
        .collect();
    if !away.is_empty() {
        message.push_str(&format!(" Not reached: {}", away.join(", ")));
    }
    Some(Failure::not_found(message))
}

pub(crate) async fn route(
    source: &Source,
    request_type: &str,
    arguments: &RawJson,
    output: Output,
) -> Result<ExitCode, Failure> {
    let (config, _) = source::load(source, output)?;
    let orchestrator = source::start(&config)?;
    let result = orchestrator.route(request_type, arguments).await;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    show(result, output)
}

fn show(result: Result<Reply, Error>, output: Output) -> Result<ExitCode, Failure> {
    let reply = result?;
    if let (Some(server), false) = (&reply.server, output.json) {
        output.note(&format!("answered by {server}"));
    }
    output.result(&reply.result, text);
    Ok(if reply.is_error { ExitCode::from(5) } else { ExitCode::SUCCESS })
}

/// A tool's result as text: its text parts, and what else there is by its type.
fn text(result: &RawJson) -> String {
    let Some(content) = result.member("content").map(|part| part.to_json()) else {
        return result.as_str().to_owned();
    };
    let lines = content.items().map(|item| {
        let item = item.to_json();
        let member =
            |key| item.member(key).and_then(|part| part.string().map(std::borrow::Cow::into_owned));
        match member("text") {
            Some(text) => text,
            None => {
                let kind = member("type").unwrap_or_else(|| "unknown".to_owned());
                format!(
                    "[{kind}: {}, {} bytes]",
                    member("mimeType").or_else(|| member("uri")).unwrap_or_default(),
                    item.len()
                )
            }
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn with_progress(params: Option<&RawJson>) -> Option<RawJson> {
    let meta = RawJson::from(serde_json::json!({ "progressToken": "cli" }));
    params?.edit().set("_meta", &meta).finish().ok()
}

/// The terminal as the way back to the caller: progress and logs on stderr.
#[derive(Debug)]
struct Terminal(Output);

#[async_trait]
impl Peer for Terminal {
    fn notify(&self, notification: Notification) {
        let Some(params) = notification.params else { return };
        let value: serde_json::Value = params.get().unwrap_or_default();
        if notification.method == Method::PROGRESS {
            let total = value.get("total").map_or_else(String::new, |total| format!(" of {total}"));
            let message = value.get("message").and_then(|text| text.as_str()).unwrap_or_default();
            let progress = value.get("progress").cloned().unwrap_or_default();
            self.0.note(&format!("progress: {progress}{total} {message}"));
        } else if notification.method == Method::MESSAGE {
            self.0.note(&format!("log: {}", value.get("data").cloned().unwrap_or_default()));
        }
    }

    async fn request(
        &self,
        method: Method,
        _: Option<RawJson>,
        _: Instant,
    ) -> Result<RawJson, Error> {
        Err(Error::new(Kind::InvalidRequest)
            .message(format!("the command line cannot answer {method}")))
    }
}
