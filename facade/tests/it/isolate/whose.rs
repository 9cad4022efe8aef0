//! Whose is what names no call.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::Barrier;
use toolweir::core::{Method, Server, ServerMessage, Subscriber};

use super::{Asked, end, ends, isolated, started_as};

/// Two clients of `version`, each asked in a call that is open while the other's is: neither answers before.
async fn each_is_asked_its_own(version: &str) {
    let orchestrator = isolated().await;
    let together = Arc::new(Barrier::new(2));
    let [one, other] =
        ["one", "other"].map(|name| Asked::new(name, version, Some(together.clone())));
    let (first, second) = tokio::join!(
        one.calls(&orchestrator, "ask", json!({ "question": "one's?" })),
        other.calls(&orchestrator, "ask", json!({ "question": "other's?" })),
    );
    let ((first, answer), (second, others)) = (first.unwrap(), second.unwrap());
    assert_eq!(answer["content"]["name"], "one", "{answer}");
    assert_eq!(others["content"]["name"], "other", "{others}");
    assert_eq!((one.told(), other.told()), (vec!["one's?".into()], vec!["other's?".into()]));
    let shared = u64::from(orchestrator.servers()[0].process_id.unwrap());
    assert!(first != second && first != shared && second != shared);
    assert_eq!(orchestrator.servers()[0].instances, Some(2));
    end(orchestrator).await;
    for process in [first, second, shared] {
        ends(process).await;
    }
}

#[tokio::test]
async fn each_session_is_asked_its_own_question() {
    each_is_asked_its_own("2025-11-25").await;
}

/// Of one principal, even: nothing tells which of them a question in a shared child would be for.
#[tokio::test]
async fn each_call_of_a_client_without_a_session_is_asked_its_own_question() {
    each_is_asked_its_own("2026-07-28").await;
}

#[tokio::test]
async fn without_isolation_a_question_beside_another_clients_call_is_refused_clearly() {
    let orchestrator = started_as("plain", json!({})).await;
    let [one, other] = ["one", "other"].map(Asked::legacy);
    let ask = |name| json!({ "question": name, "together": 2 });
    let (first, second) = tokio::join!(
        one.calls(&orchestrator, "ask", ask("one")),
        other.calls(&orchestrator, "ask", ask("other")),
    );
    for answer in [first.unwrap().1, second.unwrap().1] {
        let text = answer["message"].as_str().unwrap_or_default();
        assert!(text.contains("cannot be told which client's call"), "{answer}");
        assert!(text.contains("isolate"), "{answer}");
    }
    assert!(one.told().is_empty() && other.told().is_empty());
    assert_eq!(orchestrator.servers()[0].instances, None);
    end(orchestrator).await;
}

/// The question came while the child was started for the call, and so before the call was in flight there.
#[tokio::test]
async fn what_a_child_asks_as_it_starts_is_asked_of_its_client() {
    let orchestrator = started_as("roots", json!({ "isolate": "client" })).await;
    for name in ["one", "other"] {
        let client = Asked::legacy(name);
        let mut roots = Value::Null;
        while roots.is_null() {
            roots = client.state(&orchestrator).await.1["roots"].clone(); // its answer may come behind the call
        }
        assert_eq!(roots["roots"][0]["uri"], format!("file:///{name}"));
    }
    end(orchestrator).await;
}

#[tokio::test]
async fn a_child_hears_of_its_own_client() {
    let orchestrator = isolated().await;
    let client = Asked::legacy("one");
    let said = client.state(&orchestrator).await.1;
    assert_eq!(said["client"]["clientInfo"]["name"], "one");
    assert_eq!(said["client"]["capabilities"], json!({ "elicitation": {}, "roots": {} }));
    let modern = Asked::new("modern", "2026-07-28", None);
    let said = modern.state(&orchestrator).await.1;
    assert_eq!(said["client"]["clientInfo"]["name"], "toolweir", "the next call may be another's");
    end(orchestrator).await;
}

#[tokio::test]
async fn log_messages_go_to_the_childs_client() {
    let orchestrator = isolated().await;
    let [one, other] = ["one", "other"].map(Asked::legacy);
    let (first, second) = tokio::join!(
        one.calls(&orchestrator, "log", json!({ "text": "for one" })),
        other.calls(&orchestrator, "log", json!({ "text": "for other" })),
    );
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((one.told(), other.told()), (vec!["for one".into()], vec!["for other".into()]));
    end(orchestrator).await;
}

#[tokio::test]
async fn replies_are_neither_kept_nor_shared_among_clients() {
    let cached = json!({ "cache": { "ttlMs": 60_000 }, "isolate": "client" });
    let orchestrator = started_as("plain", cached).await;
    let [one, other] = ["one", "other"].map(Asked::legacy);
    assert_ne!(one.state(&orchestrator).await.0, other.state(&orchestrator).await.0);
    let explained = orchestrator.explain(&one.call("state", json!({}))).await.unwrap();
    assert!(explained.servers[0].isolated);
    let rule = explained.servers[0].rules.iter().find(|rule| rule.what == "shared").unwrap();
    assert_eq!((rule.allowed, &*rule.why), (false, "each client has an instance of its own there"));
    assert!(explained.to_string().contains("isolated  each client"), "{explained}");
    end(orchestrator).await;
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, String)>>);

impl Subscriber for Heard {
    fn on_message(&self, message: ServerMessage) {
        if let ServerMessage::ToClient(client, notification) = message {
            let info: Value = client.info.as_ref().unwrap().get().unwrap();
            let params: Value = notification.params.unwrap().get().unwrap();
            let name = info["name"].as_str().unwrap().to_owned();
            self.0.lock().unwrap().push((name, params["uri"].as_str().unwrap().to_owned()));
        }
    }
}

#[tokio::test]
async fn subscriptions_and_levels_are_the_childs_own_and_outlive_it() {
    let orchestrator = isolated().await;
    let heard = Arc::new(Heard::default());
    let hears: Arc<dyn Subscriber> = heard.clone();
    Server::subscribe(&orchestrator, Arc::downgrade(&hears));
    let [one, other] = ["one", "other"].map(Asked::legacy);
    let uri = json!({ "uri": "peer://a" });
    one.asks(&orchestrator, Method::SET_LEVEL, json!({ "level": "error" })).await;
    assert_eq!(orchestrator.servers()[0].instances, Some(0), "a level starts no child");
    one.asks(&orchestrator, Method::RESOURCES_SUBSCRIBE, uri.clone()).await;
    other.state(&orchestrator).await;
    let (process, said) = one.state(&orchestrator).await;
    assert_eq!((&said["level"], &said["watched"]), (&json!("error"), &json!(["peer://a"])));
    let others = other.state(&orchestrator).await.1;
    assert_eq!((&others["level"], &others["watched"]), (&Value::Null, &json!([])));
    one.calls(&orchestrator, "touch", json!({})).await.unwrap();
    other.calls(&orchestrator, "touch", json!({})).await.unwrap();
    assert_eq!(*heard.0.lock().unwrap(), [("one".to_owned(), "peer://a".to_owned())]);

    kill(process);
    ends(process).await;
    let (again, said) = one.state(&orchestrator).await;
    assert_ne!(again, process);
    assert_eq!((&said["level"], &said["watched"]), (&json!("error"), &json!(["peer://a"])));
    one.asks(&orchestrator, Method::RESOURCES_UNSUBSCRIBE, uri).await;
    assert_eq!(one.state(&orchestrator).await.1["watched"], json!([]));
    end(orchestrator).await;
}

pub(super) fn kill(process: u64) {
    let ended = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(ended.unwrap().success());
}
