//! Tasks, in both of their ways: of 2025-11-25, where the client asks for them, and of the extension since 2026-07-28,
//! where the server makes them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use toolweir_core::{Call, Clock, Error, Kind, Method, Notification, RawJson, Reply, TokioClock};

use crate::ask::{self, Question};
use crate::changes::Changes;
use crate::fixture::{refuse, reply};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// How many tasks there may be; the oldest makes room.
const TASKS_MAX: usize = 1_000;
const TTL_MS: u64 = 300_000;
const POLL_MS: u64 = 100;
/// How long a client's user may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a task came to: a result, or a JSON-RPC error.
pub(crate) type Outcome = Result<Value, (i64, &'static str)>;

/// All tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    all: Mutex<HashMap<String, Running>>,
    count: Mutex<u64>,
    keys: [RandomState; 2],
}

struct Running {
    number: u64,
    task: Arc<Task>,
    /// Ends with the task.
    _work: AbortOnDropHandle<()>,
}

/// One task.
pub(crate) struct Task {
    id: String,
    is_modern: bool,
    created: String,
    changes: Arc<Changes>,
    state: watch::Sender<State>,
}

#[derive(Clone)]
struct State {
    status: &'static str,
    updated: String,
    open: Map<String, Value>,
    answers: Map<String, Value>,
    outcome: Option<Outcome>,
}

/// Whether the call may be answered with a task, or must be where `is_required`.
pub(crate) fn wanted(call: &Call, is_required: bool) -> Result<bool, Error> {
    let is_wanted = if ask::is_modern(call) {
        let extensions = call.client.capabilities.member("extensions").map(|part| part.to_json());
        extensions.is_some_and(|extensions| extensions.member(EXTENSION).is_some())
    } else {
        call.params.as_ref().is_some_and(|params| params.member("task").is_some())
    };
    match is_required && !is_wanted {
        false => Ok(is_wanted),
        true if ask::is_modern(call) => {
            let data = json!({ "requiredCapabilities": { "extensions": { EXTENSION: {} } } });
            Err(refuse(-32021, "this tool needs a client that takes tasks", data))
        }
        true => Err(refuse(-32601, "this tool must be called as a task", Value::Null)),
    }
}

impl Tasks {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a task that `work` carries out, and gives its handle.
    pub(crate) fn begin<F>(
        &self,
        call: &Call,
        changes: &Arc<Changes>,
        work: impl FnOnce(Arc<Task>) -> F,
    ) -> Reply
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let number = {
            let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            *count
        };
        let [one, other] = &self.keys;
        let id = format!("{:016x}{:016x}", one.hash_one(number), other.hash_one(number));
        let state = State {
            status: "working",
            updated: now(),
            open: Map::new(),
            answers: Map::new(),
            outcome: None,
        };
        let task = Arc::new(Task {
            id: id.clone(),
            is_modern: ask::is_modern(call),
            created: now(),
            changes: changes.clone(),
            state: watch::Sender::new(state),
        });
        let handle = task.handle();
        let (working, carried) = (work(task.clone()), task.clone());
        let work = tokio::spawn(async move {
            let outcome = working.await;
            let status = if outcome.is_ok() { "completed" } else { "failed" };
            carried.change(|state| {
                state.outcome = Some(outcome);
                state.status = status;
            });
        });
        let mut all = self.all();
        if all.len() >= TASKS_MAX
            && let Some(oldest) = all.values().map(|running| running.number).min()
        {
            all.retain(|_, running| running.number != oldest);
        }
        all.insert(id, Running { number, task, _work: AbortOnDropHandle::new(work) });
        drop(all);
        let mut reply = reply(handle);
        reply.is_task = true;
        reply
    }

    /// `tasks/*`.
    pub(crate) async fn answer(&self, call: &Call) -> Result<Reply, Error> {
        let is_modern = ask::is_modern(call);
        if call.method == Method::TASKS_LIST {
            let mut own: Vec<_> = {
                let all = self.all();
                let own = all.values().filter(|running| running.task.is_modern == is_modern);
                own.map(|running| (running.number, running.task.clone())).collect()
            };
            own.sort_by_key(|(number, _)| *number);
            let tasks: Vec<Value> = own.iter().map(|(_, task)| task.shown()).collect();
            return Ok(reply(json!({ "tasks": tasks })));
        }
        let id = call.target.as_deref().unwrap_or_default();
        let task = self.all().get(id).map(|running| running.task.clone());
        let task = task.filter(|task| task.is_modern == is_modern);
        let task = task.ok_or_else(|| refuse(-32602, "there is no such task", Value::Null))?;
        match call.method.as_str() {
            "tasks/get" => Ok(reply(task.detailed())),
            "tasks/update" => {
                let responses = call.params.as_ref().and_then(|it| it.member("inputResponses"));
                task.answer(responses.and_then(|it| it.get().ok()).unwrap_or_default());
                Ok(reply(json!({})))
            }
            "tasks/cancel" if is_modern => {
                task.cancel();
                Ok(reply(json!({})))
            }
            "tasks/cancel" if task.cancel() => Ok(reply(task.shown())),
            "tasks/cancel" => Err(refuse(-32602, "the task has ended", Value::Null)),
            "tasks/result" => task.result(call).await,
            _ => Err(Kind::NotFound.into()),
        }
    }
}

impl Task {
    /// Puts questions to the client, and waits for all answers.
    pub(crate) async fn ask(&self, questions: Vec<Question>) -> Map<String, Value> {
        self.change(|state| {
            for Question { key, method, params } in questions {
                let request = json!({ "method": method.as_str(), "params": params });
                state.open.insert(key.to_owned(), request);
            }
            state.status = "input_required";
        });
        let mut state = self.state.subscribe();
        let answered = state.wait_for(|state| state.open.is_empty()).await;
        answered.map(|state| state.answers.clone()).unwrap_or_default()
    }

    /// Takes the answers to open questions; others are ignored.
    fn answer(&self, responses: Map<String, Value>) {
        self.change(|state| {
            for (key, response) in responses {
                if state.open.remove(&key).is_some() {
                    state.answers.insert(key, response);
                }
            }
            if state.open.is_empty() {
                state.status = "working";
            }
        });
    }

    /// Ends the task; whether it had not ended before.
    fn cancel(&self) -> bool {
        let had_ended = self.state.borrow().has_ended();
        self.change(|state| state.status = "cancelled");
        !had_ended
    }

    /// Changes a task that has not ended, and tells of it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let changed = self.state.send_if_modified(|state| {
            let may = !state.has_ended();
            if may {
                let status = state.status;
                change(state);
                state.updated = now();
                return state.status != status || !state.open.is_empty();
            }
            false
        });
        if changed {
            let (method, params) = if self.is_modern {
                (Method::TASK_CHANGED, self.detailed())
            } else {
                (Method::TASK_STATUS, self.shown())
            };
            self.changes.tell(Notification::new(method, Some(RawJson::from(params))));
        }
    }

    /// The task without what it came to.
    fn shown(&self) -> Value {
        let state = self.state.borrow();
        let (ttl, poll) =
            if self.is_modern { ("ttlMs", "pollIntervalMs") } else { ("ttl", "pollInterval") };
        json!({
            "taskId": self.id,
            "status": state.status,
            "createdAt": self.created,
            "lastUpdatedAt": state.updated,
            ttl: TTL_MS,
            poll: POLL_MS,
        })
    }

    /// What a call that begins the task is answered with.
    fn handle(&self) -> Value {
        let mut task = self.shown();
        if !self.is_modern {
            return json!({ "task": task });
        }
        task["resultType"] = "task".into();
        task
    }

    /// The task with its questions, its result or its error, where its era has them here.
    fn detailed(&self) -> Value {
        let mut task = self.shown();
        let state = self.state.borrow();
        if self.is_modern {
            match (&state.outcome, state.status) {
                (Some(Ok(result)), _) => task["result"] = result.clone(),
                (Some(Err((code, message))), _) => {
                    task["error"] = json!({ "code": code, "message": message });
                }
                (None, "input_required") => task["inputRequests"] = state.open.clone().into(),
                (None, _) => {}
            }
        }
        task
    }

    /// Waits for the end of a task of 2025-11-25; what it asks meanwhile is asked on this request.
    async fn result(&self, call: &Call) -> Result<Reply, Error> {
        let related = json!({ "io.modelcontextprotocol/related-task": { "taskId": self.id } });
        let mut states = self.state.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            match state.outcome {
                Some(Ok(mut result)) => {
                    result["_meta"] = related;
                    return Ok(reply(result));
                }
                Some(Err((code, message))) => return Err(refuse(code, message, Value::Null)),
                None if state.status == "cancelled" => {
                    return Err(refuse(-32000, "the task was cancelled", Value::Null));
                }
                None => {}
            }
            let mut answers = Map::new();
            for (key, question) in state.open {
                let peer = call.peer.as_ref().ok_or(Kind::InvalidRequest)?;
                let mut params = question["params"].clone();
                params["_meta"] = related.clone();
                let method = Method::from(question["method"].as_str().unwrap_or_default());
                let deadline = TokioClock.now() + PATIENCE;
                let answer = peer.request(method, Some(RawJson::from(params)), deadline).await?;
                answers.insert(key, answer.get().map_err(|_| Kind::InvalidReply)?);
            }
            if answers.is_empty() {
                states.changed().await.map_err(|_| Kind::Closed)?;
            } else {
                self.answer(answers);
            }
        }
    }
}

impl State {
    fn has_ended(&self) -> bool {
        self.outcome.is_some() || self.status == "cancelled"
    }
}

/// The time as ISO 8601 has it.
#[expect(clippy::disallowed_methods, reason = "clients are shown the time of day")]
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March here, so that the day which is not in every year is the last.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}
