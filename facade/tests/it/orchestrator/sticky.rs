//! Pools whose members keep state: each client stays with one of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolweir::core::{Call, Client, Error, Kind, Principal, RawJson, Reply};
use toolweir::{Member, Orchestrator};

use super::pools::{bare, by, engines, search, servers};
use super::scripted::{Does, Scripted};
use super::started;

/// A client of a legacy session, or one whose requests stand alone.
fn client(principal: &str, version: &str) -> Arc<Client> {
    let mut client = Client::new(Principal::new(principal));
    client.protocol_version = Some(version.into());
    Arc::new(client)
}

async fn ask_as(orchestrator: &Orchestrator, client: &Arc<Client>) -> Result<Reply, Error> {
    let arguments = RawJson::from(json!({ "query": "a" }));
    let call = Call::tool("search__web", &arguments).unwrap().client(client.clone());
    orchestrator.call(&call).await
}

fn moved(reply: &Reply) -> Value {
    reply.result.get::<Value>().unwrap()["_meta"]["toolweir/moved"].take()
}

async fn sticky(engines: &[Arc<Scripted>; 2], member: impl Fn(Member) -> Member) -> Orchestrator {
    started(servers(engines, ["brave", "tavily"], member).pool(search().sticky())).await
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_sticky_pool_stays_with_its_member_while_that_is_up() {
    let engines = engines(false);
    let orchestrator = sticky(&engines, bare).await;
    let sessions: Vec<_> = (0..40).map(|_| client("ada", "2025-11-25")).collect();
    let mut homes = Vec::new();
    for session in &sessions {
        homes.push(by(&ask_as(&orchestrator, session).await.unwrap()).to_owned());
    }
    let at_brave = homes.iter().filter(|home| *home == "brave").count();
    assert!((5..=35).contains(&at_brave), "both have some: {at_brave}");
    // One is slower, which would send calls to the other.
    engines[0].does(Does::Take(Duration::from_secs(1)));
    for _ in 0..3 {
        for (session, home) in sessions.iter().zip(&homes) {
            let reply = ask_as(&orchestrator, session).await.unwrap();
            assert_eq!((by(&reply), moved(&reply)), (home.as_str(), Value::Null));
        }
    }
    // Requests that stand alone: by principal.
    let one = by(&ask_as(&orchestrator, &client("eve", "2026-07-28")).await.unwrap()).to_owned();
    for _ in 0..9 {
        let again = ask_as(&orchestrator, &client("eve", "2026-07-28")).await.unwrap();
        assert_eq!(by(&again), one);
    }
    // It goes: its clients go on at the other, and are told once; and stay there when it is back.
    engines[0].down(true);
    orchestrator.ready(Duration::ZERO).await;
    for round in 0..3 {
        for (session, home) in sessions.iter().zip(&homes) {
            let reply = ask_as(&orchestrator, session).await.unwrap();
            let told = json!({ "pool": "search", "from": "brave", "to": "tavily" });
            let expected = if round == 0 && home == "brave" { told } else { Value::Null };
            assert_eq!((by(&reply), moved(&reply)), ("tavily", expected));
        }
        if round == 1 {
            engines[0].down(false);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_sticky_pool_moves_only_where_nothing_can_run_twice_and_not_for_a_limit() {
    let session = client("ada", "2025-11-25");
    let limit = toolweir_ratelimit::Config::default().requests_per_second(1.0).burst(1);
    let limit = limit.max_wait(Duration::from_secs(2));
    let engines = engines(false);
    let orchestrator = sticky(&engines, |member| bare(member.rate_limit(limit.clone()))).await;
    let home = by(&ask_as(&orchestrator, &session).await.unwrap()).to_owned();
    for _ in 0..5 {
        let began = tokio::time::Instant::now();
        let reply = ask_as(&orchestrator, &session).await.unwrap();
        assert_eq!(by(&reply), home, "it waits for its turn there");
        assert!(began.elapsed() > Duration::from_millis(500));
    }
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (orchestrator, session) = (orchestrator.clone(), session.clone());
        many.spawn(async move { ask_as(&orchestrator, &session).await });
    }
    let refused = many.join_all().await.into_iter().filter_map(Result::err);
    let kinds: Vec<Kind> = refused.map(|error| error.kind()).collect();
    assert!(matches!(kinds[..], [Kind::RateLimited { .. }, ..]), "{kinds:?}");
    let (own, other) = (usize::from(home == "tavily"), usize::from(home == "brave"));
    assert_eq!(engines[other].calls(), 0);
    tokio::time::sleep(Duration::from_secs(9)).await;
    // What may have been carried out there is not carried out elsewhere.
    engines[own].fails(Kind::Disconnected);
    assert_eq!(ask_as(&orchestrator, &session).await.unwrap_err().kind(), Kind::Disconnected);
    assert_eq!(engines[other].calls(), 0);
    tokio::time::sleep(Duration::from_secs(9)).await;
    engines[own].fails(Kind::Unreachable);
    assert_eq!(moved(&ask_as(&orchestrator, &session).await.unwrap())["from"], home);
    let call = Call::tool("search__web", &RawJson::EMPTY_OBJECT).unwrap();
    let explained = orchestrator.explain(&call).await.unwrap();
    assert!(explained.to_string().starts_with("search__web of the pool search; this client stays"));
    assert!(explained.servers.iter().all(|server| !server.rules[2].allowed), "not hedged");
}
