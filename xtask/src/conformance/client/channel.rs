//! A client of the gateway, of either era, over either transport, which answers what it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::scenario::answer;
use crate::Failure;
use crate::conformance::programs::Program;

const MODERN: &str = "2026-07-28";
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// One client, which has introduced itself.
pub(super) struct Channel {
    version: String,
    ids: u64,
    way: Way,
    /// The tools as they were listed last.
    pub(super) tools: Vec<Value>,
}

enum Way {
    Http { _gateway: Program, host: String, session: Option<String> },
    Stdio { gateway: Child, stdin: ChildStdin, lines: BufReader<ChildStdout> },
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Self::Stdio { gateway, .. } = self {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
    }
}

impl Channel {
    /// A client of a gateway that listens at `url`.
    pub(super) fn http(gateway: (Program, String), version: &str) -> Result<Self, Failure> {
        let (gateway, url) = gateway;
        let host = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/mcp"));
        let host = host.ok_or("the gateway's URL is not as it used to be")?.to_owned();
        Self::open(Way::Http { _gateway: gateway, host, session: None }, version)
    }

    /// A client of a gateway that it starts.
    pub(super) fn stdio(mut gateway: Command, version: &str) -> Result<Self, Failure> {
        let mut gateway = gateway.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = gateway.stdin.take().ok_or("no stdin")?;
        let lines = BufReader::new(gateway.stdout.take().ok_or("no stdout")?);
        Self::open(Way::Stdio { gateway, stdin, lines }, version)
    }

    fn open(way: Way, version: &str) -> Result<Self, Failure> {
        let mut channel = Self { version: version.to_owned(), ids: 0, way, tools: Vec::new() };
        if channel.is_modern() {
            channel.request("server/discover", json!({}))?;
            return Ok(channel);
        }
        let params = json!({ "protocolVersion": version, "capabilities": capabilities(), "clientInfo": identity() });
        channel.request("initialize", params)?;
        channel.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(channel)
    }

    fn is_modern(&self) -> bool {
        self.version == MODERN
    }

    /// A request's result.
    ///
    /// # Errors
    /// Fails where there is none.
    pub(super) fn request(&mut self, method: &str, mut params: Value) -> Result<Value, Failure> {
        self.ids += 1;
        if self.is_modern() {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": identity(),
                "io.modelcontextprotocol/clientCapabilities": capabilities(),
            });
        }
        let id = self.ids;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let response = self.exchange(&request)?;
        let result = response.get("result").cloned();
        let result = result.ok_or_else(|| format!("{method} was answered {response}"))?;
        if method == "tools/list" {
            self.tools = result["tools"].as_array().cloned().unwrap_or_default();
        }
        Ok(result)
    }

    /// Sends a message that has no answer.
    fn send(&mut self, message: &Value) -> Result<(), Failure> {
        match &mut self.way {
            Way::Stdio { stdin, .. } => Ok(writeln!(stdin, "{message}")?),
            Way::Http { .. } => self.post(message).map(drop),
        }
    }

    fn exchange(&mut self, request: &Value) -> Result<Value, Failure> {
        let mut stream = match &self.way {
            Way::Stdio { .. } => {
                self.send(request)?;
                None
            }
            Way::Http { .. } => Some(self.post(request)?),
        };
        loop {
            let message = match (&mut stream, &mut self.way) {
                (Some(stream), _) => stream.next()?,
                (None, Way::Stdio { lines, .. }) => {
                    let mut line = String::new();
                    lines.read_line(&mut line)?;
                    serde_json::from_str(&line)?
                }
                (None, Way::Http { .. }) => return Err("no answer".into()),
            };
            if message.get("method").is_none() && message["id"] == request["id"] {
                return Ok(message);
            }
            if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
                let result = answer(method, &message["params"]);
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))?;
            }
        }
    }

    /// Posts one message over a connection of its own.
    fn post(&mut self, message: &Value) -> Result<Answer, Failure> {
        let mut headers = self.headers(message);
        let Way::Http { host, session, .. } = &mut self.way else { return Err("no HTTP".into()) };
        let mut connection = TcpStream::connect(host.as_str())?;
        connection.set_read_timeout(Some(LIMIT))?;
        headers.extend(session.iter().map(|id| format!("Mcp-Session-Id: {id}\r\n")));
        let body = message.to_string();
        write!(
            connection,
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n{}\r\n{body}",
            body.len(),
            headers.concat()
        )?;
        let answer = Answer::read(connection)?;
        if let Some(id) = &answer.session {
            *session = Some(id.clone());
        }
        Ok(answer)
    }

    /// What the revision wants repeated of a message.
    fn headers(&self, message: &Value) -> Vec<String> {
        if message["method"] == "initialize" {
            return Vec::new();
        }
        let mut headers = vec![format!("MCP-Protocol-Version: {}\r\n", self.version)];
        let Some(method) = message["method"].as_str().filter(|_| self.is_modern()) else {
            return headers;
        };
        headers.push(format!("Mcp-Method: {method}\r\n"));
        let params = &message["params"];
        let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str);
        headers.extend(name.map(|name| format!("Mcp-Name: {name}\r\n")));
        let tool = self.tools.iter().find(|tool| tool["name"].as_str() == name);
        let none = Map::new();
        let properties = tool.and_then(|tool| tool["inputSchema"]["properties"].as_object());
        for (key, property) in properties.unwrap_or(&none) {
            let value = match &params["arguments"][key] {
                Value::Null => continue,
                Value::String(text) => mirrored(text),
                other => other.to_string(),
            };
            if let Some(header) = property["x-mcp-header"].as_str() {
                headers.push(format!("Mcp-Param-{header}: {value}\r\n"));
            }
        }
        headers
    }
}

fn identity() -> Value {
    json!({ "name": "toolweir-conformance", "version": "0" })
}

fn capabilities() -> Value {
    json!({ "elicitation": { "form": {} }, "sampling": {}, "roots": {} })
}

/// A text as a header may carry it.
fn mirrored(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
    if is_plain { text.to_owned() } else { format!("=?base64?{}?=", base64(text.as_bytes())) }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0_usize, |word, at| {
            word << 8 | usize::from(three.get(at).copied().unwrap_or_default())
        });
        for at in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * at) & 63]);
            text.push(if at <= three.len() { digit } else { '=' });
        }
    }
    text
}

/// The answer to a POST, as far as it has been read.
struct Answer {
    body: Box<dyn BufRead>,
    is_stream: bool,
    session: Option<String>,
}

impl Answer {
    fn read(connection: TcpStream) -> Result<Self, Failure> {
        let mut reader = BufReader::new(connection);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let header = |wanted: &str| {
            let mut pairs = head.iter().filter_map(|line| line.split_once(':'));
            let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let is_chunked = header("transfer-encoding").is_some();
        let body: Box<dyn BufRead> = if is_chunked {
            Box::new(BufReader::new(Chunks { reader, left: 0 }))
        } else {
            Box::new(reader)
        };
        let is_stream = header("content-type").is_some_and(|kind| kind == "text/event-stream");
        Ok(Self { body, is_stream, session: header("mcp-session-id") })
    }

    /// The next message of it.
    fn next(&mut self) -> Result<Value, Failure> {
        if !self.is_stream {
            let mut text = String::new();
            self.body.read_to_string(&mut text)?;
            return Ok(serde_json::from_str(&text)?);
        }
        loop {
            let mut line = String::new();
            if self.body.read_line(&mut line)? == 0 {
                return Err("the stream ended before the answer".into());
            }
            if let Some(data) = line.strip_prefix("data: ").filter(|data| !data.trim().is_empty()) {
                return Ok(serde_json::from_str(data)?);
            }
        }
    }
}

/// A body in chunks.
struct Chunks {
    reader: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Ok(0);
            }
            let size = line.trim();
            if size.is_empty() {
                continue; // the end of the chunk before
            }
            let invalid = |_| std::io::Error::from(std::io::ErrorKind::InvalidData);
            self.left = usize::from_str_radix(size, 16).map_err(invalid)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = into.len().min(self.left);
        let count = self.reader.read(&mut into[..most])?;
        self.left -= count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_carry_is_encoded() {
        let cases = [
            ("us west 1", "us west 1"),
            ("", ""),
            (" a", "=?base64?IGE=?="),
            ("a\tb", "=?base64?YQli?="),
            ("\u{4e16}", "=?base64?5LiW?="),
            ("line1\n", "=?base64?bGluZTEK?="),
        ];
        for (text, expected) in cases {
            assert_eq!(mirrored(text), expected);
        }
    }
}
