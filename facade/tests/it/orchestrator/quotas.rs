//! Rate limits of tools and of users, beside the server's own: all or nothing, and each user by itself.

use std::sync::Arc;
use std::time::Duration;

use toolweir::core::{Call, Client, Error, Kind, Principal, RawJson, Reply};
use toolweir::{Member, Orchestrator};
use toolweir_ratelimit::Config;

use super::scripted::{Does, Scripted};
use super::{started, text};

/// So many calls at once, and then one in this many seconds.
fn limit(burst: u32, seconds: f64) -> Config {
    Config::default().requests_per_second(1.0 / seconds).burst(burst)
}

fn call_of(user: &str, tool: &str) -> Call {
    let mut call = Call::tool(tool, &RawJson::EMPTY_OBJECT).unwrap();
    call.client = Arc::new(Client::new(Principal::new(user)));
    call
}

async fn call(orchestrator: &Orchestrator, user: &str, tool: &str) -> Result<Reply, Error> {
    orchestrator.call(&call_of(user, tool)).await
}

/// The kind's name of each call's refusal, or `ok`.
async fn told(orchestrator: &Orchestrator, calls: &[(&str, &str)]) -> Vec<&'static str> {
    let mut told = Vec::new();
    for (user, tool) in calls {
        let result = call(orchestrator, user, tool).await;
        told.push(result.map_or_else(|error| error.kind().name(), |_| "ok"));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_of_all_its_limits_or_of_none() {
    let server = Scripted::new("s", &["work", "rest"]);
    let member = Member::new("s", server.clone())
        .rate_limit_per_user(limit(2, 1_000.0))
        .tool_rate_limit("work", limit(1, 100.0))
        .tool_rate_limit_per_user("rest", limit(1, 10.0));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let calls = [
        ("ada", "s__work"), // the tool's only one, ada's first
        ("ada", "s__work"), // costs ada nothing
        ("bob", "s__work"), // nor bob
        ("ada", "s__rest"), // her second, and her only one there
        ("ada", "s__rest"), // both her limits are reached: the one that lasts longest tells
        ("bob", "s__rest"),
        ("bob", "s__rest"), // there
    ];
    let (tool, user) = ("tool_rate_limited", "user_rate_limited");
    let expected = ["ok", tool, tool, "ok", user, "ok", user];
    assert_eq!(told(&orchestrator, &calls).await, expected);
    assert_eq!(server.calls(), 3, "what is refused is not sent");
    let longest = call(&orchestrator, "ada", "s__rest").await.unwrap_err();
    assert!(longest.kind().retry_after() > Some(Duration::from_secs(900)), "{longest}");
    assert_eq!(longest.to_string(), "s: rate limit of the user reached");
    let at_tool = call(&orchestrator, "bob", "s__rest").await.unwrap_err();
    assert_eq!(at_tool.to_string(), "s: rate limit of the user reached: for the tool `rest`");
    let of_tool = call(&orchestrator, "bob", "s__work").await.unwrap_err();
    assert_eq!(of_tool.to_string(), "s: rate limit of the tool reached: `work`");
    // When to come again is exact.
    let retry_after = at_tool.kind().retry_after().unwrap();
    assert_eq!(retry_after, Duration::from_secs(10));
    tokio::time::advance(retry_after - Duration::from_millis(1)).await;
    assert_eq!(told(&orchestrator, &[("bob", "s__rest")]).await, [user]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(told(&orchestrator, &[("bob", "s__rest")]).await, ["ok"]);
    let events = orchestrator.metrics().server_events("s").unwrap();
    assert_eq!(events.limited, [("server", 0), ("tool", 3), ("user", 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_user_at_its_limit_slows_nobody() {
    let server = Scripted::new("s", &["work"]);
    let own = limit(1, 1.0).max_wait(Duration::from_secs(5));
    let member =
        Member::new("s", server.clone()).rate_limit(own).rate_limit_per_user(limit(1, 1_000.0));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    call(&orchestrator, "ada", "s__work").await.unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..100 {
        let error = call(&orchestrator, "ada", "s__work").await.unwrap_err();
        assert!(matches!(error.kind(), Kind::UserRateLimited { .. }), "{error}");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "she does not wait in the server's line");
    // The server's next turn, a second after the last, is bob's, and the one after is eve's.
    let (bob, eve) =
        tokio::join!(call(&orchestrator, "bob", "s__work"), call(&orchestrator, "eve", "s__work"));
    assert!(bob.is_ok() && eve.is_ok(), "{bob:?} {eve:?}");
    assert_eq!(begun.elapsed().as_millis() / 100, 20, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_servers_line_has_used_up_nothing() {
    let server = Scripted::new("s", &["work"]);
    let own = limit(1, 10.0).max_wait(Duration::from_secs(60));
    let member =
        Member::new("s", server.clone()).rate_limit(own).rate_limit_per_user(limit(1, 1_000.0));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    call(&orchestrator, "bob", "s__work").await.unwrap();
    let wait = call(&orchestrator, "ada", "s__work");
    assert!(tokio::time::timeout(Duration::from_secs(3), wait).await.is_err(), "it waits");
    assert_eq!(text(&call(&orchestrator, "ada", "s__work").await.unwrap()), "s 2");
    // Too late at the server: it was refused at once, and took nothing of eve's.
    let mut hasty = call_of("eve", "s__work");
    hasty.deadline =
        Some(toolweir::core::Clock::now(&toolweir::core::TokioClock) + Duration::from_secs(1));
    let error = orchestrator.call(&hasty).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::RateLimited { .. }), "{error}");
    assert_eq!(text(&call(&orchestrator, "eve", "s__work").await.unwrap()), "s 3");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_did_not_take_is_charged_to_no_user() {
    let server = Scripted::new("s", &["work"]);
    let member = Member::new("s", server.clone())
        .retry(1, 0)
        .rate_limit(limit(100, 0.001))
        .rate_limit_per_user(limit(1, 1_000.0))
        .tool_rate_limit("work", limit(1, 900.0));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let pause = Duration::from_secs(7);
    server.fails(Kind::Throttled { retry_after: Some(pause) });
    let throttled = call(&orchestrator, "ada", "s__work").await.unwrap_err();
    assert!(matches!(throttled.kind(), Kind::Throttled { .. }), "{throttled}");
    // The pause is everybody's, and as long as asked for; nobody pays for it.
    assert_eq!(
        told(&orchestrator, &[("ada", "s__work"), ("bob", "s__work")]).await,
        ["throttled"; 2]
    );
    assert_eq!(server.calls(), 1);
    tokio::time::advance(pause).await;
    server.fails(Kind::Unreachable);
    assert_eq!(told(&orchestrator, &[("ada", "s__work")]).await, ["unreachable"]);
    server.does(Does::Answer);
    call(&orchestrator, "ada", "s__work").await.unwrap();
    // What may have been carried out is paid for.
    assert_eq!(told(&orchestrator, &[("ada", "s__work")]).await, ["user_rate_limited"]);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_get_what_is_theirs_and_no_more() {
    let server = Scripted::new("s", &["work"]);
    server.does(Does::Take(Duration::from_millis(5)));
    let member = Member::new("s", server.clone())
        .rate_limit_per_user(limit(3, 1_000.0))
        .tool_rate_limit("work", limit(12, 1_000.0));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (orchestrator, user) = (orchestrator.clone(), format!("user {}", n % 5));
        calls.spawn(async move { call(&orchestrator, &user, "s__work").await.is_ok() });
    }
    let answered = calls.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(answered, 12, "five users have three each, and the tool has twelve");
    assert_eq!(server.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn an_equal_server_has_limits_of_its_own() {
    let servers = ["one", "two"].map(|name| Scripted::new(name, &["work"]));
    let member = |name: &'static str, server: &Arc<Scripted>| {
        Member::new(name, server.clone()).prefix("p").rate_limit_per_user(limit(1, 1_000.0))
    };
    let builder = Orchestrator::builder()
        .member(member("one", &servers[0]))
        .member(member("two", &servers[1]));
    let orchestrator = started(builder).await;
    let calls = [("ada", "p__work"); 3];
    assert_eq!(told(&orchestrator, &calls).await, ["ok", "ok", "user_rate_limited"]);
    assert_eq!(servers.map(|server| server.calls()), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_a_call_are_explained() {
    let server = Scripted::new("s", &["work", "rest"]);
    let member = Member::new("s", server)
        .rate_limit(Config::default().requests_per_second(2.5))
        .rate_limit_per_user(limit(5, 0.5))
        .tool_rate_limit("work", limit(1, 4.0))
        .tool_rate_limit_per_user("work", limit(1, 10.0));
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let explained = async |tool| {
        let explained = orchestrator.explain(&call_of("ada", tool)).await.unwrap();
        let lines: Vec<String> = explained.to_string().lines().map(str::to_owned).collect();
        let first = lines.iter().position(|line| line.trim_start().starts_with("limits")).unwrap();
        let last = lines.iter().position(|line| line.trim_start().starts_with("claimed")).unwrap();
        lines[first..last].iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        explained("s__work").await,
        [
            "limits    each user at this tool: 0.1 a second, 1 at once",
            "tool: 0.25 a second, 1 at once",
            "each user: 2 a second, 5 at once",
            "server: 2.5 a second, 3 at once, waits for 1000 ms",
        ]
    );
    assert_eq!(
        explained("s__rest").await,
        [
            "limits    each user: 2 a second, 5 at once",
            "server: 2.5 a second, 3 at once, waits for 1000 ms",
        ]
    );
}
