//! So many calls at once at a server, and a fair line of those who wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use toolweir::core::{Call, Client, Clock, Kind, Principal, RawJson, TokioClock};
use toolweir::{Member, Orchestrator};
use toolweir_ratelimit::GateConfig;

use super::scripted::{Does, Scripted};
use super::{call, started, text};

fn places(count: u32) -> GateConfig {
    GateConfig::default().max_in_flight(count).max_waiting(3).max_wait(Duration::from_secs(1))
}

/// How many calls `s` has, and how many wait for it.
fn occupied(orchestrator: &Orchestrator) -> (usize, usize) {
    let servers = orchestrator.servers();
    let occupancy = servers[0].concurrency.unwrap();
    (occupancy.in_flight, occupancy.waiting)
}

#[tokio::test(start_paused = true)]
async fn a_full_server_refuses_in_time_and_its_neighbour_never_notices() {
    let [slow, other] = ["s", "other"].map(|name| Scripted::new(name, &["work"]));
    slow.does(Does::Hang);
    let builder = Orchestrator::builder()
        .member(Member::new("s", slow.clone()).concurrency(places(2)))
        .member(Member::new("other", other.clone()));
    let orchestrator = started(builder).await;
    let start = TokioClock.now();
    let mut calls = JoinSet::new();
    for _ in 0..6 {
        let orchestrator = orchestrator.clone();
        calls.spawn(async move {
            (call(&orchestrator, "s__work").await.unwrap_err(), TokioClock.now())
        });
    }
    // Two are in flight, three wait, and there is no room for the sixth.
    let (error, at) = calls.join_next().await.unwrap().unwrap();
    assert_eq!((error.kind(), error.is_unsent(), at), (Kind::Overloaded, true, start));
    assert_eq!((occupied(&orchestrator), slow.calls()), ((2, 3), 2));
    for _ in 0..100 {
        call(&orchestrator, "other__work").await.unwrap();
    }
    assert_eq!(TokioClock.now(), start);
    for _ in 0..3 {
        let (error, at) = calls.join_next().await.unwrap().unwrap();
        assert_eq!((error.kind(), at - start), (Kind::Overloaded, Duration::from_secs(1)));
    }
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
    // Callers that leave give everything back.
    calls.shutdown().await;
    assert_eq!(occupied(&orchestrator), (0, 0));
    slow.does(Does::Answer);
    call(&orchestrator, "s__work").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_sends_much_waits_behind_its_own_calls() {
    let server = Scripted::new("s", &["work"]);
    server.does(Does::Take(Duration::from_secs(1)));
    let gate = places(1).max_waiting(100).max_wait(Duration::from_secs(100));
    let member = Member::new("s", server.clone()).concurrency(gate);
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    // Ten seconds of one principal's calls stand before it, and it waited for two.
    let start = TokioClock.now();
    let mut calls = JoinSet::new();
    for principal in std::iter::repeat_n("much", 10).chain(["little"]) {
        let client = Arc::new(Client::new(Principal::new(principal)));
        let call = Call::tool("s__work", &RawJson::EMPTY_OBJECT).unwrap().client(client);
        let orchestrator = orchestrator.clone();
        calls.spawn(async move {
            orchestrator.call(&call).await.unwrap();
            (principal, TokioClock.now())
        });
        tokio::task::yield_now().await;
    }
    while let Some(ended) = calls.join_next().await {
        if let ("little", at) = ended.unwrap() {
            assert!(at - start <= Duration::from_secs(3), "{:?}", at - start);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_server_leaves_the_call_to_its_equal() {
    let [one, two] = ["one", "two"].map(|name| Scripted::new(name, &["work"]));
    one.does(Does::Hang);
    two.does(Does::Hang);
    let member = |server: &Arc<Scripted>, name: &'static str| {
        Member::new(name, server.clone()).prefix("s").concurrency(places(1))
    };
    let builder = Orchestrator::builder().member(member(&one, "one")).member(member(&two, "two"));
    let orchestrator = started(builder).await;
    let first = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__work").await }
    });
    while one.calls() + two.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let (full, free) = if one.calls() == 1 { (&one, "two") } else { (&two, "one") };
    one.does(Does::Answer);
    two.does(Does::Answer);
    let start = TokioClock.now();
    for _ in 0..20 {
        let reply = call(&orchestrator, "s__work").await.unwrap();
        assert!(text(&reply).starts_with(free));
    }
    assert_eq!((full.calls(), TokioClock.now()), (1, start));
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_turn_keeps_it_through_both_limits() {
    let server = Scripted::new("s", &["work"]);
    server.does(Does::Take(Duration::from_millis(100)));
    let rate = toolweir_ratelimit::Config::default()
        .requests_per_second(1.0)
        .burst(1)
        .max_wait(Duration::from_secs(10));
    let member = Member::new("s", server.clone()).rate_limit(rate).concurrency(places(1));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let start = TokioClock.now();
    let work = |_| {
        let orchestrator = orchestrator.clone();
        async move { call(&orchestrator, "s__work").await.map(drop) }
    };
    let mut calls: JoinSet<_> = (0..4).map(work).collect();
    while let Some(result) = calls.join_next().await {
        result.unwrap().unwrap();
    }
    // Each was charged once: the fourth came three seconds after the first.
    let took = TokioClock.now() - start;
    assert!((3.1..3.2).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!((server.calls(), occupied(&orchestrator)), (4, (0, 0)));
}
