//! `pools`.

use serde_json::{Value, json};
use toolweir::Orchestrator;
use toolweir::core::{Call, Kind, Method};

use super::upstream::Upstream;
use super::{FIVE_SECONDS, call, call_with, started};

/// Two servers, `a` and `b`, of which those that are `there` can be reached, and the inside of the pool `p`.
async fn two(there: [bool; 2], pool: &str) -> (Orchestrator, [Upstream; 2]) {
    let upstreams = [Upstream::start().await, Upstream::start().await];
    let url = |at: usize| match there[at] {
        true => upstreams[at].url(),
        false => "http://127.0.0.1:9/mcp".to_owned(), // nobody listens there
    };
    let text = format!(
        r#"{{"mcpServers":{{"a":{{"url":"{}"}},"b":{{"url":"{}"}}}},"toolweir":{{"pools":{{{pool}}}}}}}"#,
        url(0),
        url(1)
    );
    (started(&text, "").await, upstreams)
}

async fn names(orchestrator: &Orchestrator) -> Vec<String> {
    let list = orchestrator.call(&Call::new(Method::TOOLS_LIST, None)).await.unwrap();
    let list: Value = list.result.get().unwrap();
    let names = list["tools"].as_array().unwrap().iter();
    names.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

const BOTH: &str = r#""p":{"servers":["a","b"]}"#;

#[tokio::test]
pub(super) async fn a_pool_offers_its_members_tools() {
    let (orchestrator, [a, b]) = two([true, true], BOTH).await;
    assert!(names(&orchestrator).await.contains(&"p__plain".to_owned()));
    a.shutdown().await;
    call(&orchestrator, "p__plain").await.unwrap();
    assert_eq!(b.calls(), 1);
    orchestrator.shutdown(FIVE_SECONDS).await;
    let (orchestrator, _) = two([true, true], "").await;
    assert_eq!(call(&orchestrator, "p__plain").await.unwrap_err().kind(), Kind::NotFound);
    orchestrator.shutdown(FIVE_SECONDS).await;
}

#[tokio::test]
pub(super) async fn members_can_be_hidden() {
    for hides in [false, true] {
        let pool = format!(r#""p":{{"servers":["a","b"],"hideMembers":{hides}}}"#);
        let (orchestrator, _upstreams) = two([true, true], &pool).await;
        assert_eq!(names(&orchestrator).await.contains(&"a__plain".to_owned()), !hides);
        assert_eq!(call(&orchestrator, "a__plain").await.is_ok(), !hides);
        call(&orchestrator, "p__plain").await.unwrap();
        orchestrator.shutdown(FIVE_SECONDS).await;
    }
}

#[tokio::test]
pub(super) async fn a_client_can_stay_with_one_member() {
    for sticky in [false, true] {
        let pool = format!(r#""p":{{"servers":["a","b"],"sticky":{sticky}}}"#);
        let (orchestrator, upstreams) = two([true, true], &pool).await;
        for _ in 0..40 {
            call(&orchestrator, "p__plain").await.unwrap();
        }
        let calls = upstreams.each_ref().map(Upstream::calls);
        assert_eq!(calls.contains(&0), sticky, "{calls:?}");
        orchestrator.shutdown(FIVE_SECONDS).await;
    }
}

/// `p__t` is `plain` at `a` and `read` at `b`, as `how` says.
fn declared(how: &str, rest: &str) -> String {
    format!(
        r#""p":{{"servers":["a","b"],"tools":{{"t":{{"members":{{"a":"plain","b":{{"tool":"read"{how}}}}}{rest}}}}}}}"#
    )
}

#[tokio::test]
pub(super) async fn tools_can_be_declared_to_be_equivalents() {
    for (there, text) in [([true, false], "plain 1"), ([false, true], "read 1")] {
        let (orchestrator, _upstreams) = two(there, &declared("", "")).await;
        let reply = call(&orchestrator, "p__t").await.unwrap();
        assert!(reply.result.as_str().contains(text), "{:?}", reply.result);
        orchestrator.shutdown(FIVE_SECONDS).await;
    }
}

#[tokio::test]
pub(super) async fn a_pooled_tool_can_be_described() {
    let definition = r#","definition":{"description":"of the pool","inputSchema":{"type":"object","properties":{"x":{}}}}"#;
    let (orchestrator, _upstreams) = two([true, true], &declared("", definition)).await;
    let list = orchestrator.call(&Call::new(Method::TOOLS_LIST, None)).await.unwrap();
    let list: Value = list.result.get().unwrap();
    let shown = list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "p__t");
    assert_eq!(shown.unwrap()["description"], "of the pool");
    assert_eq!(shown.unwrap()["inputSchema"]["properties"], json!({ "x": {} }));
    orchestrator.shutdown(FIVE_SECONDS).await;
}

#[tokio::test]
pub(super) async fn arguments_can_be_mapped() {
    let given = json!({ "x": 1, "y": 2, "z": 3 });
    for (how, expected) in [
        ("", json!({ "x": 1, "y": 2, "z": 3 })),
        (r#","rename":{"x":"w"}"#, json!({ "w": 1, "y": 2, "z": 3 })),
        (r#","drop":["y","z"]"#, json!({ "x": 1 })),
        (r#","set":{"x":[true],"v":null}"#, json!({ "x": [true], "y": 2, "z": 3, "v": null })),
        (r#","defaults":{"x":9,"u":"${NINE}"}"#, json!({ "x": 1, "y": 2, "z": 3, "u": "nine" })),
    ] {
        let (orchestrator, [_, b]) = two([false, true], &declared(how, "")).await;
        call_with(&orchestrator, "p__t", given.clone()).await.unwrap();
        assert_eq!(b.arguments(), expected, "{how}");
        orchestrator.shutdown(FIVE_SECONDS).await;
        let problems = orchestrator.problems();
        assert_eq!(problems, [""; 0]);
    }
    // Where it is wrong, once the tool is known, its place is told.
    let (orchestrator, _upstreams) =
        two([true, true], &declared("", "").replace("plain", "plane")).await;
    let problems = orchestrator.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("test.jsonc:1:"), "{problems:?}");
    assert!(problems[0].ends_with("`p__t` leaves `a` out: it has no tool `plane`"), "{problems:?}");
    orchestrator.shutdown(FIVE_SECONDS).await;
}
