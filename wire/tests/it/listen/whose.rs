//! Clients that are told from each other: what is said to one alone, and that it has gone.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use toolweir_core::{
    Call, Client as Caller, Clock, Error, Method, Notification, Peer, RawJson, Reply, Server,
    ServerMessage, Subscriber, TokioClock,
};
use toolweir_wire::{HttpListener, Limits, Service};

use super::client::Client;
use super::{open, tool, within};

/// Who called, and the way back.
type Calling = (Arc<Caller>, Arc<dyn Peer>);

/// Remembers who called it, and who has gone.
#[derive(Default)]
struct Knowing {
    callers: Mutex<Vec<Calling>>,
    from: Mutex<Vec<(usize, String)>>,
    gone: Mutex<Vec<usize>>,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
}

impl Knowing {
    fn number(&self, client: &Arc<Caller>) -> usize {
        let callers = self.callers.lock().unwrap();
        callers.iter().position(|(caller, _)| Arc::ptr_eq(caller, client)).unwrap()
    }

    fn tell(&self, caller: usize, notification: Notification) {
        let client = self.callers.lock().unwrap()[caller].0.clone();
        for subscriber in self.subscribers.lock().unwrap().iter().filter_map(Weak::upgrade) {
            subscriber.on_message(ServerMessage::ToClient(client.clone(), notification.clone()));
        }
    }

    fn peer(&self, caller: usize) -> Arc<dyn Peer> {
        self.callers.lock().unwrap()[caller].1.clone()
    }
}

#[async_trait]
impl Server for Knowing {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if call.method == Method::TOOLS_CALL {
            let caller = (call.client.clone(), call.peer.clone().unwrap());
            self.callers.lock().unwrap().push(caller);
        }
        Ok(Reply::new(RawJson::EMPTY_OBJECT))
    }

    async fn notify_from(&self, client: &Arc<Caller>, notification: Notification) {
        let number = self.number(client);
        self.from.lock().unwrap().push((number, notification.method.to_string()));
    }

    fn forget(&self, client: &Arc<Caller>) {
        let number = self.number(client);
        self.gone.lock().unwrap().push(number);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.lock().unwrap().push(subscriber);
    }
}

async fn start(limits: Limits) -> (HttpListener, Arc<Knowing>) {
    let server = Arc::new(Knowing::default());
    let service = Service::new(server.clone()).limits(limits);
    (HttpListener::bind("127.0.0.1:0", service).await.unwrap(), server)
}

fn note(method: &str) -> Notification {
    let params = RawJson::from(json!({ "uri": "test://a", "level": "info", "data": "x" }));
    Notification::new(Method::from(method), Some(params))
}

#[tokio::test]
async fn a_session_alone_is_told_and_asked_beyond_its_calls() {
    let (listener, server) = start(Limits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(listener.local_addr()).await;
        let id = open(&mut client, "2025-11-25", r#"{"roots":{}}"#).await;
        let session = [("mcp-session-id", id.as_str())];
        let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"test://a"}}"#;
        client.post(&session, subscribe).await.text().await;
        client.post(&session, &tool("2", "x", "{}", "")).await.text().await;
        let stream = client.get(&session).await;
        clients.push((client, id, stream));
    }
    server.tell(1, note("notifications/resources/updated"));
    let lasting = server.peer(1).lasting().unwrap();
    lasting.notify(note("notifications/message"));
    let question = async {
        let far = TokioClock.now() + Duration::from_secs(20);
        lasting.request(Method::from("roots/list"), None, far).await.unwrap()
    };
    let (_, id, stream) = &mut clients[1];
    let answering = async {
        let mut seen = Vec::new();
        loop {
            let event = stream.event().await.unwrap();
            seen.push(event["method"].as_str().unwrap().to_owned());
            if event["method"] == "roots/list" {
                let mut answers = Client::connect(listener.local_addr()).await;
                let answer =
                    json!({ "jsonrpc": "2.0", "id": event["id"], "result": { "roots": [7] } });
                answers.post(&[("mcp-session-id", id)], &answer.to_string()).await;
                return seen;
            }
        }
    };
    let (answer, seen) = within(async { tokio::join!(question, answering) }).await;
    assert_eq!(answer.as_str(), r#"{"roots":[7]}"#);
    assert_eq!(seen, ["notifications/resources/updated", "notifications/message", "roots/list"]);
    let sampling = lasting.request(Method::from("sampling/createMessage"), None, TokioClock.now());
    assert!(sampling.await.unwrap_err().to_string().contains("did not declare `sampling`"));

    // The first heard nothing of it.
    server.tell(0, note("notifications/resources/updated"));
    let heard = clients[0].2.event().await.unwrap();
    assert_eq!(heard["method"], "notifications/resources/updated");
    drop(clients.remove(0)); // the stream, and the connection under it
    let lasting = server.peer(0).lasting().unwrap();
    let unreachable = async {
        loop {
            let soon = TokioClock.now() + Duration::from_millis(10);
            let error = lasting.request(Method::from("roots/list"), None, soon).await.unwrap_err();
            if error.to_string().contains("cannot be reached") {
                return; // the listener has noticed
            }
        }
    };
    within(unreachable).await;
}

#[tokio::test]
async fn a_server_hears_who_told_it_and_who_has_gone() {
    let mut limits = Limits::default();
    limits.session_idle = Duration::from_millis(100);
    let (listener, server) = start(limits).await;
    let mut ids = Vec::new();
    let mut client = Client::connect(listener.local_addr()).await;
    for _ in 0..2 {
        let id = open(&mut client, "2025-11-25", "{}").await;
        let session = [("mcp-session-id", id.as_str())];
        client.post(&session, &tool("2", "x", "{}", "")).await.text().await;
        let changed = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
        client.post(&session, changed).await;
        ids.push(id);
    }
    let told = |number| (number, "notifications/roots/list_changed".to_owned());
    assert_eq!(*server.from.lock().unwrap(), [told(0), told(1)]);
    client.send("DELETE", "/mcp", &[("mcp-session-id", &ids[1])], "").await;
    assert_eq!(server.gone.lock().unwrap()[0], 1);
    // The other is forgotten when it has been idle.
    let swept = async {
        while server.gone.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(swept).await;
    assert_eq!(*server.gone.lock().unwrap(), [1, 0]);
}
