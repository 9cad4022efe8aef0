//! Tasks: what there is of them in each era, and who is told of them.

use serde_json::{Value, json};
use toolweir_core::Method;

use super::{initialize, modern, modern_headers, open, start, stdio, tool};
use crate::peer::client::{Answer, Client};

const EXTENSION: &str = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

fn both() -> Value {
    json!({ "tasks": { "list": {} }, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// A modern request of a client that takes tasks, or does not.
fn request(method: &str, params: &str, takes: bool) -> String {
    let body = modern("1", method, params);
    if takes {
        body.replace(r#"clientCapabilities":{}"#, &format!(r#"clientCapabilities":{EXTENSION}"#))
    } else {
        body
    }
}

async fn ask(client: &mut Client, method: &str, params: &str, takes: bool) -> Answer {
    let name = (params.contains("taskId") && !method.starts_with("sub")).then_some("t");
    client.post(&modern_headers(method, name), &request(method, params, takes)).await
}

#[tokio::test]
async fn a_modern_client_is_answered_as_far_as_both_sides_take_tasks() {
    let task = r#""taskId":"t""#;
    let cases = [
        ("tasks/get", true, true, 200, None),
        ("tasks/update", true, true, 200, None),
        ("tasks/cancel", true, true, 200, None),
        ("tasks/get", true, false, 400, Some(-32021)),
        ("tasks/update", true, false, 400, Some(-32021)),
        ("tasks/cancel", true, false, 400, Some(-32021)),
        ("tasks/get", false, false, 404, Some(-32601)),
        ("tasks/result", true, true, 404, Some(-32601)),
        ("tasks/list", true, true, 404, Some(-32601)),
        ("toolweir/tasks/watch", true, true, 404, Some(-32601)),
    ];
    for (method, offers, takes, status, code) in cases {
        let (listener, server) = start(Default::default()).await;
        if offers {
            *server.offers.lock().unwrap() = both();
        }
        let mut client = Client::connect(listener.local_addr()).await;
        let answer = ask(&mut client, method, task, takes).await;
        assert_eq!(answer.status, status, "{method}");
        let body = answer.json().await;
        assert_eq!(body["error"]["code"].as_i64(), code, "{method}: {body}");
        let reached = server.calls.lock().unwrap().contains(&(method.into(), Some("t".into())));
        assert_eq!(reached, code.is_none(), "{method}");
    }
}

#[tokio::test]
async fn a_client_is_offered_the_tasks_of_its_era() {
    let (listener, server) = start(Default::default()).await;
    *server.offers.lock().unwrap() = both();
    let mut client = Client::connect(listener.local_addr()).await;
    let legacy = client.post(&[], &initialize("2025-11-25", "{}")).await.json().await;
    let offered = &legacy["result"]["capabilities"];
    assert!(offered["tasks"].is_object() && offered["extensions"].is_null(), "{offered}");
    let modern = ask(&mut client, "server/discover", "", false).await.json().await;
    let offered = &modern["result"]["capabilities"];
    assert!(offered["tasks"].is_null() && offered["extensions"].is_object(), "{offered}");
}

#[tokio::test]
async fn a_legacy_client_is_told_of_its_own_tasks_alone() {
    let (listener, server) = start(Default::default()).await;
    let mut client = Client::connect(listener.local_addr()).await;
    let [mine, other] =
        [open(&mut client, "2025-11-25", "{}").await, open(&mut client, "2025-11-25", "{}").await];
    let session = |id: &str| vec![("mcp-session-id", id.to_owned())];
    let mut streams = Vec::new();
    for id in [&mine, &other] {
        let headers = session(id);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut stream_client = Client::connect(listener.local_addr()).await;
        let stream = stream_client.get(&headers).await;
        streams.push((stream, stream_client));
    }
    let begin = |arguments: &str| tool("1", "task", arguments, "");
    client.post(&[("mcp-session-id", &mine)], &begin(r#"{"id":"made"}"#)).await.json().await;
    let get = r#"{"jsonrpc":"2.0","id":2,"method":"tasks/get","params":{"taskId":"got"}}"#;
    client.post(&[("mcp-session-id", &mine)], get).await.json().await;
    for task in ["nobody's", "made", "got"] {
        server.say(Method::TASK_STATUS, Some(json!({ "taskId": task })));
    }
    server.say(Method::TASK_CHANGED, Some(json!({ "taskId": "made" })));
    server.say(Method::TOOLS_CHANGED, None);
    let mut heard = Vec::new();
    for (stream, _) in &mut streams {
        loop {
            let event = stream.event().await.unwrap();
            if event["method"] == "notifications/tools/list_changed" {
                heard.push("changed".to_owned());
                break;
            }
            heard.push(event["params"]["taskId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(heard, ["made", "got", "changed", "changed"]);
}

#[tokio::test]
async fn a_modern_client_is_told_of_the_tasks_that_it_listens_for() {
    let (listener, server) = start(Default::default()).await;
    *server.offers.lock().unwrap() = both();
    let mut client = Client::connect(listener.local_addr()).await;
    let (method, wanted) = ("subscriptions/listen", r#""notifications":{"taskIds":["a","b"]}"#);
    let refused = ask(&mut client, method, wanted, false).await;
    assert_eq!(refused.status, 400);
    let refused = refused.json().await;
    assert_eq!(refused["error"]["code"], -32021);
    let missing = &refused["error"]["data"]["requiredCapabilities"]["extensions"];
    assert!(missing["io.modelcontextprotocol/tasks"].is_object());
    let mut stream = ask(&mut client, method, wanted, true).await;
    let first = stream.event().await.unwrap();
    assert_eq!(first["params"]["notifications"], json!({ "taskIds": ["a", "b"] }));
    server.has_seen("toolweir/tasks/watch", Some("a")).await;
    server.has_seen("toolweir/tasks/watch", Some("b")).await;
    for task in ["c", "b"] {
        let params = json!({ "taskId": task, "status": "completed", "result": { "n": 1 } });
        server.say(Method::TASK_CHANGED, Some(params));
    }
    let told = stream.event().await.unwrap();
    assert_eq!(
        (&told["method"], &told["params"]["taskId"], &told["params"]["result"]["n"]),
        (&json!("notifications/tasks"), &json!("b"), &json!(1))
    );
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    drop((client, stream));
    server.has_seen("toolweir/tasks/unwatch", Some("a")).await;
    server.has_seen("toolweir/tasks/unwatch", Some("b")).await;
}

#[tokio::test]
async fn over_stdio_both_eras_are_told_likewise() {
    let mut client = stdio::Client::start(Default::default());
    *client.server().offers.lock().unwrap() = both();
    client.send(&initialize("2025-11-25", "{}")).await;
    client.next().await.unwrap();
    client.send(&tool("1", "task", r#"{"id":"made"}"#, "")).await;
    assert_eq!(client.next().await.unwrap()["result"]["task"]["taskId"], "made");
    let listen = request("subscriptions/listen", r#""notifications":{"taskIds":["x"]}"#, true);
    client.send(&listen).await;
    let acknowledged = client.next().await.unwrap();
    assert_eq!(acknowledged["params"]["notifications"]["taskIds"], json!(["x"]));
    client.server().has_seen("toolweir/tasks/watch", Some("x")).await;
    for (method, task) in [
        (Method::TASK_STATUS, "another's"),
        (Method::TASK_STATUS, "made"),
        (Method::TASK_CHANGED, "made"),
        (Method::TASK_CHANGED, "x"),
    ] {
        client.server().say(method, Some(json!({ "taskId": task })));
    }
    let told = [client.next().await.unwrap(), client.next().await.unwrap()];
    assert_eq!(told[0]["method"], "notifications/tasks/status");
    assert_eq!(
        (&told[0]["params"]["taskId"], &told[1]["params"]["taskId"]),
        (&json!("made"), &json!("x"))
    );
}
