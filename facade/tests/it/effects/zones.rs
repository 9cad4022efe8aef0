//! `zone`, `zoneSpillMs`, `slowStartMs`.

use std::time::Duration;

use toolweir::Orchestrator;
use toolweir::core::{Call, RawJson};

use super::upstream::Upstream;
use super::{call, started};

/// Two equal servers in zones of these names.
async fn pair(zones: [&str; 2], settings: &str) -> ([Upstream; 2], Orchestrator) {
    let servers = [Upstream::start().await, Upstream::start().await];
    let entry = |n: usize| {
        let zone = match zones[n] {
            "" => String::new(),
            zone => format!(r#","zone":"{zone}""#),
        };
        format!(r#"{{"url":"{}","prefix":"s"{zone}}}"#, servers[n].url())
    };
    let text = format!(
        r#"{{"mcpServers":{{"one":{},"two":{}}},"toolweir":{{{settings}}}}}"#,
        entry(0),
        entry(1)
    );
    let orchestrator = started(&text, "").await;
    (servers, orchestrator)
}

/// The calls that each of the two got, of twenty.
async fn shares(zones: [&str; 2], settings: &str) -> [usize; 2] {
    let (servers, orchestrator) = pair(zones, settings).await;
    for _ in 0..20 {
        call(&orchestrator, "s__plain").await.unwrap();
    }
    orchestrator.shutdown(Duration::from_secs(5)).await;
    servers.each_ref().map(Upstream::calls)
}

#[tokio::test]
pub(super) async fn the_own_zone_is_asked() {
    let here = r#""zone":"here""#;
    assert_eq!(shares(["here", "there"], here).await, [20, 0]);
    assert_eq!(shares(["there", "here"], here).await, [0, 20]);
    assert_eq!(shares(["there", ""], here).await, [0, 20]);
    let [one, two] = shares(["here", "there"], "").await;
    assert!(one > 0 && two > 0, "without a zone of the gateway's: {one} and {two}");
}

/// What the server of the own zone gets while it answers nothing.
async fn asked_of_a_busy_one(settings: &str) -> usize {
    let (servers, orchestrator) = pair(["here", "there"], settings).await;
    let hanging = call(&orchestrator, "s__hang");
    let busy = async {
        while servers[0].calls() == 0 {
            tokio::task::yield_now().await;
        }
        call(&orchestrator, "s__plain").await.unwrap();
    };
    tokio::select! {
        _ = hanging => unreachable!("it never answers"),
        () = busy => {}
    }
    orchestrator.shutdown(Duration::from_secs(5)).await;
    servers[0].calls()
}

#[tokio::test]
pub(super) async fn what_is_too_much_goes_to_another_zone() {
    // A server that has not answered yet counts as one that takes five seconds.
    assert_eq!(asked_of_a_busy_one(r#""zone":"here""#).await, 1);
    assert_eq!(asked_of_a_busy_one(r#""zone":"here","zoneSpillMs":60000"#).await, 2);
}

/// How far the share has come of a server that was found well again and has answered since.
async fn share_of_one_that_is_back(settings: &str) -> Option<u8> {
    let (_servers, orchestrator) = pair(["", ""], settings).await;
    let router = orchestrator.router();
    let ids = router.capable::<&str>(&[]);
    router.mark_unhealthy(ids[0]);
    router.mark_healthy(ids[0]);
    for _ in 0..4 {
        call(&orchestrator, "s__plain").await.unwrap();
    }
    let plain = Call::tool("s__plain", &RawJson::EMPTY_OBJECT).unwrap();
    let explained = orchestrator.explain(&plain).await.unwrap().to_string();
    let share = router
        .explain_call(&plain, &ids)
        .servers
        .iter()
        .find(|standing| standing.server() == ids[0])
        .and_then(|standing| standing.slow_start_percent);
    assert_eq!(explained.contains("slow start at"), share.is_some(), "{explained}");
    orchestrator.shutdown(Duration::from_secs(5)).await;
    share
}

#[tokio::test]
pub(super) async fn a_server_that_is_back_starts_slowly() {
    assert_eq!(share_of_one_that_is_back(r#""slowStartMs":86400000"#).await, Some(10));
    assert_eq!(share_of_one_that_is_back(r#""slowStartMs":0"#).await, None);
}
