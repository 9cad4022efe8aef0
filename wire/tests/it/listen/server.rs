//! What stands behind the listener in these tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;
use toolweir_core::{
    Call, Clock, Error, Instant, Kind, Method, Notification, Peer, RawJson, Reply, Server,
    ServerInfo, ServerMessage, Subscriber, TokioClock,
};

/// Does what the tool's name says.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) calls: Mutex<Vec<(String, Option<String>)>>,
    pub(crate) notes: Mutex<Vec<String>>,
    pub(crate) tools: Mutex<Vec<Value>>,
    /// What it offers besides.
    pub(crate) offers: Mutex<Value>,
    /// The way back of a call of `keep`.
    pub(crate) kept: Mutex<Option<Arc<dyn Peer>>>,
    /// Calls of `hold` that run.
    pub(crate) held: AtomicUsize,
    pub(crate) changed: Notify,
    pub(crate) release: Notify,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
}

struct Held<'a>(&'a Scripted);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until that many calls of `hold` run.
    pub(crate) async fn holds(&self, count: usize) {
        super::within(async {
            loop {
                let changed = self.changed.notified();
                if self.held.load(Ordering::SeqCst) == count {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    /// Waits until a call of this method and target has come.
    pub(crate) async fn has_seen(&self, method: &str, target: Option<&str>) {
        super::within(async {
            loop {
                let changed = self.changed.notified();
                let wanted = (method.to_owned(), target.map(str::to_owned));
                if self.calls.lock().unwrap().contains(&wanted) {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    pub(crate) fn say(&self, method: Method, params: Option<Value>) {
        let notification = Notification::new(method, params.map(RawJson::from));
        for subscriber in self.subscribers.lock().unwrap().iter().filter_map(Weak::upgrade) {
            subscriber.on_message(ServerMessage::Notification(notification.clone()));
        }
    }
}

pub(crate) fn progress(number: u64) -> Notification {
    let params = json!({"progressToken": 99, "progress": number});
    Notification::new(Method::PROGRESS, Some(params.into()))
}

/// The answers to questions that are asked at the same time; an error's text where there is none.
async fn interview(peer: &Arc<dyn Peer>, questions: &[Value]) -> Vec<Value> {
    let asked: Vec<_> = questions
        .iter()
        .map(|question| {
            let (peer, question) = (peer.clone(), question.clone());
            tokio::spawn(async move {
                let method = Method::from(question["method"].as_str().unwrap());
                let params = question.get("params").cloned().map(RawJson::from);
                let deadline = TokioClock.now() + Duration::from_secs(3_600);
                match peer.request(method, params, deadline).await {
                    Ok(answer) => answer.get().unwrap(),
                    Err(error) => Value::from(error.to_string()),
                }
            })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    answers
}

#[async_trait]
impl Server for Scripted {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let target = call.target.as_deref().map(str::to_owned);
        self.calls.lock().unwrap().push((call.method.to_string(), target.clone()));
        self.changed.notify_waiters();
        let arguments: Value = call
            .params
            .as_ref()
            .and_then(|params| params.member("arguments"))
            .map_or(Value::Null, |arguments| arguments.get().unwrap());
        let peer = call.peer.as_ref();
        let ok = |value: Value| Ok(Reply::new(value.into()));
        match (call.method.as_str(), target.as_deref().unwrap_or_default()) {
            ("tools/call", "echo") => ok(arguments),
            ("tools/call", "who") => ok(json!({
                "principal": call.client.principal.as_str(),
                "version": call.client.protocol_version.as_deref(),
                "info": call.client.info,
            })),
            ("tools/call", "raw") => Ok(Reply::new(
                RawJson::new(r#"{"n": 1e22,"a":1,  "x":[1.10]}"#.as_bytes()).unwrap(),
            )),
            ("tools/call", "burst") => {
                for number in 0..arguments["count"].as_u64().unwrap() {
                    peer.unwrap().notify(progress(number));
                    if arguments["yield"] == true {
                        tokio::task::yield_now().await;
                    }
                }
                ok(json!({"done": true}))
            }
            ("tools/call", "log") => {
                for level in ["debug", "error"] {
                    let params = json!({"level": level, "data": level});
                    peer.unwrap().notify(Notification::new(Method::MESSAGE, Some(params.into())));
                }
                ok(json!({"done": true}))
            }
            ("tools/call", "hold") => {
                self.held.fetch_add(1, Ordering::SeqCst);
                self.changed.notify_waiters();
                let _held = Held(self);
                if arguments["note"] == true {
                    peer.unwrap().notify(progress(1));
                }
                self.release.notified().await;
                ok(json!({"held": true}))
            }
            ("tools/call", "ask") => {
                let method = Method::from(arguments["method"].as_str().unwrap());
                let wait = arguments["ms"].as_u64().unwrap_or(20_000);
                let deadline = TokioClock.now() + Duration::from_millis(wait);
                let params = Some(RawJson::from(json!({"q": 1})));
                let answer = peer.unwrap().request(method, params, deadline).await?;
                ok(json!({"answer": answer}))
            }
            // Rounds of questions, those of one round at the same time.
            ("tools/call", "interview") => {
                self.held.fetch_add(1, Ordering::SeqCst);
                self.changed.notify_waiters();
                let _held = Held(self);
                let mut answers = Vec::new();
                for (number, round) in (1..).zip(arguments["rounds"].as_array().unwrap()) {
                    peer.unwrap().notify(progress(number));
                    answers.push(interview(peer.unwrap(), round.as_array().unwrap()).await);
                }
                ok(json!({"answers": answers}))
            }
            ("tools/call", "task") => {
                let mut reply = Reply::new(json!({"task": {"taskId": arguments["id"]}}).into());
                reply.is_task = true;
                Ok(reply)
            }
            ("tasks/get" | "tasks/update" | "tasks/cancel", _) => ok(json!({})),
            ("toolweir/tasks/watch" | "toolweir/tasks/unwatch", _) => ok(json!({})),
            ("tools/call", "keep") => {
                *self.kept.lock().unwrap() = call.peer.clone();
                ok(json!({}))
            }
            ("tools/call", "panic") => panic!("as asked"),
            ("tools/call", "fail") => {
                let code = arguments["code"].as_i64().unwrap();
                let object = json!({"code": code, "message": "m", "data": {"k": [1]}});
                Err(Error::protocol(code, object.into()))
            }
            ("tools/call", "input") => {
                let mut reply = Reply::new(json!({"resultType": "input_required"}).into());
                reply.input_required = true;
                Ok(reply)
            }
            ("tools/list", _) => ok(json!({"tools": self.tools.lock().unwrap().clone()})),
            ("resources/read", "test://gone") => {
                Err(Error::protocol(-32002, json!({"code": -32002, "message": "no"}).into()))
            }
            ("resources/read", _) => ok(json!({"contents": [], "ttlMs": 7})),
            ("resources/subscribe", "test://refused") => Err(Kind::NotFound.into()),
            ("resources/subscribe", "test://slow") => {
                self.release.notified().await;
                ok(json!({}))
            }
            ("resources/subscribe", "test://never") => std::future::pending().await,
            ("resources/subscribe" | "resources/unsubscribe" | "logging/setLevel", _) => {
                ok(json!({}))
            }
            ("completion/complete", _) => ok(json!({"completion": {"values": []}})),
            _ => Err(Kind::NotFound.into()),
        }
    }

    async fn connect(&self, _: Instant) -> Result<Arc<ServerInfo>, Error> {
        let mut capabilities = json!({
            "tools": {"listChanged": true}, "prompts": {},
            "resources": {"subscribe": true, "listChanged": true}, "logging": {}
        });
        for (name, value) in self.offers.lock().unwrap().as_object().into_iter().flatten() {
            capabilities[name] = value.clone();
        }
        let identity = json!({"name": "scripted", "version": "1"});
        let mut info = ServerInfo::new(identity.into(), capabilities.into());
        info.instructions = Some("be kind".to_owned());
        Ok(Arc::new(info))
    }

    async fn notify(&self, notification: Notification) {
        self.notes.lock().unwrap().push(notification.method.to_string());
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.lock().unwrap().push(subscriber);
    }
}
