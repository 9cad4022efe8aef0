//! A server of either era with a part of everything: what it offers, asks, tells and logs.
//!
//! It keeps to its own era strictly.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::front::Sink;
use crate::peer::within;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LEVEL: &str = "io.modelcontextprotocol/logLevel";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
/// What a client says that keeps quiet when it is asked.
pub(super) const SEEN: &str = "notifications/x.example/seen";
pub(super) const WITHDRAWN: &str = "notifications/x.example/withdrawn";
/// The id of what is withdrawn.
pub(super) const QUESTION: u64 = 7_777;
const LEVELS: [&str; 4] = ["debug", "info", "warning", "error"];

pub(super) struct Peer {
    name: &'static str,
    pub(super) is_modern: bool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
pub(super) struct State {
    /// All that came, in order.
    seen: Vec<Value>,
    /// Where it tells of changes: the subscription's id and filter, `null` in the legacy era.
    pub(super) listening: Vec<(Value, Value, Sink)>,
    watched: Vec<Value>,
    level: usize,
    /// Legacy calls that wait for answers.
    asking: Vec<Asking>,
    /// A call that waits until its question has been seen, and withdrawn.
    withdrawing: Option<(Value, Sink)>,
    has_changed: bool,
    /// Counts its lives; a session is good in one of them.
    pub(super) life: u64,
    pub(super) lines: Vec<tokio::task::AbortHandle>,
}

struct Asking {
    call: Value,
    sink: Sink,
    answers: Vec<Value>,
}

impl Peer {
    pub(super) fn new(name: &'static str) -> Arc<Self> {
        let is_modern = name.ends_with('m');
        Arc::new(Self { name, is_modern, state: Mutex::default(), changed: Notify::new() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn note(&self, message: &Value) {
        self.state().seen.push(message.clone());
        self.changed.notify_waiters();
    }

    /// What came of this method.
    pub(super) fn of(&self, method: &str) -> Vec<Value> {
        let seen = self.state().seen.clone();
        seen.into_iter().filter(|message| message["method"] == method).collect()
    }

    /// Waits for something that came.
    pub(super) async fn sees(&self, what: impl Fn(&Value) -> bool) -> Value {
        within(async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = self.state().seen.iter().find(|message| what(message)) {
                    return found.clone();
                }
                changed.await;
            }
        })
        .await
    }

    /// Tells everybody who listens for it, by the name of each subscription.
    pub(super) fn tell(&self, method: &str, params: &Value) {
        for (id, filter, sink) in &self.state().listening {
            let mut params = params.clone();
            if self.is_modern {
                let flag = match method {
                    "notifications/tools/list_changed" => &filter["toolsListChanged"],
                    "notifications/prompts/list_changed" => &filter["promptsListChanged"],
                    "notifications/resources/list_changed" => &filter["resourcesListChanged"],
                    _ => &Value::Null,
                };
                let uris = filter["resourceSubscriptions"].as_array().into_iter().flatten();
                if flag != true && !uris.into_iter().any(|uri| *uri == params["uri"]) {
                    continue;
                }
                params["_meta"][SUBSCRIPTION] = id.clone();
            }
            sink.send(json!({ "method": method, "params": params }));
        }
    }

    /// Has one tool more, and tells of it.
    pub(super) fn change(&self) {
        self.state().has_changed = true;
        self.tell("notifications/tools/list_changed", &json!({}));
    }

    /// Whether it was asked to tell of this resource.
    pub(super) fn is_watched(&self, uri: &str) -> bool {
        let state = self.state();
        let has = |filter: &Value| {
            filter["resourceSubscriptions"].as_array().is_some_and(|all| all.contains(&uri.into()))
        };
        state.watched.contains(&uri.into())
            || state.listening.iter().any(|(_, filter, sink)| !sink.is_closed() && has(filter))
    }

    pub(super) async fn is_watched_soon(&self, uri: &str, wanted: bool) {
        within(async {
            while self.is_watched(uri) != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Ends, and begins anew with nothing of what it was told.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        let (life, seen) = (state.life + 1, std::mem::take(&mut state.seen));
        let ended = std::mem::replace(&mut *state, State { life, seen, ..State::default() });
        drop(state);
        ended.lines.iter().for_each(tokio::task::AbortHandle::abort);
    }

    pub(super) fn introduction(&self) -> Value {
        let capabilities = json!({
            "tools": { "listChanged": true }, "prompts": { "listChanged": true },
            "resources": { "subscribe": true, "listChanged": true },
            "logging": {}, "completions": {}, "experimental": { self.name: {} },
        });
        if self.is_modern {
            return json!({ "supportedVersions": ["2026-07-28"], "capabilities": capabilities,
                           "ttlMs": 0, "cacheScope": "private" });
        }
        json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities,
                "serverInfo": { "name": self.name, "version": "1" } })
    }

    /// Carries out what came, and answers on `sink`.
    pub(super) fn hear(&self, message: &Value, sink: &Sink) {
        self.note(message);
        let (id, params) = (&message["id"], &message["params"]);
        let Some(method) = message["method"].as_str() else { return self.answered(message) };
        if id.is_null() {
            let withdrawing = self.state().withdrawing.clone();
            match (method, withdrawing) {
                (SEEN, Some((_, sink))) => {
                    let params = json!({ "requestId": QUESTION });
                    sink.send(json!({ "method": "notifications/cancelled", "params": params }));
                }
                (WITHDRAWN, Some((call, sink))) => {
                    self.state().withdrawing = None;
                    self.done(&call, json!({ "content": [] }), &sink);
                }
                _ => {}
            }
            if method == "notifications/cancelled" {
                let id = &params["requestId"];
                self.state().listening.retain(|(known, _, _)| !self.is_modern || known != id);
            }
            return;
        }
        let is_of_era = match method {
            "server/discover" | "subscriptions/listen" => self.is_modern,
            "initialize"
            | "ping"
            | "logging/setLevel"
            | "resources/subscribe"
            | "resources/unsubscribe" => !self.is_modern,
            _ => self.is_modern == params["_meta"][VERSION].is_string(),
        };
        if !is_of_era {
            return sink.send(
                json!({ "id": id, "error": { "code": -32601, "message": "not of this era" } }),
            );
        }
        match method {
            "subscriptions/listen" => {
                let filter = params["notifications"].clone();
                sink.send(json!({ "method": "notifications/subscriptions/acknowledged",
                                  "params": { "notifications": filter, "_meta": { SUBSCRIPTION: id } } }));
                self.state().listening.push((id.clone(), filter, sink.clone()));
            }
            "tools/call" => self.call(id, params, sink),
            _ => match self.result(method, params) {
                Ok(result) => self.done(id, result, sink),
                Err(code) => {
                    sink.send(json!({ "id": id, "error": { "code": code, "message": "no" } }));
                }
            },
        }
    }

    fn done(&self, id: &Value, mut result: Value, sink: &Sink) {
        if self.is_modern && result["resultType"].is_null() {
            result["resultType"] = "complete".into();
        }
        sink.send(json!({ "id": id, "result": result }));
    }

    fn result(&self, method: &str, params: &Value) -> Result<Value, i64> {
        let name = self.name;
        // Two pages of each list.
        let page = |member: &str, [first, second]: [Vec<Value>; 2]| {
            let mut page = match params["cursor"].as_str() {
                None => json!({ member: first, "nextCursor": "two" }),
                Some("two") => json!({ member: second }),
                Some(_) => return Err(-32602),
            };
            if self.is_modern {
                page["ttlMs"] = 60_000.into();
                page["cacheScope"] = "public".into();
            }
            Ok(page)
        };
        let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
        match method {
            "initialize" | "server/discover" => Ok(self.introduction()),
            "tools/list" => {
                let mut more =
                    ["ask", "broken", "hold", "link", "log", "withdraw"].map(tool).to_vec();
                more.extend(self.state().has_changed.then(|| tool("extra")));
                page("tools", [vec![tool("echo")], more])
            }
            "prompts/list" => {
                page("prompts", ["one", "two"].map(|name| vec![json!({ "name": name })]))
            }
            "resources/list" => {
                let resource =
                    |part: &str| json!({ "uri": format!("{name}:{part}"), "name": part });
                page("resources", ["a", "b"].map(|part| vec![resource(part)]))
            }
            "resources/templates/list" => {
                let template = |part: &str| json!({ "uriTemplate": format!("{name}:{part}/{{id}}"), "name": part });
                page("resourceTemplates", ["t", "u"].map(|part| vec![template(part)]))
            }
            "prompts/get" | "completion/complete" => Ok(json!({ "from": name, "seen": params })),
            "resources/read" => {
                let own = format!("{name}:");
                match params["uri"].as_str().is_some_and(|uri| uri.starts_with(&own)) {
                    true if self.is_modern => Ok(json!({
                        "contents": [], "from": name, "seen": params,
                        "ttlMs": 60_000, "cacheScope": "public",
                    })),
                    true => Ok(json!({ "contents": [], "from": name, "seen": params })),
                    false if self.is_modern => Err(-32602),
                    false => Err(-32002),
                }
            }
            "resources/subscribe" => {
                self.state().watched.push(params["uri"].clone());
                Ok(json!({}))
            }
            "resources/unsubscribe" => {
                self.state().watched.retain(|uri| *uri != params["uri"]);
                Ok(json!({}))
            }
            "logging/setLevel" => {
                let level = LEVELS.iter().position(|level| params["level"] == *level);
                self.state().level = level.unwrap_or(0);
                Ok(json!({}))
            }
            "ping" => Ok(json!({})),
            _ if method.starts_with(name) => Ok(json!({ "from": name, "seen": params })),
            _ => Err(-32601),
        }
    }

    fn call(&self, id: &Value, params: &Value, sink: &Sink) {
        match params["name"].as_str().unwrap_or_default() {
            "echo" => self.done(id, json!({ "from": self.name, "seen": params }), sink),
            "hold" => {}
            "link" => {
                let link = json!({ "type": "resource_link", "name": "l",
                                   "uri": format!("{}:linked", self.name) });
                self.done(id, json!({ "content": [link] }), sink);
            }
            "log" => {
                let level = match self.is_modern {
                    true => LEVELS.iter().position(|level| params["_meta"][LEVEL] == *level),
                    false => Some(self.state().level),
                };
                for level in level.map_or(&[][..], |level| &LEVELS[level..]) {
                    let params = json!({ "level": level, "data": self.name });
                    sink.send(json!({ "method": "notifications/message", "params": params }));
                }
                self.done(id, json!({ "content": [] }), sink);
            }
            "withdraw" => {
                sink.send(json!({ "id": QUESTION, "method": "roots/list" }));
                self.state().withdrawing = Some((id.clone(), sink.clone()));
            }
            "ask" => self.ask(id, params, sink),
            _ => sink.send(json!({ "id": id, "error": { "code": -32050, "message": "no tool",
                                   "data": { "of": self.name } } })),
        }
    }

    /// Asks the questions of the arguments, all at once, and answers with what was answered.
    fn ask(&self, id: &Value, params: &Value, sink: &Sink) {
        let questions = params["arguments"]["ask"].as_array().unwrap();
        if !self.is_modern {
            let mut state = self.state();
            let number = state.asking.len();
            let answers = vec![Value::Null; questions.len()];
            state.asking.push(Asking { call: id.clone(), sink: sink.clone(), answers });
            for (place, question) in questions.iter().enumerate() {
                let mut question = question.clone();
                question["id"] = format!("{number}.{place}").into();
                sink.send(question);
            }
            return;
        }
        let state = format!("state of {}", self.name);
        if let Some(given) = params["inputResponses"].as_object() {
            assert_eq!(params["requestState"], state, "as it was given");
            let answers: Vec<&Value> = (0..given.len()).map(|at| &given[&at.to_string()]).collect();
            return self.done(id, json!({ "answers": answers }), sink);
        }
        let part = |question: &Value| {
            let method = question["method"].as_str().unwrap();
            method.split('/').next().unwrap().to_owned()
        };
        let capabilities = &params["_meta"][CAPABILITIES];
        if let Some(missing) = questions.iter().map(part).find(|part| capabilities[part].is_null())
        {
            let data = json!({ "requiredCapabilities": { missing: {} } });
            return sink.send(json!({ "id": id, "error": { "code": -32021, "message": "cannot be asked", "data": data } }));
        }
        let requests: serde_json::Map<String, Value> =
            (0..).zip(questions).map(|(at, it): (usize, _)| (at.to_string(), it.clone())).collect();
        let result = json!({ "resultType": "input_required", "inputRequests": requests,
                             "requestState": state });
        self.done(id, result, sink);
    }

    /// Takes a legacy client's answer to a question.
    fn answered(&self, message: &Value) {
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        let Some((number, place)) = id.split_once('.') else { return };
        let (number, place): (usize, usize) = (number.parse().unwrap(), place.parse().unwrap());
        let mut state = self.state();
        let asking = &mut state.asking[number];
        asking.answers[place] = match message.get("result") {
            Some(result) => result.clone(),
            None => json!({ "error": message["error"] }),
        };
        if asking.answers.iter().all(|answer| !answer.is_null()) {
            let (id, sink, answers) =
                (asking.call.clone(), asking.sink.clone(), asking.answers.clone());
            drop(state);
            self.done(&id, json!({ "answers": answers }), &sink);
        }
    }
}
