//! Resources that no list has, and that a result told of.

use serde_json::json;
use toolweir::core::{Call, Method, RawJson, Reply};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::started;

fn read(uri: &str) -> Call {
    Call::new(Method::RESOURCES_READ, Some(RawJson::from(json!({ "uri": uri })))).target(uri)
}

/// Every server was asked in turn for what one of them had told of.
#[tokio::test(start_paused = true)]
async fn a_linked_resource_is_read_where_the_link_came_from() {
    let servers: Vec<_> = (0..36).map(|_| Scripted::new("s", &["work"])).collect();
    let mut builder = Orchestrator::builder();
    for (number, server) in servers.iter().enumerate() {
        *server.capabilities.lock().unwrap() = json!({ "tools": {}, "resources": {} });
        builder = builder.member(Member::new(format!("s{number}"), server.clone()));
    }
    let gateway = started(builder).await;
    let listed: Vec<_> = servers.iter().map(|server| server.calls()).collect();
    let counts = || {
        let calls = servers.iter().zip(&listed).map(|(server, listed)| server.calls() - listed);
        calls.collect::<Vec<_>>()
    };
    let content = json!([
        { "type": "resource_link", "uri": "note:linked", "name": "a" },
        { "type": "resource", "resource": { "uri": "note:embedded", "text": "b" } },
    ]);
    servers[30]
        .does(Does::Give(Box::new(Reply::new(RawJson::from(json!({ "content": content }))))));
    super::call(&gateway, "s30__work").await.unwrap();
    for uri in ["note:linked", "note:embedded"] {
        gateway.call(&read(uri)).await.unwrap();
    }
    let mut expected = vec![0; 36];
    expected[30] = 3;
    assert_eq!(counts(), expected);
    gateway.call(&read("note:nobody told of this")).await.unwrap();
    assert_eq!(counts().iter().sum::<usize>(), 4, "anyone's");
}
