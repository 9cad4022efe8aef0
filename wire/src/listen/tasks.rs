//! What a client's era makes of tasks: requests that there are in one era only, and what is told of tasks unasked.
//!
//! 2025-11-25 has tasks in its core; since 2026-07-28 they are an extension with other members.

use std::collections::VecDeque;
use std::sync::Arc;

use hyper::StatusCode;
use toolweir_core::{Client, Method, RawJson, Reply};

use super::front::Front;
use super::modern::Reject;
use crate::message::{Request, code};
use crate::version::TASKS;

/// How many tasks of one session are told of unasked: the latest ones.
const MAX: usize = 1_024;

/// Whether the client takes tasks.
pub(crate) fn takes(client: &Client) -> bool {
    has_extension(&client.capabilities)
}

/// Whether the extension is among these capabilities.
pub(crate) fn has_extension(capabilities: &RawJson) -> bool {
    let extensions = capabilities.member("extensions").map(|part| part.to_json());
    extensions.is_some_and(|extensions| extensions.member(TASKS).is_some())
}

/// Why a modern client's request is not carried out, where it is of tasks and cannot be.
pub(crate) async fn refusal(front: &Front, method: &Method, client: &Client) -> Option<Reject> {
    match method.as_str() {
        "tasks/result" | "tasks/list" => Some(unknown()),
        "tasks/get" | "tasks/update" | "tasks/cancel" if !takes(client) => {
            let info = front.service.info().await.ok()?;
            Some(if has_extension(&info.capabilities) { missing() } else { unknown() })
        }
        _ => None,
    }
}

fn unknown() -> Reject {
    Reject::new(code::METHOD_NOT_FOUND, "2026-07-28 has no such method")
        .status(StatusCode::NOT_FOUND)
}

/// The client did not say that it takes tasks.
pub(crate) fn missing() -> Reject {
    let data = serde_json::json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } });
    let text = "the client did not declare the extension that carries tasks";
    Reject::data(code::MISSING_CAPABILITY, text, data)
}

/// What the server offers, without the tasks of the other era than the client's.
pub(crate) fn offered(capabilities: &RawJson, is_modern: bool) -> RawJson {
    let edited = if is_modern {
        capabilities.member("tasks").map(|_| capabilities.edit().remove("tasks").finish())
    } else {
        let extensions = capabilities.member("extensions").map(|part| part.to_json());
        extensions.filter(|it| it.member(TASKS).is_some()).map(|extensions| {
            let others = extensions.edit().remove(TASKS).finish()?;
            match others.members().next() {
                Some(_) => capabilities.edit().set("extensions", &others).finish(),
                None => capabilities.edit().remove("extensions").finish(),
            }
        })
    };
    edited.and_then(Result::ok).unwrap_or_else(|| capabilities.clone())
}

/// The tasks of a session, which alone is told of them.
#[derive(Debug, Default)]
pub(crate) struct SessionTasks(VecDeque<Arc<str>>);

impl SessionTasks {
    /// Notes the task that a request was answered with, or that it asked for.
    pub(crate) fn note(&mut self, request: &Request, reply: &Reply) {
        let id = match request.method.as_str() {
            "tasks/get" | "tasks/result" | "tasks/cancel" => {
                super::calls::target(&request.method, request.params.as_ref())
            }
            _ if reply.is_task => {
                let task = reply.result.member("task").map(|task| task.to_json());
                let id = task.as_ref().and_then(|task| task.member("taskId")?.string());
                id.map(std::borrow::Cow::into_owned)
            }
            _ => None,
        };
        let Some(id) = id.filter(|id| !self.has(id)) else { return };
        if self.0.len() >= MAX {
            self.0.pop_front();
        }
        self.0.push_back(id.into());
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|known| **known == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_sees_the_tasks_of_its_own_era() {
        let cases = [
            (r#"{"a":1e2}"#, r#"{"a":1e2}"#, r#"{"a":1e2}"#),
            (
                r#"{"tasks":{"list":{}},"extensions":{"x/y":{},"io.modelcontextprotocol/tasks":{}}}"#,
                r#"{"extensions":{"x/y":{},"io.modelcontextprotocol/tasks":{}}}"#,
                r#"{"tasks":{"list":{}},"extensions":{"x/y":{}}}"#,
            ),
            (
                r#"{"extensions":{"io.modelcontextprotocol/tasks":{}},"tools":{}}"#,
                r#"{"extensions":{"io.modelcontextprotocol/tasks":{}},"tools":{}}"#,
                r#"{"tools":{}}"#,
            ),
        ];
        for (all, modern, legacy) in cases {
            let all = RawJson::new(all).unwrap();
            assert_eq!(offered(&all, true).as_str(), modern);
            assert_eq!(offered(&all, false).as_str(), legacy);
        }
    }

    #[test]
    fn the_latest_tasks_are_told_of() {
        let mut tasks = SessionTasks::default();
        for number in 0..=MAX {
            let params = RawJson::from(serde_json::json!({ "taskId": number.to_string() }));
            let (id, method) = (crate::message::Id::own(1), Method::TASKS_GET);
            let request = Request { id, method, params: Some(params) };
            tasks.note(&request, &Reply::new(RawJson::EMPTY_OBJECT));
        }
        assert!(!tasks.has("0") && tasks.has("1") && tasks.has(&MAX.to_string()));
        assert_eq!(tasks.0.len(), MAX);
    }
}
