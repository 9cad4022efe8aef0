//! Methods that are not known here.

use std::sync::Arc;

use serde_json::{Value, json};
use toolweir::core::{Call, Kind, RawJson};
use toolweir::{Member, Orchestrator};

use super::scripted::Scripted;
use super::started;

async fn gateway(servers: &[(&'static str, Value)]) -> (Orchestrator, Vec<Arc<Scripted>>) {
    let mut builder = Orchestrator::builder();
    let mut all = Vec::new();
    for (name, capabilities) in servers {
        let server = Scripted::new(name, &["work"]);
        *server.capabilities.lock().unwrap() = capabilities.clone();
        builder = builder.member(Member::new(*name, server.clone()));
        all.push(server);
    }
    (started(builder).await, all)
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_to_the_one_server_that_can_be_meant() {
    let skills = json!({ "tools": {}, "extensions": { "x.example/skills": {} } });
    let notes = json!({ "tools": {}, "experimental": { "notes": {} } });
    let servers = [("a", skills.clone()), ("b", notes), ("c", skills)];
    // The method, its params, the server, and the params as that one sees them.
    let cases = [
        ("notes/find", json!({ "x": 1 }), Some(1), json!({ "x": 1 })),
        ("notes/get", json!({ "name": "b__one" }), Some(1), json!({ "name": "one" })),
        ("notes/get", json!({ "name": "a__one" }), Some(1), json!({ "name": "a__one" })),
        ("skills/get", json!({ "name": "c__one" }), Some(2), json!({ "name": "one" })),
        ("skills/get", json!({ "name": "one" }), None, Value::Null),
        ("skills/list", json!({}), None, Value::Null),
        (
            "other/do",
            json!({ "name": "b__work", "n": 1 }),
            Some(1),
            json!({ "name": "work", "n": 1 }),
        ),
        ("other/do", json!({ "uri": "no:1" }), None, Value::Null),
        ("other", json!({}), None, Value::Null),
    ];
    for (method, params, server, seen) in cases {
        let (gateway, servers) = gateway(&servers).await;
        let result = gateway.call(&Call::new(method.into(), Some(RawJson::from(params)))).await;
        let called: Vec<_> = (0..3).filter(|at| servers[*at].calls() > 0).collect();
        assert_eq!(called, Vec::from_iter(server), "{method}");
        match server {
            None => assert_eq!(result.unwrap_err().kind(), Kind::NotFound, "{method}"),
            Some(at) => {
                let params = servers[at].params.lock().unwrap().clone().unwrap();
                assert_eq!(params.get::<Value>().unwrap(), seen, "{method}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_alone_is_asked_everything() {
    let (gateway, servers) = gateway(&[("s", json!({ "tools": {} }))]).await;
    gateway.call(&Call::new("anything/at-all".into(), None)).await.unwrap();
    assert_eq!(servers[0].calls(), 1);
}
