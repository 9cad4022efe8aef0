//! What is remembered, and for how long.

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::{Call, Client, Freshness, Hints, Principal, RawJson};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started, text};
use crate::fidelity::in_flight;
use crate::ledger::{Asker, End, Ledger, Scope};

const TTL: Duration = Duration::from_secs(60);

async fn with(member: impl FnOnce(Member) -> Member) -> (Orchestrator, Arc<Scripted>) {
    let server = Scripted::new("s", &["read", "write"]);
    let orchestrator =
        started(Orchestrator::builder().member(member(Member::new("s", server.clone())))).await;
    (orchestrator, server)
}

#[tokio::test(start_paused = true)]
async fn a_trusted_read_is_remembered_for_its_time() {
    let (orchestrator, server) = with(|member| member.trusted().ttl(TTL)).await;
    let first = call(&orchestrator, "s__read").await.unwrap();
    let second = call(&orchestrator, "s__read").await.unwrap();
    assert_eq!((first.freshness, second.freshness), (Freshness::Fetched, Freshness::Cached));
    assert_eq!((text(&first), server.calls()), (text(&second), 1));
    tokio::time::advance(TTL).await;
    assert_eq!(call(&orchestrator, "s__read").await.unwrap().freshness, Freshness::Fetched);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_without_a_time_or_of_a_tool_that_may_write() {
    let (orchestrator, server) = with(Member::trusted).await;
    let (untrusting, other) = with(|member| member.ttl(TTL)).await;
    for _ in 0..2 {
        call(&orchestrator, "s__read").await.unwrap();
        call(&untrusting, "s__read").await.unwrap();
    }
    assert_eq!((server.calls(), other.calls()), (2, 2));
    let (orchestrator, server) = with(|member| member.trusted().ttl(TTL)).await;
    for _ in 0..2 {
        call(&orchestrator, "s__write").await.unwrap();
    }
    assert_eq!(server.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_configuration_may_state_what_the_server_does_not() {
    let mut read = Hints::default();
    read.read_only = Some(true);
    let (orchestrator, server) =
        with(|member| member.tool_hints("read", read).tool_ttl("read", TTL)).await;
    for _ in 0..2 {
        call(&orchestrator, "s__read").await.unwrap();
    }
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_drops_what_was_read_before() {
    let (orchestrator, server) = with(|member| member.trusted().ttl(TTL)).await;
    call(&orchestrator, "s__read").await.unwrap();
    call(&orchestrator, "s__write").await.unwrap();
    assert_eq!(call(&orchestrator, "s__read").await.unwrap().freshness, Freshness::Fetched);
    assert_eq!(server.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_tools_error_is_not_remembered() {
    let (orchestrator, server) = with(|member| member.trusted().ttl(TTL)).await;
    server.does(Does::ToolError);
    assert!(call(&orchestrator, "s__read").await.unwrap().is_error);
    server.does(Does::Answer);
    assert!(!call(&orchestrator, "s__read").await.unwrap().is_error);
}

#[tokio::test(start_paused = true)]
async fn callers_that_ask_the_same_share_one_call_and_a_cancelled_one_takes_nothing_along() {
    let (orchestrator, server) = with(|member| member.trusted().ttl(TTL)).await;
    server.does(Does::Take(Duration::from_secs(1)));
    let leader = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__read").await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let follower = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__read").await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    leader.abort();
    follower.await.unwrap().unwrap();
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_caller_left_drops_what_was_read_before() {
    let (orchestrator, server) = with(|member| member.trusted().ttl(TTL)).await;
    call(&orchestrator, "s__read").await.unwrap();
    server.does(Does::Hang);
    let write = tokio::time::timeout(Duration::from_secs(1), call(&orchestrator, "s__write"));
    assert!(write.await.is_err());
    server.does(Does::Answer);
    assert_eq!(call(&orchestrator, "s__read").await.unwrap().freshness, Freshness::Fetched);
}

/// Two callers who ask the same read at the same time, with these params; how often the server was asked.
async fn asked_by_two(params: serde_json::Value) -> usize {
    let (orchestrator, server) = with(Member::trusted).await;
    server.does(Does::Take(Duration::from_secs(1)));
    let mut call = Call::tool("s__read", &RawJson::EMPTY_OBJECT).unwrap();
    call.params = Some(RawJson::from(params));
    let (one, other) = tokio::join!(orchestrator.call(&call), orchestrator.call(&call));
    assert!(one.is_ok() && other.is_ok());
    server.calls()
}

/// Two callers with a progress token each shared one call, and all progress went to the first of them.
#[tokio::test(start_paused = true)]
async fn who_wants_progress_shares_no_call() {
    assert_eq!(asked_by_two(serde_json::json!({ "name": "s__read" })).await, 1);
    let with_token = serde_json::json!({ "name": "s__read", "_meta": { "progressToken": 1 } });
    assert_eq!(asked_by_two(with_token).await, 2);
}

/// One of several clients of a principal: reads and writes, all with the same arguments; what tells its calls apart is no part
/// of what is remembered.
async fn reads_and_writes(orchestrator: Orchestrator, ledger: Arc<Ledger>, asker: Asker) {
    let client = Arc::new(Client::new(Principal::new(format!("p{}", asker.principal))));
    for number in 0..100_u64 {
        let (tool, scope) = match (number + u64::from(asker.client)) % 20 {
            0 => ("s__write", Scope::Own),
            _ => ("s__read", Scope::Private),
        };
        let (id, mut call) =
            (number.to_string(), Call::tool(tool, &RawJson::EMPTY_OBJECT).unwrap());
        let mine = ledger.asks(asker, &id, scope);
        let params =
            serde_json::json!({ "name": tool, "arguments": {}, "_meta": { "mine": mine } });
        call.params = Some(RawJson::from(params));
        let reply = orchestrator.call(&call.client(client.clone())).await.unwrap();
        ledger.ends(asker, &id, End::Answer(reply.result.as_str()));
        tokio::time::sleep(Duration::from_millis(u64::from(asker.client) + 1)).await;
    }
}

/// FAULTS 20: kept, shared in flight or fetched, an answer is of the principal that asks.
#[tokio::test(start_paused = true)]
async fn what_is_remembered_and_shared_stays_with_its_principal() {
    let (orchestrator, server) =
        with(|member| member.trusted().ttl(TTL).rate_limit(None).concurrency(None)).await;
    server.does(Does::Echo);
    let ledger = Arc::new(Ledger::default());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..12 {
        let asker = Asker { client, principal: client % 3 };
        clients.spawn(reads_and_writes(orchestrator.clone(), ledger.clone(), asker));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    ledger.at_rest("calls in flight", 0, in_flight(&orchestrator));
    let tally = ledger.balances();
    assert_eq!(tally.answered, 1_200);
    let fetched = server.calls();
    assert!((60 + 3..900).contains(&fetched), "{fetched}: most are remembered or shared");
}
