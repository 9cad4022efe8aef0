//! `tasks/*`: each to the server that has the task, and to no other.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use toolweir_core::{
    Call, Clock, Error, Hints, Kind as ErrorKind, Method, RawJson, Reply, TokioClock,
};

use super::Orchestrator;
use super::resolve::{Aim, Aimed};
use crate::endpoint::{Endpoint, Turn, bounded};
use crate::tasks::{Names, Way};

/// How long all servers together have to list their tasks.
const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// How many pages of one server's tasks are asked for.
const PAGES_MAX: usize = 100;

impl Orchestrator {
    /// A request that names a task.
    pub(super) fn task(&self, call: &Call) -> Result<Aimed, Error> {
        let way = Way::of_client(&call.client);
        self.has_tasks(call, way)?;
        let shown = call
            .target
            .clone()
            .ok_or_else(|| Error::new(ErrorKind::InvalidRequest).message("`taskId` is missing"))?;
        let unknown = |text: &str| Error::new(ErrorKind::InvalidRequest).message(text.to_owned());
        let (server, own) = self
            .0
            .server_tasks
            .find(&call.client.principal, &shown)
            .ok_or_else(|| unknown("there is no such task"))?;
        let view = self.view();
        let endpoint = view.endpoints.iter().find(|endpoint| *endpoint.name == *server);
        let endpoint = endpoint.ok_or_else(|| unknown("the server of this task is gone"))?;
        if let (Some(way), Some(servers)) = (way, endpoint.vitals.tasks())
            && way != servers
        {
            return Err(unknown(
                "this task is of a server of the protocol's other era, whose tasks this client cannot speak of",
            ));
        }
        let mut call = call.clone().target(own);
        if matches!(call.method.as_str(), "tasks/get" | "tasks/result") {
            call.hints = Hints::read();
        }
        Ok(Aimed::At(Aim::new(call, vec![endpoint.clone()])))
    }

    /// Whether the request is one of those that there are in the client's era, and any server has such tasks.
    fn has_tasks(&self, call: &Call, way: Option<Way>) -> Result<(), Error> {
        let only = match call.method.as_str() {
            "tasks/result" | "tasks/list" => Some(Way::Core),
            "tasks/update" => Some(Way::Extension),
            _ => None,
        };
        let wanted = only.or(way);
        let view = self.view();
        let offered = view.endpoints.iter().filter_map(|endpoint| endpoint.vitals.tasks());
        let has_any = { offered }.any(|offered| wanted.is_none_or(|wanted| wanted == offered));
        if !has_any || (only.is_some() && way.is_some() && only != way) {
            let text = format!("method `{}`", call.method);
            return Err(Error::new(ErrorKind::NotFound).message(text));
        }
        Ok(())
    }

    /// The caller's tasks at all servers. One that fails costs its own part only.
    pub(super) async fn task_list(&self, call: &Call) -> Result<Reply, Error> {
        self.has_tasks(call, Way::of_client(&call.client))?;
        if call.params.as_ref().and_then(|params| params.member("cursor")).is_some() {
            return Err(Error::new(ErrorKind::InvalidRequest)
                .message("unknown cursor: the list of tasks has one page"));
        }
        let mut listing = JoinSet::new();
        for (place, endpoint) in self.view().endpoints.iter().enumerate() {
            if endpoint.vitals.tasks() != Some(Way::Core) || !lists_tasks(endpoint) {
                continue;
            }
            let names = self.0.server_tasks.names(&endpoint.name, &call.client.principal);
            let (this, endpoint, call) = (self.clone(), endpoint.clone(), call.clone());
            listing.spawn(async move { (place, this.tasks_at(&endpoint, &names, &call).await) });
        }
        let mut parts = listing.join_all().await;
        parts.sort_by_key(|(place, _)| *place);
        let tasks: Vec<RawJson> = parts.into_iter().flat_map(|(_, tasks)| tasks).collect();
        let mut result = Vec::from(&br#"{"tasks":["#[..]);
        for (place, task) in tasks.iter().enumerate() {
            if place > 0 {
                result.push(b',');
            }
            result.extend_from_slice(task.as_bytes());
        }
        result.extend_from_slice(b"]}");
        let result = RawJson::new(result)
            .map_err(|error| Error::new(ErrorKind::Internal).caused_by(error))?;
        Ok(Reply::new(result))
    }

    /// All pages of one server's tasks, as far as they are the caller's.
    async fn tasks_at(&self, endpoint: &Arc<Endpoint>, names: &Names, call: &Call) -> Vec<RawJson> {
        let latest = TokioClock.now() + LIST_PATIENCE;
        let deadline = call.deadline.map_or(latest, |deadline| deadline.min(latest));
        let (mut tasks, mut cursor) = (Vec::new(), None::<RawJson>);
        for _ in 0..PAGES_MAX {
            let params = cursor.as_ref().and_then(|cursor| {
                RawJson::EMPTY_OBJECT.edit().set("cursor", cursor).finish().ok()
            });
            let mut ask = Call::new(Method::TASKS_LIST, params).deadline(deadline);
            ask.client = call.client.clone();
            ask.hints = Hints::read();
            let asked = bounded(deadline, async {
                endpoint.call(&ask, &self.0.observers, Turn::default()).await
            });
            let page = match asked.await {
                Ok(reply) => reply.result,
                Err(error) => {
                    tracing::warn!(server = &*endpoint.name, %error, "its tasks are not listed");
                    break;
                }
            };
            tasks.extend(names.page(&page));
            let next = page.member("nextCursor").map(|next| next.to_json());
            let next = next.filter(|next| *next != RawJson::NULL && Some(next) != cursor.as_ref());
            if next.is_none() {
                break;
            }
            cursor = next;
        }
        tasks
    }

    /// What the tasks of `endpoint` are called towards the caller; `None` where it has none.
    pub(super) fn task_names(&self, endpoint: &Endpoint, call: &Call) -> Option<Names> {
        endpoint.vitals.tasks()?;
        Some(self.0.server_tasks.names(&endpoint.name, &call.client.principal))
    }
}

fn lists_tasks(endpoint: &Endpoint) -> bool {
    let info = endpoint.vitals.info();
    let tasks = info.and_then(|info| Some(info.capabilities.member("tasks")?.to_json()));
    tasks.is_some_and(|tasks| tasks.member("list").is_some())
}
