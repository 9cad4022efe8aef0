//! What was known before stands in for a server that cannot answer.

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::{Freshness, Kind};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started, text};

const MINUTE: Duration = Duration::from_secs(60);

async fn pool(names: &[&'static str]) -> (Orchestrator, Vec<Arc<Scripted>>) {
    let servers: Vec<_> = names.iter().map(|name| Scripted::new(name, &["read"])).collect();
    let mut builder = Orchestrator::builder()
        .cache(toolweir_cache::Config::default().stale_if_error(MINUTE * 10));
    for (name, server) in names.iter().zip(&servers) {
        builder =
            builder.member(Member::new(*name, server.clone()).prefix("s").trusted().ttl(MINUTE));
    }
    (started(builder).await, servers)
}

#[tokio::test(start_paused = true)]
async fn an_old_reply_stands_in_and_says_so() {
    let (orchestrator, servers) = pool(&["s"]).await;
    let fresh = call(&orchestrator, "s__read").await.unwrap();
    assert!(fresh.result.member("_meta").is_none());
    tokio::time::advance(MINUTE * 2).await;
    for kind in [Kind::Unreachable, Kind::Disconnected, Kind::Timeout, Kind::Status { status: 500 }]
    {
        servers[0].fails(kind);
        let old = call(&orchestrator, "s__read").await.unwrap();
        assert_eq!((old.freshness, text(&old)), (Freshness::Stale, text(&fresh)), "{kind}");
        let meta = old.result.member("_meta").unwrap().to_json();
        assert_eq!(meta.as_str(), r#"{"toolweir/stale":true}"#);
    }
    let _ = call(&orchestrator, "s__read").await.unwrap();
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
    let _ = call(&orchestrator, "s__read").await.unwrap(); // the fifth failure, at the latest
    servers[0].does(Does::Answer);
    tokio::time::advance(MINUTE * 2).await;
    assert_eq!(call(&orchestrator, "s__read").await.unwrap().freshness, Freshness::Fetched);
}

#[tokio::test(start_paused = true)]
async fn while_the_breaker_is_open_nothing_is_asked_and_the_old_reply_stands_in() {
    let (orchestrator, servers) = pool(&["s"]).await;
    call(&orchestrator, "s__read").await.unwrap();
    tokio::time::advance(MINUTE * 2).await;
    servers[0].fails(Kind::Unreachable);
    for _ in 0..20 {
        assert_eq!(call(&orchestrator, "s__read").await.unwrap().freshness, Freshness::Stale);
    }
    assert_eq!((orchestrator.servers()[0].breaker, servers[0].calls()), (Some("open"), 1 + 5));
    tokio::time::advance(MINUTE * 10).await;
    call(&orchestrator, "s__read").await.expect_err("too old");
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_have_it_gets_no_old_reply_either() {
    for status in [401, 403] {
        let (orchestrator, servers) = pool(&["s"]).await;
        call(&orchestrator, "s__read").await.unwrap();
        tokio::time::advance(MINUTE * 2).await;
        servers[0].fails(Kind::Status { status });
        call(&orchestrator, "s__read").await.unwrap_err();
        servers[0].fails(Kind::Unreachable);
        call(&orchestrator, "s__read").await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn another_servers_fresh_reply_is_better_than_an_old_one() {
    let (orchestrator, servers) = pool(&["one", "two"]).await;
    for _ in 0..20 {
        call(&orchestrator, "s__read").await.unwrap(); // each has answered once
    }
    tokio::time::advance(MINUTE * 2).await;
    servers[0].fails(Kind::Unreachable);
    for _ in 0..5 {
        let reply = call(&orchestrator, "s__read").await.unwrap();
        assert_eq!(reply.server.as_deref(), Some("two"));
        assert_ne!(reply.freshness, Freshness::Stale);
        tokio::time::advance(MINUTE).await;
    }
    servers[1].fails(Kind::Unreachable);
    let reply = call(&orchestrator, "s__read").await.unwrap();
    assert_eq!(reply.freshness, Freshness::Stale);
}
