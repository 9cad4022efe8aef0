//! Questions of a server behind a pool: whoever asked gets the answer.

use std::sync::Arc;

use serde_json::json;
use toolweir::core::{Call, Kind, RawJson, Reply};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::started;

async fn pool() -> (Orchestrator, [Arc<Scripted>; 2]) {
    let servers = [Scripted::new("one", &["read"]), Scripted::new("two", &["read"])];
    let mut builder = Orchestrator::builder();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        builder = builder.member(Member::new(name, server.clone()).prefix("p").trusted());
    }
    (started(builder).await, servers)
}

fn asks(state: Option<&str>) -> Does {
    let mut result = json!({ "resultType": "input_required", "inputRequests": {} });
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    let mut reply = Reply::new(RawJson::from(result));
    reply.input_required = true;
    Does::Give(Box::new(reply))
}

fn again(state: &RawJson) -> Call {
    let params = RawJson::from(json!({ "name": "p__read", "inputResponses": {} }));
    let params = params.edit().set("requestState", state).finish().unwrap();
    let mut call = Call::tool("p__read", &RawJson::EMPTY_OBJECT).unwrap();
    call.params = Some(params);
    call
}

/// The retry went to whichever server the router liked best, which did not know the state.
#[tokio::test(start_paused = true)]
async fn an_answer_goes_to_the_server_that_asked() {
    for own in [Some("st\u{e9}\"ate"), Some(""), None] {
        let (orchestrator, servers) = pool().await;
        servers.iter().for_each(|server| server.does(asks(own)));
        for _ in 0..20 {
            let first = super::call(&orchestrator, "p__read").await.unwrap();
            let state = first.result.member("requestState").unwrap().to_json();
            let asked = first.server.unwrap();
            let second = orchestrator.call(&again(&state)).await.unwrap();
            assert_eq!(second.server.unwrap(), asked);
            let at = usize::from(&*asked == "two");
            let params = servers[at].params.lock().unwrap().clone().unwrap();
            let given = params.member("requestState").map(|state| state.get::<String>().unwrap());
            assert_eq!(given.as_deref(), own, "its own state comes back as it was");
            let next = second.result.member("requestState").unwrap().to_json();
            assert_eq!(next.as_str(), state.as_str(), "and the next round stays there, too");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_of_a_server_that_is_gone_is_refused_and_one_of_nobody_passes() {
    let (orchestrator, servers) = pool().await;
    let gone = RawJson::from(json!("toolweir@5:three+x"));
    let error = orchestrator.call(&again(&gone)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidRequest);
    assert!(error.to_string().contains("begin anew"), "{error}");
    let foreign = RawJson::from(json!("toolweir@nothing of ours"));
    orchestrator.call(&again(&foreign)).await.unwrap();
    let params = servers.iter().find_map(|server| server.params.lock().unwrap().clone()).unwrap();
    let given = params.member("requestState").unwrap().get::<String>().unwrap();
    assert_eq!(given, "toolweir@nothing of ours");
}

#[tokio::test(start_paused = true)]
async fn one_server_alone_keeps_its_state_byte_for_byte() {
    let server = Scripted::new("s", &["read"]);
    let orchestrator =
        started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    server.does(asks(Some("state")));
    let reply = super::call(&orchestrator, "s__read").await.unwrap();
    assert_eq!(reply.result.member("requestState").unwrap().as_bytes(), br#""state""#);
}
