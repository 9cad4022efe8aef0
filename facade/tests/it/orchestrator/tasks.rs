//! Tasks of several servers: each request reaches the server that has the task, and only for whom it was made.

use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use serde_json::{Value, json};
use toolweir::core::{
    Call, Client, Error, Instant, Kind, Method, Notification, Peer, Principal, RawJson, Reply,
    Server, ServerInfo, ServerMessage, Subscriber,
};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::started;

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";
const RELATED: &str = "io.modelcontextprotocol/related-task";

fn core() -> Value {
    json!({ "tools": {}, "tasks": { "list": {}, "cancel": {} } })
}

fn extension() -> Value {
    json!({ "tools": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// A server with tasks, whose calls are noted as method and task.
struct Tasked {
    inner: Arc<Scripted>,
    asked: Mutex<Vec<String>>,
    last: Mutex<Option<Value>>,
}

impl Tasked {
    fn new(name: &'static str, capabilities: Value) -> Arc<Self> {
        let inner = Scripted::new(name, &["work", "read"]);
        *inner.capabilities.lock().unwrap() = capabilities;
        Arc::new(Self { inner, asked: Mutex::default(), last: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn tells(&self, method: Method, id: &str) {
        let params = RawJson::from(json!({ "taskId": id, "status": "working" }));
        let notification = Notification::new(method, Some(params));
        self.inner.tell(&ServerMessage::Notification(notification));
    }
}

#[async_trait]
impl Server for Tasked {
    async fn call(&self, call: &Call) -> Result<Reply, Error> {
        if !call.method.as_str().starts_with("t") || call.method == Method::TOOLS_LIST {
            return self.inner.call(call).await;
        }
        let target = call.target.as_deref().unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{} {target}", call.method));
        *self.last.lock().unwrap() = call.params.as_ref().map(|params| params.get().unwrap());
        let result = match call.method.as_str() {
            "tools/call" if target == "work" => {
                let is_legacy = call.client.protocol_version.as_deref() == Some(LEGACY);
                let task = json!({ "taskId": "1", "status": "working", "ttlMs": 60_000 });
                let mut flat = task.clone();
                flat["resultType"] = "task".into();
                let result = if is_legacy { json!({ "task": task }) } else { flat };
                let mut reply = Reply::new(RawJson::from(result));
                reply.is_task = true;
                return Ok(reply);
            }
            "tasks/list" => json!({ "tasks": [
                { "taskId": "1", "status": "working" }, { "taskId": "another's" },
            ] }),
            "tasks/result" => {
                let related = json!({ "_meta": { RELATED: { "taskId": target } } });
                let (peer, far) = (call.peer.as_ref().unwrap(), Instant::FAR_FUTURE);
                let params = Some(RawJson::from(related.clone()));
                peer.notify(Notification::new(Method::MESSAGE, params.clone()));
                let answer = peer.request(Method::ELICITATION, params, far).await?;
                *self.last.lock().unwrap() = Some(answer.get().unwrap());
                related
            }
            _ => json!({ "taskId": target, "status": "working" }),
        };
        Ok(Reply::new(RawJson::from(result)))
    }

    async fn connect(&self, deadline: Instant) -> Result<Arc<ServerInfo>, Error> {
        self.inner.connect(deadline).await
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.inner.subscribe(subscriber);
    }
}

async fn gateway(servers: &[(&str, &Arc<Tasked>)]) -> Orchestrator {
    let mut builder = Orchestrator::builder();
    for (name, server) in servers {
        builder = builder.member(Member::new(*name, (*server).clone()).trusted());
    }
    started(builder).await
}

fn client(principal: &str, version: &str) -> Arc<Client> {
    let mut client = Client::new(Principal::new(principal));
    client.protocol_version = Some(version.into());
    if version == MODERN {
        client.capabilities = RawJson::from(extension());
    }
    Arc::new(client)
}

fn value(reply: &Reply) -> Value {
    reply.result.get().unwrap()
}

/// Calls the tool that becomes a task; the task's name.
async fn begin(gateway: &Orchestrator, client: &Arc<Client>, tool: &str) -> String {
    let mut call = Call::tool(tool, &RawJson::EMPTY_OBJECT).unwrap().client(client.clone());
    let is_legacy = client.protocol_version.as_deref() == Some(LEGACY);
    if is_legacy {
        call.params = Some(RawJson::from(json!({ "name": tool, "task": { "ttl": 60_000 } })));
    }
    let reply = value(&gateway.call(&call).await.unwrap());
    let task = if is_legacy { &reply["task"] } else { &reply };
    task["taskId"].as_str().unwrap().to_owned()
}

fn of(method: &str, client: &Arc<Client>, task: &str) -> Call {
    let params = RawJson::from(json!({ "taskId": task }));
    Call::new(method.into(), Some(params)).target(task).client(client.clone())
}

async fn fails(gateway: &Orchestrator, call: &Call) -> Kind {
    gateway.call(call).await.unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn a_task_is_found_again_at_its_own_server_by_its_owner_alone() {
    for (version, capabilities, methods) in [
        (LEGACY, core(), &["tasks/get", "tasks/cancel"][..]),
        (MODERN, extension(), &["tasks/get", "tasks/update", "tasks/cancel"]),
    ] {
        // Both name their first task alike.
        let [a, b] = ["a", "b"].map(|name| Tasked::new(name, capabilities.clone()));
        let gateway = gateway(&[("a", &a), ("b", &b)]).await;
        let (owner, other) = (client("owner", version), client("other", version));
        let (at_a, at_b) =
            (begin(&gateway, &owner, "a__work").await, begin(&gateway, &owner, "b__work").await);
        assert_ne!(at_a, at_b);
        assert_eq!(
            (a.asked(), b.asked()),
            (vec!["tools/call work".into()], vec!["tools/call work".into()])
        );
        for method in methods {
            let reply = gateway.call(&of(method, &owner, &at_b)).await.unwrap();
            assert_eq!(value(&reply)["taskId"], at_b.as_str(), "{method}");
            assert_eq!(b.asked(), [format!("{method} 1")]);
            assert_eq!(fails(&gateway, &of(method, &other, &at_b)).await, Kind::InvalidRequest);
            assert_eq!(fails(&gateway, &of(method, &owner, "1")).await, Kind::InvalidRequest);
        }
        // The same owner comes back by another connection.
        gateway.call(&of("tasks/get", &client("owner", version), &at_a)).await.unwrap();
        assert_eq!((a.asked(), b.asked()), (vec!["tasks/get 1".to_owned()], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn each_era_has_its_own_methods_and_tasks() {
    let (old, new) = (Tasked::new("old", core()), Tasked::new("new", extension()));
    let servers = [("old", &old), ("new", &new)];
    let gateway_of_both = gateway(&servers).await;
    let (legacy, modern) = (client("p", LEGACY), client("p", MODERN));
    let at_old = begin(&gateway_of_both, &legacy, "old__work").await;
    let at_new = begin(&gateway_of_both, &modern, "new__work").await;
    let cases = [
        ("tasks/update", &legacy, &at_old, Kind::NotFound),
        ("tasks/result", &modern, &at_new, Kind::NotFound),
        ("tasks/list", &modern, &at_new, Kind::NotFound),
        ("tasks/get", &modern, &at_old, Kind::InvalidRequest),
        ("tasks/cancel", &legacy, &at_new, Kind::InvalidRequest),
    ];
    drop((old.asked(), new.asked()));
    for (method, client, task, kind) in cases {
        assert_eq!(fails(&gateway_of_both, &of(method, client, task)).await, kind, "{method}");
    }
    assert!(old.asked().is_empty() && new.asked().is_empty());
    let none = gateway(&[("new", &new)]).await;
    assert_eq!(fails(&none, &of("tasks/get", &legacy, "x")).await, Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_tasks_is_the_callers_own_from_all_servers_that_answer() {
    let servers = ["a", "b", "c"].map(|name| Tasked::new(name, core()));
    let [a, b, c] = &servers;
    let gateway = gateway(&[("a", a), ("b", b), ("c", c)]).await;
    let (owner, other) = (client("owner", LEGACY), client("other", LEGACY));
    let at_a = begin(&gateway, &owner, "a__work").await;
    let at_c = begin(&gateway, &owner, "c__work").await;
    begin(&gateway, &other, "b__work").await;
    c.inner.down(true);
    let list = |client: &Arc<Client>| {
        let call = Call::new(Method::TASKS_LIST, None).client(client.clone());
        let gateway = gateway.clone();
        async move { value(&gateway.call(&call).await.unwrap()) }
    };
    assert_eq!(
        list(&owner).await["tasks"],
        json!([{ "taskId": at_a, "status": "working" }, { "taskId": at_c, "status": "working" }])
    );
    assert_eq!(list(&client("nobody", LEGACY)).await["tasks"], json!([]));
}

/// Hears what the gateway tells clients.
#[derive(Debug, Default)]
struct Hears(Mutex<Vec<(String, Value)>>);

impl Subscriber for Hears {
    fn on_message(&self, message: ServerMessage) {
        if let ServerMessage::Notification(told) = message {
            let params = told.params.map_or(Value::Null, |params| params.get().unwrap());
            self.0.lock().unwrap().push((told.method.to_string(), params));
        }
    }
}

#[async_trait]
impl Peer for Hears {
    fn notify(&self, notification: Notification) {
        self.on_message(ServerMessage::Notification(notification));
    }

    /// Answers as the specification wants it: with the task that the question belongs to.
    async fn request(
        &self,
        method: Method,
        params: Option<RawJson>,
        _: Instant,
    ) -> Result<RawJson, Error> {
        self.notify(Notification::new(method, params.clone()));
        Ok(params.unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_tells_of_a_task_has_the_owners_name_for_it() {
    for (version, capabilities, method) in
        [(LEGACY, core(), Method::TASK_STATUS), (MODERN, extension(), Method::TASK_CHANGED)]
    {
        let server = Tasked::new("s", capabilities);
        let gateway = gateway(&[("s", &server)]).await;
        let hears = Arc::new(Hears::default());
        let subscriber: Arc<dyn Subscriber> = hears.clone();
        Server::subscribe(&gateway, Arc::downgrade(&subscriber));
        let task = begin(&gateway, &client("owner", version), "s__work").await;
        server.tells(method.clone(), "nobody's");
        server.tells(method.clone(), "1");
        let told = hears.0.lock().unwrap().clone();
        let expected = json!({ "taskId": task, "status": "working" });
        assert_eq!(told, [(method.to_string(), expected)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_task_is_named_for_each_side_as_it_knows_the_task() {
    let server = Tasked::new("s", core());
    let gateway = gateway(&[("s", &server)]).await;
    let owner = client("owner", LEGACY);
    let task = begin(&gateway, &owner, "s__work").await;
    let hears = Arc::new(Hears::default());
    let reply = gateway.call(&of("tasks/result", &owner, &task).peer(hears.clone())).await.unwrap();
    let (shown, own) = (
        json!({ "_meta": { RELATED: { "taskId": task } } }),
        json!({ "_meta": { RELATED: { "taskId": "1" } } }),
    );
    assert_eq!(value(&reply), shown);
    let heard = hears.0.lock().unwrap().clone();
    assert_eq!(
        heard,
        [
            ("notifications/message".to_owned(), shown.clone()),
            ("elicitation/create".to_owned(), shown)
        ]
    );
    assert_eq!(*server.last.lock().unwrap(), Some(own), "the client's answer");
}

#[tokio::test(start_paused = true)]
async fn what_may_become_a_task_is_neither_shared_nor_sent_again() {
    let [a, b] = ["a", "b"].map(|name| Scripted::new(name, &["read"]));
    let mut builder = Orchestrator::builder();
    for (name, server) in [("a", &a), ("b", &b)] {
        *server.capabilities.lock().unwrap() = extension();
        server.does(Does::Fail(Error::new(Kind::Disconnected)));
        builder = builder.member(Member::new(name, server.clone()).prefix("p").trusted());
    }
    let gateway = started(builder).await;
    let read = Call::tool("p__read", &RawJson::EMPTY_OBJECT).unwrap();
    assert_eq!(
        fails(&gateway, &read.clone().client(client("p", MODERN))).await,
        Kind::Disconnected
    );
    assert_eq!(a.calls() + b.calls(), 1);
    assert_eq!(fails(&gateway, &read).await, Kind::Disconnected);
    assert!(a.calls() + b.calls() > 2, "a client without tasks reads, which may be repeated");
}
