//! What a peer does, step by step.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// One thing that a peer does.
///
/// In texts, `$ID` and `$TOKEN` stand for the id and the progress token of the call whose script it is, `$0` to `$9` for the
/// ids of the calls that are held, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", content = "with", rename_all = "snake_case")]
pub(crate) enum Step {
    /// Writes bytes as they are, one for each character.
    Bytes(String),
    /// Writes a whole message, framed as its transport wants it.
    Frame(String),
    /// Writes of what these steps write no more than so many bytes.
    Cut(Vec<Step>, usize),
    /// Writes the frame in two parts.
    Split(String, usize),
    /// Writes it byte by byte, with so many milliseconds before each.
    Trickle(String, u64),
    /// Writes the frame so many times in one go, `$N` being 1, 2, 3 …, and another message behind them.
    Burst(String, u64, String),
    /// Writes it with so many `x` for `$FILL`.
    Fill(String, usize),
    /// Answers over HTTP with one JSON body, and keeps the connection.
    Json(String),
    /// Waits for so many milliseconds.
    Pause(u64),
    /// Waits until so many calls are held.
    Held(usize),
    /// Reads nothing any more, and says nothing.
    Deaf,
    /// Goes, in good order.
    Close,
    /// Goes, and leaves the connection broken.
    Reset,
}

impl Step {
    pub(crate) fn frame(text: impl Into<String>) -> Self {
        Self::Frame(text.into())
    }

    /// The result of the call whose script it is.
    pub(crate) fn result(result: &str) -> Self {
        Self::Frame(response("$ID", result))
    }
}

/// A response as text.
pub(crate) fn response(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// What begins the subscription that is called `id`.
pub(crate) fn acknowledgement(
    id: &serde_json::Value,
    filter: &serde_json::Value,
) -> serde_json::Value {
    serde_json::json!({
        "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "notifications": filter, "_meta": { "io.modelcontextprotocol/subscriptionId": id } },
    })
}

/// Steps as they stand in a call's arguments, where a plain text is bytes.
pub(crate) fn steps(value: &serde_json::Value) -> Vec<Step> {
    let step = |step: &serde_json::Value| match step.as_str() {
        Some(text) => Step::Bytes(text.to_owned()),
        None => serde_json::from_value(step.clone()).expect("a step"),
    };
    value.as_array().into_iter().flatten().map(step).collect()
}

/// How a message becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One a line.
    Line,
    /// An event of a stream.
    Event,
    /// A request of its own.
    Post,
}

impl Framing {
    fn frame(self, text: &str) -> Vec<u8> {
        match self {
            Self::Line => format!("{text}\n"),
            Self::Event => format!("event: message\ndata: {text}\n\n"),
            Self::Post => format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ),
        }
        .into_bytes()
    }
}

/// What the signs in texts stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) held: Vec<String>,
}

impl Names {
    fn put(&self, text: &str) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let mut text = text.replace("$ID", &self.id).replace("$TOKEN", &self.token);
        for (number, id) in self.held.iter().enumerate().take(10) {
            text = text.replace(&format!("${number}"), id);
        }
        text
    }
}

/// How a script went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Step,
    /// Waits for the calls that are held.
    Held(usize),
    Deaf,
    Close,
    Reset,
}

impl Step {
    /// Does it. An error means that nobody reads any more.
    pub(crate) async fn play(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        framing: Framing,
        names: &Names,
    ) -> std::io::Result<Next> {
        let frame = |text: &str| framing.frame(&names.put(text));
        match self {
            Self::Bytes(text) => {
                let byte = |c| u8::try_from(c).unwrap_or(b'?');
                write(out, &names.put(text).chars().map(byte).collect::<Vec<_>>()).await?;
            }
            Self::Frame(text) => write(out, &frame(text)).await?,
            Self::Cut(steps, at) => {
                let mut all = Vec::new();
                for step in steps {
                    Box::pin(step.play(&mut all, framing, names)).await?;
                }
                write(out, &all[..all.len().min(*at)]).await?;
            }
            Self::Split(text, at) => {
                let frame = frame(text);
                let (head, tail) = frame.split_at(frame.len().min(*at));
                write(out, head).await?;
                tokio::task::yield_now().await;
                write(out, tail).await?;
            }
            Self::Trickle(text, every) => {
                for byte in frame(text) {
                    tokio::time::sleep(Duration::from_millis(*every)).await;
                    write(out, &[byte]).await?;
                }
            }
            Self::Burst(text, count, last) => {
                let text = names.put(text);
                let mut all = Vec::new();
                for number in 1..=*count {
                    all.extend(framing.frame(&text.replace("$N", &number.to_string())));
                }
                all.extend(frame(last));
                write(out, &all).await?;
            }
            Self::Fill(text, size) => {
                let text = names.put(text).replace("$FILL", &"x".repeat(*size));
                write(out, &framing.frame(&text)).await?;
            }
            Self::Json(text) => {
                let text = names.put(text);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
                write(out, format!("{head}: {}\r\n\r\n{text}", text.len()).as_bytes()).await?;
            }
            Self::Pause(time) => tokio::time::sleep(Duration::from_millis(*time)).await,
            Self::Held(count) => return Ok(Next::Held(*count)),
            Self::Deaf => return Ok(Next::Deaf),
            Self::Close => return Ok(Next::Close),
            Self::Reset => return Ok(Next::Reset),
        }
        Ok(Next::Step)
    }
}

/// Each write is seen as such.
pub(crate) async fn write(
    out: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> std::io::Result<()> {
    out.write_all(bytes).await?;
    out.flush().await
}
