//! What is said of a call before it is made, and that it is so.

use serde_json::{Value, json};
use toolweir::core::{Call, Hints, Kind, RawJson};
use toolweir::{Explained, Member, Orchestrator};

use super::scripted::Scripted;
use super::{call, started};

/// The rules that hold for `s__{tool}` at its first server: `what` where it may be done, `!what` where not.
async fn rules(tool: &str, params: Value, member: impl FnOnce(Member) -> Member) -> Vec<String> {
    let server = Scripted::new("s", &["read", "write"]);
    let orchestrator =
        started(Orchestrator::builder().member(member(Member::new("s", server.clone())))).await;
    let mut call = Call::tool(&format!("s__{tool}"), &RawJson::EMPTY_OBJECT).unwrap();
    let merged = call.params.as_ref().unwrap().get::<Value>().unwrap();
    let mut merged = merged.as_object().unwrap().clone();
    merged.extend(params.as_object().unwrap().clone());
    call.params = Some(RawJson::from(Value::Object(merged)));
    let explained = orchestrator.explain(&call).await.unwrap();
    assert_eq!(server.calls(), 0, "nothing is sent");
    let rules = explained.servers[0].rules.iter();
    rules.map(|rule| format!("{}{}", if rule.allowed { "" } else { "!" }, rule.what)).collect()
}

fn hints(read_only: bool, idempotent: bool, destructive: bool) -> Hints {
    let mut hints = Hints::default();
    hints.read_only = read_only.then_some(true);
    hints.idempotent = idempotent.then_some(true);
    hints.destructive = destructive.then_some(true);
    hints
}

#[tokio::test(start_paused = true)]
async fn what_may_be_done_follows_from_what_is_believed() {
    const NOTHING: [&str; 5] = ["!kept", "!shared", "!hedged", "!repeated", "moved"];
    let minute = std::time::Duration::from_secs(60);
    let none = || json!({});
    assert_eq!(rules("read", none(), |member| member).await, NOTHING, "not trusted");
    let read = ["!kept", "shared", "hedged", "repeated", "moved"];
    assert_eq!(rules("read", none(), Member::trusted).await, read);
    let kept = ["kept", "shared", "hedged", "repeated", "moved"];
    assert_eq!(rules("read", none(), |member| member.trusted().ttl(minute)).await, kept);
    let uncached = ["!kept", "!shared", "hedged", "repeated", "moved"];
    assert_eq!(rules("read", none(), |member| member.trusted().uncached()).await, uncached);
    let token = json!({ "_meta": { "progressToken": 1 } });
    let own = ["!kept", "!shared", "!hedged", "repeated", "moved"];
    assert_eq!(rules("read", token, Member::trusted).await, own, "progress is one caller's");
    let idempotent = |member: Member| member.tool_hints("write", hints(false, true, false));
    let once = ["!kept", "!shared", "!hedged", "repeated", "moved"];
    assert_eq!(rules("write", none(), idempotent).await, once);
    let destructive = |member: Member| member.tool_hints("write", hints(false, false, true));
    assert_eq!(rules("write", none(), destructive).await, NOTHING);
    for goes_on in [json!({ "inputResponses": {} }), json!({ "requestState": "s" })] {
        let stays = ["!kept", "!shared", "!hedged", "!repeated", "!moved"];
        assert_eq!(rules("read", goes_on, |member| member.trusted().ttl(minute)).await, stays);
    }
}

async fn explained(orchestrator: &Orchestrator, tool: &str) -> Explained {
    let call = Call::tool(tool, &RawJson::EMPTY_OBJECT).unwrap();
    orchestrator.explain(&call).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_reasons_stand_beside_and_the_failing_server_stands_last() {
    let servers = [Scripted::new("one", &["read"]), Scripted::new("two", &["read"])];
    let mut builder = Orchestrator::builder();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        builder = builder.member(Member::new(name, server.clone()).prefix("p"));
    }
    let orchestrator = started(builder).await;
    let text = explained(&orchestrator, "p__read").await.to_string();
    assert!(text.contains("claimed   read-only (not believed"), "{text}");
    assert!(text.contains("repeated  no: it may change something"), "{text}");
    servers[0].fails(Kind::Unreachable);
    for _ in 0..20 {
        call(&orchestrator, "p__read").await.unwrap();
    }
    let names: Vec<String> = explained(&orchestrator, "p__read")
        .await
        .servers
        .into_iter()
        .map(|one| one.server)
        .collect();
    assert_eq!(names, ["two", "one"]);
    let unknown = Call::tool("p__nothing", &RawJson::EMPTY_OBJECT).unwrap();
    assert_eq!(orchestrator.explain(&unknown).await.unwrap_err().kind(), Kind::NotFound);
}

/// The answer of one server to another's question means nothing: the retry of an `input_required` result was given to
/// an equivalent server where the one that had asked could not be reached.
#[tokio::test(start_paused = true)]
async fn what_goes_on_with_an_exchange_is_not_moved() {
    let servers = [Scripted::new("one", &["read"]), Scripted::new("two", &["read"])];
    let mut builder = Orchestrator::builder();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        server.fails(Kind::Unreachable);
        builder = builder.member(Member::new(name, server.clone()).prefix("p").trusted());
    }
    let orchestrator = started(builder).await;
    let mut goes_on = Call::tool("p__read", &RawJson::EMPTY_OBJECT).unwrap();
    goes_on.params = Some(RawJson::from(json!({ "name": "p__read", "requestState": "s" })));
    orchestrator.call(&goes_on).await.unwrap_err();
    assert_eq!(servers[0].calls() + servers[1].calls(), 1);
    call(&orchestrator, "p__read").await.unwrap_err();
    assert_eq!(servers[0].calls() + servers[1].calls(), 3);
}
