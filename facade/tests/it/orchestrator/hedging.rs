//! A second server is asked where the first is slow.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use toolweir::core::Kind;
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::{call, started};

/// Two equal servers that are known to take 20 ms.
async fn two(tool: &str, member: fn(Member) -> Member) -> (Orchestrator, [Arc<Scripted>; 2]) {
    let servers = [Scripted::new("one", &[tool]), Scripted::new("two", &[tool])];
    let mut builder = Orchestrator::builder();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        server.does(Does::Take(Duration::from_millis(20)));
        builder = builder
            .member(member(Member::new(name, server.clone()).prefix("p").trusted().breaker(None)));
    }
    let orchestrator = started(builder).await;
    while servers.iter().any(|server| server.calls() < 25) {
        call(&orchestrator, &format!("p__{tool}")).await.unwrap();
    }
    (orchestrator, servers)
}

fn dropped(servers: &[Arc<Scripted>; 2]) -> usize {
    servers.iter().map(|server| server.dropped.load(Ordering::SeqCst)).sum()
}

#[tokio::test(start_paused = true)]
async fn a_read_does_not_wait_for_a_server_that_hangs() {
    let (orchestrator, servers) = two("read", |member| member).await;
    servers[0].does(Does::Hang);
    let (started, before) = (tokio::time::Instant::now(), servers[0].calls());
    for _ in 0..4 {
        let reply = call(&orchestrator, "p__read").await.unwrap();
        assert_eq!(reply.server.as_deref(), Some("two"));
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let hung = servers[0].calls() - before;
    assert!(hung > 0, "the first was asked, too");
    assert_eq!(dropped(&servers), hung, "and each of its calls was cancelled");
    let hung = servers[0].calls() - before;
    assert!(hung > 0, "the first was asked, too");
    assert_eq!(dropped(&servers), hung, "and each of its calls was cancelled");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_needed_any_more_is_cancelled() {
    let (orchestrator, servers) = two("read", |member| member).await;
    let before: usize = servers.iter().map(|server| server.calls()).sum();
    for server in &servers {
        server.does(Does::Take(Duration::from_millis(100))); // both slower than usual
    }
    call(&orchestrator, "p__read").await.unwrap();
    let after: usize = servers.iter().map(|server| server.calls()).sum();
    assert_eq!((after - before, dropped(&servers)), (2, 1));
}

/// A destructive tool ran twice elsewhere, with hedging on.
#[tokio::test(start_paused = true)]
async fn what_may_write_runs_once_however_slow_it_is() {
    let (orchestrator, servers) = two("write", |member| member).await;
    let before: usize = servers.iter().map(|server| server.calls()).sum();
    for server in &servers {
        server.does(Does::Take(Duration::from_secs(30)));
    }
    call(&orchestrator, "p__write").await.unwrap();
    let after: usize = servers.iter().map(|server| server.calls()).sum();
    assert_eq!(after - before, 1);
}

#[tokio::test(start_paused = true)]
async fn both_slow_cost_no_more_than_the_budget() {
    let second = seconds_asked(|member| member).await;
    assert!(second > 0, "{second}");
    assert_eq!(seconds_asked(|member| member.hedge(0)).await, 0);
}

/// How often a second server was asked in 100 calls that are slow at both; within the budget.
async fn seconds_asked(member: fn(Member) -> Member) -> usize {
    let started = tokio::time::Instant::now();
    let (orchestrator, servers) = two("read", member).await;
    let before: usize = servers.iter().map(|server| server.calls()).sum();
    for number in 0..100 {
        // Slower each time, so that it never becomes what is usual.
        let time = Duration::from_millis(60 + number);
        servers.iter().for_each(|server| server.does(Does::Take(time)));
        call(&orchestrator, "p__read").await.unwrap();
    }
    let after: usize = servers.iter().map(|server| server.calls()).sum();
    let second = after - before - 100;
    // Each has a reserve, and one more a second.
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    let most = (before + 100) * 5 / 100 + 2 * (10 + seconds + 1);
    assert!(second <= most, "{second} > {most}");
    second
}

#[tokio::test(start_paused = true)]
async fn where_both_fail_the_first_ones_error_is_told_and_where_one_answers_that_counts() {
    let (orchestrator, servers) = two("read", |member| member).await;
    servers[0].does(Does::Hang);
    servers[1].fails(Kind::Disconnected);
    let both = tokio::time::timeout(Duration::from_secs(600), call(&orchestrator, "p__read"));
    assert!(both.await.unwrap().is_err());
    servers[0].does(Does::Take(Duration::from_secs(10)));
    let reply = call(&orchestrator, "p__read").await.unwrap();
    assert_eq!(reply.server.as_deref(), Some("one"), "the second one failed meanwhile");
}
