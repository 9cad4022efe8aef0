//! A client of either era, over stdio or HTTP, that does what clients do: call, answer, listen, cancel.

use serde_json::{Value, json};

use super::Gateway;
use super::server::{SEEN, WITHDRAWN};
use crate::peer::client::{Answer, Client as HttpClient, LineClient};
use crate::peer::within;

const VERSION: &str = "2026-07-28";

pub(super) struct Client {
    pub(super) is_modern: bool,
    /// What it says that it can be asked.
    capabilities: Value,
    /// The level that it asks for in each request.
    pub(super) level: Option<&'static str>,
    /// Says only that it has been asked, and that a question was withdrawn.
    pub(super) is_quiet: bool,
    line: Line,
    next_id: u64,
}

enum Line {
    Stdio(Option<LineClient>, tokio::task::JoinHandle<()>),
    Http {
        address: std::net::SocketAddr,
        session: Option<String>,
        /// What it hears without asking, and the connection that carries it.
        stream: Option<(HttpClient, Answer)>,
    },
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Self::Stdio(_, serving) = self {
            serving.abort();
        }
    }
}

/// Everything that a client can be asked.
pub(super) fn all() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} })
}

/// What it answers a question.
pub(super) fn answer_to(question: &Value) -> Value {
    json!({ "answered": question["method"], "to": question["params"] })
}

/// How a call went.
pub(super) struct Done {
    /// What was asked meanwhile: method and params.
    pub(super) asked: Vec<Value>,
    /// What was told meanwhile.
    pub(super) told: Vec<Value>,
    pub(super) answer: Value,
    /// Of HTTP.
    pub(super) status: u16,
}

impl Client {
    pub(super) async fn connect(
        gateway: &Gateway,
        is_http: bool,
        is_modern: bool,
        capabilities: Value,
    ) -> Self {
        let line = if is_http {
            let address = gateway.listener.local_addr();
            Line::Http { address, session: None, stream: None }
        } else {
            let (line, input, output) = LineClient::pair();
            let service = gateway.service.clone();
            let serving = tokio::spawn(async move {
                drop(toolweir::wire::serve_stdio(service, input, output).await);
            });
            Line::Stdio(Some(line), serving)
        };
        let mut client =
            Self { is_modern, capabilities, level: None, is_quiet: false, line, next_id: 0 };
        if !is_modern {
            let params = json!({ "protocolVersion": "2025-11-25", "capabilities": client.capabilities,
                                 "clientInfo": { "name": "t", "version": "1" } });
            client.call("initialize", params).await;
            client.notify("notifications/initialized", json!({})).await;
        }
        client
    }

    /// A modern request's or notification's params with what it says of itself.
    fn with_meta(&self, mut params: Value) -> Value {
        if self.is_modern {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = VERSION.into();
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
            if let Some(level) = self.level {
                meta["io.modelcontextprotocol/logLevel"] = level.into();
            }
        }
        params
    }

    pub(super) async fn notify(&mut self, method: &str, params: Value) {
        let message =
            json!({ "jsonrpc": "2.0", "method": method, "params": self.with_meta(params) });
        self.send(&message).await;
    }

    /// Sends a message that is no request.
    async fn send(&mut self, message: &Value) {
        match &mut self.line {
            Line::Stdio(line, _) => line.as_mut().unwrap().send(&message.to_string()).await,
            Line::Http { address, session, .. } => {
                let headers = headers(session.as_deref(), self.is_modern, message);
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let mut client = HttpClient::connect(*address).await;
                let answer = client.post(&headers, &message.to_string()).await;
                assert_eq!(answer.status, 202, "{message}");
            }
        }
    }

    /// Writes a request, and gives its id and what is answered over HTTP.
    async fn begin(
        &mut self,
        method: &str,
        params: Value,
    ) -> (Value, Option<(HttpClient, Answer)>) {
        self.next_id += 1;
        let id = json!(format!("c{}", self.next_id));
        let params = self.with_meta(params);
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answer = match &mut self.line {
            Line::Stdio(line, _) => {
                line.as_mut().unwrap().send(&message.to_string()).await;
                None
            }
            Line::Http { address, session, .. } => {
                let headers = headers(session.as_deref(), self.is_modern, &message);
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let mut client = HttpClient::connect(*address).await;
                let answer = client.post(&headers, &message.to_string()).await;
                if method == "initialize" {
                    *session = answer.header("mcp-session-id");
                }
                Some((client, answer))
            }
        };
        (id, answer)
    }

    /// Makes a request, and answers all that it is asked on the way: on the open call, or by calling again.
    pub(super) async fn call(&mut self, method: &str, params: Value) -> Done {
        let mut done = self.once(method, params.clone()).await;
        if done.answer["result"]["resultType"] == "input_required" {
            assert!(self.is_modern, "a legacy client knows no such result: {}", done.answer);
            let questions = done.answer["result"]["inputRequests"].as_object().unwrap().clone();
            let mut again = params;
            for (key, question) in &questions {
                again["inputResponses"][key] = answer_to(question);
                done.asked.push(question.clone());
            }
            again["requestState"] = done.answer["result"]["requestState"].clone();
            let next = self.once(method, again).await;
            done.told.extend(next.told);
            assert_eq!(next.asked, [Value::Null; 0]);
            done.answer = next.answer;
        }
        done
    }

    async fn once(&mut self, method: &str, params: Value) -> Done {
        let (id, mut open) = self.begin(method, params).await;
        let mut done =
            Done { asked: Vec::new(), told: Vec::new(), answer: Value::Null, status: 200 };
        if let Some((_, answer)) = &open {
            done.status = answer.status;
        }
        if let Some((_, answer)) = open.take_if(|(_, answer)| !answer.is_stream()) {
            done.answer = answer.json().await;
            assert_eq!(done.answer["id"], id);
            return done;
        }
        loop {
            let message = match (&mut self.line, &mut open) {
                (_, Some((_, answer))) => answer.event().await.unwrap(),
                (Line::Stdio(line, _), None) => line_of(line).await,
                (Line::Http { .. }, None) => unreachable!("it has an answer"),
            };
            if message["method"].is_null() {
                assert_eq!(message["id"], id, "{message}");
                done.answer = message;
                return done;
            }
            if message["id"].is_null() {
                if message["method"] == "notifications/cancelled" && self.is_quiet {
                    self.notify(WITHDRAWN, json!({})).await;
                }
                done.told.push(message);
                continue;
            }
            if self.is_quiet {
                self.notify(SEEN, json!({})).await;
                done.asked.push(message);
                continue;
            }
            assert!(!self.is_modern, "a modern client is sent no request: {message}");
            let mut question = json!({ "method": message["method"] });
            if let Some(params) = message.get("params") {
                question["params"] = params.clone();
            }
            let result = answer_to(&question);
            self.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).await;
            done.asked.push(question);
        }
    }

    /// Makes a request, and goes back on it once `until` holds, in the way of its era and transport.
    pub(super) async fn cancel(
        mut self,
        method: &str,
        params: Value,
        until: impl Future<Output = ()>,
    ) {
        // Over HTTP an answer's head comes with the answer, so both are awaited.
        self.next_id += 1;
        let id = json!(format!("c{}", self.next_id));
        let params = self.with_meta(params);
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let cancelled = json!({ "requestId": id });
        if let Line::Http { address, session, .. } = &self.line {
            let headers = headers(session.as_deref(), self.is_modern, &message);
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut client = HttpClient::connect(*address).await;
            let text = message.to_string();
            let mut posting = Box::pin(client.post(&headers, &text));
            tokio::select! {
                answer = &mut posting => panic!("it is never answered: {}", answer.status),
                () = until => {}
            }
            if !self.is_modern {
                self.notify("notifications/cancelled", cancelled).await;
            }
            return; // and with this the connection is closed
        }
        if let Line::Stdio(line, _) = &mut self.line {
            line.as_mut().unwrap().send(&message.to_string()).await;
        }
        until.await;
        self.notify("notifications/cancelled", cancelled).await;
        // What was cancelled is never answered: the next answer is the next call's.
        let done = self.call("resources/templates/list", json!({})).await;
        assert!(done.answer["result"].is_object());
    }

    /// Begins to hear of changed lists and of this resource. Gives the id of a modern client's stream.
    pub(super) async fn listen(&mut self, uri: &str) -> Option<Value> {
        if !self.is_modern {
            let subscribed = self.call("resources/subscribe", json!({ "uri": uri })).await;
            assert_eq!(subscribed.answer["result"], json!({}), "{}", subscribed.answer);
            if let Line::Http { address, session, stream } = &mut self.line {
                let mut client = HttpClient::connect(*address).await;
                let headers = [("mcp-session-id", session.as_deref().unwrap())];
                let answer = client.get(&headers).await;
                assert!(answer.is_stream());
                *stream = Some((client, answer));
            }
            return None;
        }
        let filter = json!({
            "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
            "resourceSubscriptions": [uri],
        });
        let (id, answer) =
            self.begin("subscriptions/listen", json!({ "notifications": filter })).await;
        if let Line::Http { stream, .. } = &mut self.line {
            *stream = answer;
        }
        let first = self.heard().await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(first["params"]["notifications"], filter);
        assert_eq!(first["params"]["_meta"], super::subscription(&id));
        Some(id)
    }

    /// The next that it is told without having asked.
    pub(super) async fn heard(&mut self) -> Value {
        match &mut self.line {
            Line::Stdio(line, _) => line_of(line).await,
            Line::Http { stream, .. } => stream.as_mut().unwrap().1.event().await.unwrap(),
        }
    }

    /// Leaves in good order: ends its session, or its stream, or its connection.
    pub(super) async fn leave(mut self) {
        if let Line::Stdio(line, serving) = &mut self.line {
            drop(line.take());
            within(serving).await.unwrap();
        }
        if let Line::Http { address, session: Some(session), .. } = &self.line {
            let mut client = HttpClient::connect(*address).await;
            let ended = client.send("DELETE", "/mcp", &[("mcp-session-id", session)], "").await;
            assert_eq!(ended.status, 204);
        }
    }
}

async fn line_of(line: &mut Option<LineClient>) -> Value {
    serde_json::from_str(&line.as_mut().unwrap().next().await.unwrap()).unwrap()
}

/// What goes beside a message over HTTP.
fn headers(session: Option<&str>, is_modern: bool, message: &Value) -> Vec<(&'static str, String)> {
    if !is_modern {
        return session.map(|session| ("mcp-session-id", session.to_owned())).into_iter().collect();
    }
    let mut headers = vec![("mcp-protocol-version", VERSION.to_owned())];
    if let Some(method) = message["method"].as_str() {
        headers.push(("mcp-method", method.to_owned()));
        let params = &message["params"];
        let target = match method {
            "tools/call" | "prompts/get" => params["name"].as_str(),
            "resources/read" => params["uri"].as_str(),
            _ => None,
        };
        headers.extend(target.map(|target| ("mcp-name", target.to_owned())));
    }
    headers
}
