//! `subscriptions/listen`: a modern client's stream of changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use toolweir_core::{Client, Method, Notification, Principal, RawJson, ServerInfo};

use super::calls::text;
use super::front::{Front, subscription};
use super::lock;
use super::modern::Reject;
use super::session::is_watched;
use super::stream::{Answer, Outbox, Push};
use super::tasks;
use crate::message::{self, Id, Request, code};
use crate::version::meta;

/// How long a stream is not acknowledged because a server has not taken its subscriptions.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(3);
/// How many servers are asked at once for one stream.
const AT_ONCE: usize = 32;

/// One such stream, as the hub knows it.
#[derive(Debug)]
pub(crate) struct Listen {
    id: Id,
    /// For whom it listens.
    pub(super) principal: Principal,
    outbox: Arc<Outbox>,
    wanted: Wanted,
    /// The client was told that it hears from now on.
    acknowledged: Mutex<bool>,
    /// The client reads too slowly.
    full: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: HashSet<String>,
    tasks: HashSet<String>,
}

impl Wanted {
    /// What the client asked for and the server offers; `None` where the filter is no valid one.
    fn read(filter: &RawJson, info: &ServerInfo, cap: usize) -> Option<Self> {
        if !filter.is_object() {
            return None;
        }
        let offers = |part: &str, feature: &str| {
            let part = info.capabilities.member(part).map(|part| part.to_json());
            part.and_then(|part| part.member(feature).map(|it| it.as_bytes() == b"true"))
                .unwrap_or_default()
        };
        let mut wanted = Self::default();
        for member in filter.members() {
            match member.key.as_ref() {
                "toolsListChanged" => {
                    wanted.tools =
                        member.value.get::<bool>().ok()? && offers("tools", "listChanged");
                }
                "promptsListChanged" => {
                    wanted.prompts =
                        member.value.get::<bool>().ok()? && offers("prompts", "listChanged");
                }
                "resourcesListChanged" => {
                    wanted.resources =
                        member.value.get::<bool>().ok()? && offers("resources", "listChanged");
                }
                "resourceSubscriptions" => {
                    let uris: HashSet<String> = member.value.get().ok()?;
                    if uris.len() > cap {
                        return None;
                    }
                    if offers("resources", "subscribe") {
                        wanted.uris = uris;
                    }
                }
                "taskIds" => {
                    let tasks: HashSet<String> = member.value.get().ok()?;
                    if tasks.len() > cap {
                        return None;
                    }
                    if tasks::has_extension(&info.capabilities) {
                        wanted.tasks = tasks;
                    }
                }
                _ => {}
            }
        }
        Some(wanted)
    }

    fn is_empty(&self) -> bool {
        let has_lists = self.tools || self.prompts || self.resources;
        !has_lists && self.uris.is_empty() && self.tasks.is_empty()
    }

    fn to_json(&self) -> serde_json::Value {
        let mut filter = serde_json::Map::new();
        let flags = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        for (name, _) in flags.iter().filter(|(_, is_set)| *is_set) {
            filter.insert((*name).to_owned(), true.into());
        }
        for (name, wanted) in [("resourceSubscriptions", &self.uris), ("taskIds", &self.tasks)] {
            if !wanted.is_empty() {
                let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                wanted.sort_unstable();
                filter.insert(name.to_owned(), wanted.into());
            }
        }
        filter.into()
    }
}

impl Listen {
    /// Sends the stream's first message, once.
    fn acknowledge(&self) {
        let mut acknowledged = lock(&self.acknowledged);
        if std::mem::replace(&mut *acknowledged, true) {
            return;
        }
        let params = RawJson::from(serde_json::json!({ "notifications": self.wanted.to_json() }));
        let method = Method::from("notifications/subscriptions/acknowledged");
        self.outbox.push(message::notification(&method, Some(&self.marked(&params))));
    }

    /// Sends what the client asked for; the same change that waits already is not sent twice.
    pub(crate) fn deliver(&self, notification: &Notification) {
        let params = notification.params.clone().unwrap_or(RawJson::EMPTY_OBJECT);
        let is_wanted = match notification.method.as_str() {
            "notifications/tools/list_changed" => self.wanted.tools,
            "notifications/prompts/list_changed" => self.wanted.prompts,
            "notifications/resources/list_changed" => self.wanted.resources,
            "notifications/resources/updated" => params
                .member("uri")
                .and_then(|uri| uri.string())
                .is_some_and(|uri| is_watched(&self.wanted.uris, &uri)),
            "notifications/tasks" => params
                .member("taskId")
                .and_then(|id| id.string())
                .is_some_and(|id| self.wanted.tasks.contains(&*id)),
            _ => false,
        };
        if !is_wanted {
            return;
        }
        let message = message::notification(&notification.method, Some(&self.marked(&params)));
        let acknowledged = lock(&self.acknowledged);
        if !*acknowledged {
            return; // nothing was promised yet
        }
        if self.outbox.push_once(message) == Push::Full {
            self.full.notify_one(); // ends the stream, so that the client lists again
        }
    }

    /// The object with the subscription's id in its `_meta`.
    fn marked(&self, object: &RawJson) -> RawJson {
        let meta = object.member("_meta").map_or(RawJson::EMPTY_OBJECT, |meta| meta.to_json());
        let meta = meta.edit().set(meta::SUBSCRIPTION_ID, self.id.as_json()).finish();
        let fallback = || RawJson::EMPTY_OBJECT;
        let edited = object.edit().set("_meta", &meta.unwrap_or_else(|_| fallback())).finish();
        edited.unwrap_or_else(|_| fallback())
    }

    /// The stream's last message, where it is ended here.
    fn completion(&self) -> Answer {
        let result = RawJson::EMPTY_OBJECT.edit().set("resultType", &text("complete")).finish();
        let result = self.marked(&result.unwrap_or(RawJson::EMPTY_OBJECT));
        Answer::ok(message::response(Some(&self.id), Ok(&result)))
    }
}

/// A stream that is open; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Opened {
    front: Arc<Front>,
    number: u64,
    listen: Arc<Listen>,
    client: Arc<Client>,
    /// What servers have taken, by the method that gives it up.
    taken: Mutex<HashMap<Method, HashSet<String>>>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.front.hub.unlisten(self.number);
        for (method, names) in lock(&self.taken).drain() {
            self.front.unsubscribe(method, self.client.clone(), names);
        }
    }
}

impl Opened {
    /// Opens a stream on `outbox`; [`run`](Self::run) acknowledges it.
    ///
    /// # Errors
    /// Gives the answer where it cannot be opened.
    pub(crate) async fn open(
        front: &Arc<Front>,
        request: Request,
        client: Arc<Client>,
        outbox: &Arc<Outbox>,
    ) -> Result<Self, Answer> {
        let limits = &front.service.limits;
        let id = request.id;
        let in_band = |code, message: &str| {
            Reject::new(code, message).status(hyper::StatusCode::OK).answer(Some(&id))
        };
        let info = front.service.info().await.map_err(|error| {
            let object = message::own_error(&error, &request.method, true);
            Answer::ok(message::response(Some(&id), Err(&object)))
        })?;
        let filter = request.params.as_ref().and_then(|params| params.member("notifications"));
        let wanted =
            filter.and_then(|filter| Wanted::read(&filter.to_json(), &info, limits.in_flight));
        let Some(wanted) = wanted else {
            return Err(in_band(code::INVALID_PARAMS, "`notifications` is missing or not valid"));
        };
        if filter_names_tasks(request.params.as_ref()) && !tasks::takes(&client) {
            return Err(tasks::missing().answer(Some(&id)));
        }
        let listen = Arc::new(Listen {
            id: id.clone(),
            principal: client.principal.clone(),
            outbox: outbox.clone(),
            wanted,
            acknowledged: Mutex::new(false),
            full: Notify::new(),
        });
        let Some(number) = front.hub.listen(listen.clone(), limits.sessions) else {
            return Err(in_band(code::INTERNAL, "subscription limit reached"));
        };
        Ok(Self { front: front.clone(), number, listen, client, taken: Mutex::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listen.wanted.is_empty()
    }

    pub(crate) fn id(&self) -> &Id {
        &self.listen.id
    }

    /// Subscribes to the resources, acknowledges the stream, waits until the listener closes, and gives the stream's answer.
    ///
    /// What a server tells before it has taken its subscription is lost, so the client is told to expect it no sooner.
    pub(crate) async fn run(self, until_empty: bool) -> Answer {
        let listen = self.listen.clone();
        let closing = self.front.closing.clone();
        if until_empty && self.is_empty() {
            listen.acknowledge();
            return listen.completion();
        }
        let late = async {
            tokio::time::sleep(ACKNOWLEDGE_WITHIN).await;
            listen.acknowledge();
            std::future::pending::<()>().await;
        };
        let subscribe = async {
            self.subscribe().await;
            listen.acknowledge();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = listen.full.notified() => {}
            () = subscribe => {}
            () = late => {}
        }
        listen.acknowledge();
        listen.completion()
    }

    /// Several at once, in this future alone: what a server has taken is noted whenever it is dropped.
    async fn subscribe(&self) {
        let wanted = &self.listen.wanted;
        let uris = wanted
            .uris
            .iter()
            .map(|uri| (Method::RESOURCES_SUBSCRIBE, Method::RESOURCES_UNSUBSCRIBE, uri));
        let tasks = wanted.tasks.iter().map(|id| (Method::TASK_WATCH, Method::TASK_UNWATCH, id));
        let left = Mutex::new(uris.chain(tasks));
        let lane = || async {
            while let Some((method, undo, name)) = next(&left) {
                let call = subscription(method.clone(), name, self.client.clone());
                match self.front.service.call(&call).await {
                    Ok(_) => {
                        lock(&self.taken).entry(undo).or_default().insert(name.clone());
                    }
                    Err(error) => tracing::warn!(%error, %method, "not subscribed to"),
                }
            }
        };
        let count = (wanted.uris.len() + wanted.tasks.len()).min(AT_ONCE);
        let mut lanes: Vec<_> = (0..count).map(|_| Box::pin(lane())).collect();
        std::future::poll_fn(|context| {
            lanes.retain_mut(|lane| lane.as_mut().poll(context).is_pending());
            if lanes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn next<I: Iterator>(left: &Mutex<I>) -> Option<I::Item> {
    lock(left).next()
}

fn filter_names_tasks(params: Option<&RawJson>) -> bool {
    let filter = params.and_then(|params| params.member("notifications"));
    filter.is_some_and(|filter| filter.to_json().member("taskIds").is_some())
}
