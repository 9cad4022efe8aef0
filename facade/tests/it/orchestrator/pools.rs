//! Servers of different names that stand in for each other because a pool says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use toolweir::core::{Call, Error, Kind, Method, RawJson, Reply};
use toolweir::{BuildError, Builder, Equivalent, Member, Orchestrator, Pool, PooledTool};

use super::scripted::{Does, Scripted};
use super::{call, started};

/// A tool that takes these arguments, the first of which is required.
fn tool(name: &str, arguments: &[&str], reads: bool) -> Value {
    let properties: serde_json::Map<String, Value> =
        arguments.iter().map(|argument| ((*argument).to_owned(), json!({}))).collect();
    json!({
        "name": name,
        "description": format!("this is {name}"),
        "inputSchema": { "type": "object", "properties": properties, "required": arguments.get(..1) },
        "annotations": { "readOnlyHint": reads },
    })
}

/// Two search engines: different names, different arguments.
pub(super) fn engines(reads: bool) -> [Arc<Scripted>; 2] {
    [
        Scripted::with("brave", vec![tool("brave_search", &["query", "count", "country"], reads)]),
        Scripted::with(
            "tavily",
            vec![tool("find", &["q", "max_results", "topic", "depth"], reads)],
        ),
    ]
}

fn tavily() -> Equivalent {
    Equivalent::new("find")
        .rename("query", "q")
        .rename("count", "max_results")
        .without("country")
        .set("topic", &json!("general"))
        .with_default("depth", &json!(1))
}

fn web() -> PooledTool {
    PooledTool::new("web").at("brave", Equivalent::new("brave_search")).at("tavily", tavily())
}

pub(super) fn search() -> Pool {
    Pool::new("search", ["brave", "tavily"]).tool(web())
}

/// The servers by their names, each with its terms.
pub(super) fn servers<const N: usize>(
    servers: &[Arc<Scripted>; N],
    names: [&'static str; N],
    member: impl Fn(Member) -> Member,
) -> Builder {
    let all = names.into_iter().zip(servers);
    all.fold(Orchestrator::builder(), |builder, (name, server)| {
        builder.member(member(Member::new(name, server.clone())))
    })
}

async fn pooled(engines: &[Arc<Scripted>; 2], member: impl Fn(Member) -> Member) -> Orchestrator {
    started(servers(engines, ["brave", "tavily"], member).pool(search())).await
}

/// No breaker, and nothing asked twice at once.
pub(super) fn bare(member: Member) -> Member {
    member.breaker(None).hedge(0)
}

async fn ask(orchestrator: &Orchestrator, arguments: Value) -> Result<Reply, Error> {
    orchestrator.call(&Call::tool("search__web", &RawJson::from(arguments)).unwrap()).await
}

pub(super) fn by(reply: &Reply) -> &str {
    reply.server.as_deref().unwrap()
}

async fn listed(orchestrator: &Orchestrator) -> Vec<Value> {
    let reply = orchestrator.call(&Call::new(Method::TOOLS_LIST, None)).await.unwrap();
    reply.result.get::<Value>().unwrap()["tools"].as_array().unwrap().clone()
}

async fn names(orchestrator: &Orchestrator) -> Vec<String> {
    let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
    listed(orchestrator).await.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn each_member_gets_its_own_tool_and_arguments() {
    let engines = engines(false);
    let orchestrator = pooled(&engines, bare).await;
    assert_eq!(orchestrator.problems(), [""; 0]);
    assert_eq!(names(&orchestrator).await, ["brave__brave_search", "tavily__find", "search__web"]);
    let cases = [
        (json!({}), json!({ "topic": "general", "depth": 1 })),
        (
            json!({ "query": "weir", "count": 3, "country": "at", "topic": "news", "x": null }),
            json!({ "q": "weir", "max_results": 3, "topic": "general", "depth": 1, "x": null }),
        ),
        (
            json!({ "q": "weir", "depth": 2 }),
            json!({ "q": "weir", "topic": "general", "depth": 2 }),
        ),
    ];
    for (given, expected) in cases {
        engines[1].down(true);
        orchestrator.ready(Duration::ZERO).await;
        assert_eq!(by(&ask(&orchestrator, given.clone()).await.unwrap()), "brave");
        assert_eq!(engines[0].arguments(), given);
        engines[1].down(false);
        engines[0].down(true);
        assert_eq!(by(&ask(&orchestrator, given).await.unwrap()), "tavily");
        assert_eq!(engines[1].arguments(), expected);
        engines[0].down(false);
    }
    assert!(engines[0].seen().iter().all(|tool| tool == "brave_search"));
    assert!(engines[1].seen().iter().all(|tool| tool == "find"));
    // What was omitted stays omitted where nothing is to be added, and values pass byte for byte.
    engines[0].down(true);
    let raw = RawJson::new(r#"{"query":"\u00e9","count":1.50e2}"#).unwrap();
    orchestrator.call(&Call::tool("search__web", &raw).unwrap()).await.unwrap();
    let params = engines[1].params.lock().unwrap().clone().unwrap();
    let sent = r#"{"q":"\u00e9","max_results":1.50e2,"topic":"general","depth":1}"#;
    assert_eq!(params.member("arguments").unwrap().to_json().as_str(), sent);
    // Two that mean the same are refused before anything is sent.
    let twice = json!({ "query": "a", "q": "b" });
    let error = ask(&orchestrator, twice).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::InvalidRequest, true));
    assert!(error.to_string().contains("two arguments give `find` its `q`"), "{error}");
}

/// What moves on, moves on with the other member's arguments; what may have been carried out, and may have
/// effects, does not.
#[tokio::test(start_paused = true)]
async fn failover_follows_what_the_server_may_have_done() {
    // The kind of failure, whether the tools are known to read, and whether the other member is asked.
    let cases = [
        (Kind::Unreachable, false, true),
        (Kind::Unreachable, true, true),
        (Kind::Disconnected, false, false),
        (Kind::Disconnected, true, true),
        (Kind::Timeout, false, false),
        (Kind::Timeout, true, true),
        (Kind::Protocol { code: -32602 }, true, false),
    ];
    for (kind, reads, moves) in cases {
        for failing in 0..2 {
            let engines = engines(reads);
            let orchestrator = pooled(&engines, |member| bare(member.trusted())).await;
            engines[failing].fails(kind);
            let mut failed = 0;
            for _ in 0..6 {
                match ask(&orchestrator, json!({ "query": "weir" })).await {
                    Ok(reply) => assert_eq!(by(&reply), ["brave", "tavily"][1 - failing]),
                    Err(error) => {
                        assert_eq!(error.kind(), kind);
                        failed += 1;
                    }
                }
            }
            assert!(engines[failing].calls() > 0, "{kind} {reads}: it was asked");
            assert_eq!(failed > 0, !moves, "{kind} {reads}");
            assert_eq!(failed > 0, engines[failing].calls() == failed, "{kind} {reads}");
            let own = [
                json!({ "query": "weir" }),
                json!({ "q": "weir", "topic": "general", "depth": 1 }),
            ];
            assert_eq!(engines[1 - failing].arguments(), own[1 - failing]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_stands_in_for_anything_without_a_pool_that_says_so() {
    // Two accounts of one service: the same tools, and not the same thing.
    let accounts = [Scripted::new("work", &["write"]), Scripted::new("home", &["write"])];
    let orchestrator = started(servers(&accounts, ["work", "home"], bare)).await;
    accounts[0].fails(Kind::Unreachable);
    assert!(call(&orchestrator, "work__write").await.is_err());
    assert_eq!(accounts[1].calls(), 0);
    assert_eq!(names(&orchestrator).await, ["work__write", "home__write"]);
}

#[tokio::test(start_paused = true)]
async fn tools_of_one_name_and_the_same_arguments_are_equivalents() {
    let odd = |name, argument: &str| {
        let mut shared = tool("shared", &["a", "b"], true);
        shared["inputSchema"]["properties"] = json!({ "b": {}, "a": {} }); // in another order
        Scripted::with(name, vec![shared, tool("odd", &[argument], true), tool(name, &[], true)])
    };
    let all = [odd("one", "x"), odd("two", "y"), odd("three", "y")];
    let builder = servers(&all, ["one", "two", "three"], bare);
    let orchestrator = started(builder.pool(Pool::new("p", ["one", "two", "three"]))).await;
    let pooled = orchestrator.pools().remove(0).tools;
    let at = |tool: &str| pooled[tool].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(at("p__shared"), ["one", "three", "two"]);
    assert_eq!(at("p__odd"), ["three", "two"]);
    assert_eq!(pooled.len(), 2, "what one alone has keeps its own name only: {pooled:?}");
    let problems = orchestrator.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("p: `odd` of one takes other arguments than that of two"));
    all[0].down(true);
    all[1].down(true);
    assert_eq!(by(&call(&orchestrator, "p__shared").await.unwrap()), "three");
    assert_eq!(by(&call(&orchestrator, "three__shared").await.unwrap()), "three");
    assert!(call(&orchestrator, "one__shared").await.is_err(), "its own name is its own");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_fit_is_left_out_and_it_is_said() {
    let fits = |how: Equivalent| async {
        let engines = engines(true);
        let web =
            PooledTool::new("web").at("brave", Equivalent::new("brave_search")).at("tavily", how);
        let pool = Pool::new("search", ["brave", "tavily"]).tool(web);
        let orchestrator = started(servers(&engines, ["brave", "tavily"], bare).pool(pool)).await;
        engines[0].down(true);
        let answered = ask(&orchestrator, json!({ "query": "weir" })).await.is_ok();
        let problems = orchestrator.problems();
        assert_eq!(problems.is_empty(), answered, "{problems:?}");
        problems.concat()
    };
    assert_eq!(fits(tavily()).await, "");
    let cases = [
        (Equivalent::new("serach"), "`search__web` leaves `tavily` out: it has no tool `serach`"),
        (Equivalent::new("find"), "takes no `count`: `rename` it or `drop` it"),
        (
            tavily().set("lang", &json!("de")),
            "takes no `lang`: it takes `depth`, `max_results`, `q`",
        ),
        (tavily().without("page"), "callers give no `page`: they give `count`, `country`, `query`"),
        (
            Equivalent::new("find").without("query").without("count").without("country"),
            "needs `q`, which nothing gives",
        ),
    ];
    for (how, expected) in cases {
        let said = fits(how).await;
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_makes_no_sense_is_refused() {
    let wrong = |pool: Pool| {
        let builder = servers(&engines(true), ["brave", "tavily"], bare).pool(pool);
        let result = builder.check();
        let Err(BuildError::Pool { message, .. }) = result else { panic!("{result:?}") };
        message
    };
    assert_eq!(wrong(Pool::new("p", ["brave", "bing"])), "there is no server `bing`");
    assert_eq!(
        wrong(Pool::new("brave", ["brave"])),
        "its name is the prefix of the server `brave`"
    );
    assert_eq!(wrong(Pool::new("p", ["brave", "brave"])), "a server is a member twice");
    assert_eq!(wrong(Pool::new("p", ["brave"]).tool(web())), "`web`: `tavily` is no member");
    let set_twice = PooledTool::new("web").at("tavily", tavily().with_default("topic", &json!(1)));
    let said = wrong(Pool::new("p", ["tavily"]).tool(set_twice));
    assert_eq!(said, "`web` at `tavily`: `topic` is both set and given a default");
    let twice = servers(&engines(true), ["brave", "tavily"], bare).pool(search()).pool(search());
    assert!(twice.check().unwrap_err().to_string().contains("another pool has this name"));
}

/// A name that both a pool and a server would have is the server's.
#[tokio::test(start_paused = true)]
async fn a_pooled_name_that_is_taken_is_withheld() {
    let all = [Scripted::new("a", &["read"]), Scripted::new("b", &["read", "p__read"])];
    let builder = Orchestrator::builder()
        .member(Member::new("a", all[0].clone()))
        .member(Member::new("b", all[1].clone()).prefix(""))
        .pool(Pool::new("p", ["a", "b"]));
    let orchestrator = started(builder).await;
    call(&orchestrator, "p__read").await.unwrap();
    assert_eq!(all[1].seen(), ["p__read"]);
    let problems = orchestrator.problems();
    assert!(
        problems.iter().any(|it| it.starts_with("p: `p__read` is another tool's name already"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_holds_at_every_member() {
    let mut one = tool("t", &["a", "b"], true);
    one["outputSchema"] = json!({ "type": "object" });
    let two = tool("u", &["x", "b"], false);
    let all = [Scripted::with("one", vec![one]), Scripted::with("two", vec![two])];
    let of = |tool: PooledTool| {
        let tool =
            tool.at("one", Equivalent::new("t")).at("two", Equivalent::new("u").rename("a", "x"));
        servers(&all, ["one", "two"], Member::trusted)
            .pool(Pool::new("p", ["one", "two"]).tool(tool))
    };
    let orchestrator = started(of(PooledTool::new("t"))).await;
    let shown = listed(&orchestrator).await.pop().unwrap();
    assert_eq!((&shown["name"], &shown["description"]), (&json!("p__t"), &json!("this is t")));
    assert_eq!(shown["annotations"]["readOnlyHint"], false, "one of them writes");
    assert_eq!(shown.get("outputSchema"), None, "the other's results are not known to be such");
    let explained =
        orchestrator.explain(&Call::tool("p__t", &RawJson::EMPTY_OBJECT).unwrap()).await;
    let explained = explained.unwrap();
    assert_eq!(explained.pool.as_deref(), Some("p"));
    assert!(explained.servers.iter().all(|server| server.believed.read_only.is_none()));
    assert!(explained.servers.iter().all(|server| !server.rules[3].allowed), "not repeated");
    assert!(explained.to_string().contains("two, which knows it as `u`"), "{explained}");
    assert!(explained.to_string().contains("`a` is its `x`"), "{explained}");
    // What the pool says of it stands in the place of what the first says.
    let told = json!({ "description": "ours", "annotations": { "title": "T" } });
    let told = PooledTool::new("t").definition(RawJson::from(told));
    let shown = listed(&started(of(told)).await).await.pop().unwrap();
    assert_eq!(
        (&shown["description"], &shown["annotations"]),
        (&json!("ours"), &json!({ "title": "T" }))
    );
    assert_eq!(shown["inputSchema"]["properties"], json!({ "a": {}, "b": {} }));
}

#[tokio::test(start_paused = true)]
async fn members_may_be_seen_through_the_pool_alone() {
    let all = [Scripted::new("one", &["read", "other"]), Scripted::new("two", &["read"])];
    let pool = Pool::new("p", ["one", "two"]).hide_members();
    let orchestrator = started(servers(&all, ["one", "two"], bare).pool(pool)).await;
    assert_eq!(names(&orchestrator).await, ["one__other", "p__read"]);
    for hidden in ["one__read", "two__read"] {
        assert_eq!(call(&orchestrator, hidden).await.unwrap_err().kind(), Kind::NotFound);
    }
    call(&orchestrator, "one__other").await.unwrap();
    call(&orchestrator, "p__read").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_never_came_up_does_not_keep_the_other_from_answering() {
    for away in 0..2 {
        let engines = engines(true);
        engines[away].down(true);
        let declared = pooled(&engines, bare).await;
        assert_eq!(
            by(&ask(&declared, json!({ "query": "a" })).await.unwrap()),
            ["tavily", "brave"][away]
        );
        let shown = listed(&declared).await.pop().unwrap();
        assert!(
            shown["inputSchema"]["properties"].get("query").is_some(),
            "in callers' words: {shown}"
        );
        let equal = [Scripted::new("one", &["read"]), Scripted::new("two", &["read"])];
        equal[away].down(true);
        let builder = servers(&equal, ["one", "two"], bare).pool(Pool::new("p", ["one", "two"]));
        let orchestrator = started(builder).await;
        assert_eq!(by(&call(&orchestrator, "p__read").await.unwrap()), ["two", "one"][away]);
    }
    // With none there the servers say why.
    let engines = engines(true);
    engines.iter().for_each(|engine| engine.down(true));
    let error = ask(&pooled(&engines, bare).await, json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
    let servers = servers(&engines, ["brave", "tavily"], bare);
    let orchestrator = started(servers.pool(Pool::new("search", ["brave", "tavily"]))).await;
    let error = ask(&orchestrator, json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_is_asked_of_another_member_in_its_own_words() {
    let engines = engines(true);
    engines.iter().for_each(|engine| engine.does(Does::Take(Duration::from_millis(20))));
    let orchestrator = pooled(&engines, |member| member.trusted().breaker(None)).await;
    while engines.iter().any(|engine| engine.calls() < 25) {
        ask(&orchestrator, json!({ "query": "a" })).await.unwrap();
    }
    engines[0].does(Does::Hang);
    let (began, before) = (tokio::time::Instant::now(), engines[0].calls());
    for _ in 0..4 {
        let reply = ask(&orchestrator, json!({ "query": "b" })).await.unwrap();
        assert_eq!(by(&reply), "tavily");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(engines[1].arguments()["q"], "b");
    let hung = engines[0].calls() - before;
    assert_eq!((hung > 0, engines[0].dropped.load(Ordering::SeqCst)), (true, hung));
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_pool_are_shared_and_kept_by_what_the_member_gets() {
    let engines = engines(true);
    let orchestrator =
        pooled(&engines, |member| bare(member.trusted().ttl(Duration::from_secs(60)))).await;
    engines[0].down(true);
    engines[1].does(Does::Take(Duration::from_millis(5)));
    let one = ask(&orchestrator, json!({ "query": "a" }));
    let other = ask(&orchestrator, json!({ "query": "a", "country": "at" })); // for it, the same
    let (one, other) = tokio::join!(one, other);
    one.and(other).unwrap();
    assert_eq!(engines[1].calls(), 1);
    ask(&orchestrator, json!({ "query": "b" })).await.unwrap();
    assert_eq!(engines[1].calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_stays_with_the_member_that_began_it() {
    let engines = engines(true);
    let orchestrator = pooled(&engines, bare).await;
    let asks = json!({ "resultType": "input_required", "inputRequests": {}, "requestState": "s" });
    let mut asks = Reply::new(RawJson::from(asks));
    asks.input_required = true;
    engines.iter().for_each(|engine| engine.does(Does::Give(Box::new(asks.clone()))));
    for _ in 0..12 {
        let first = ask(&orchestrator, json!({ "query": "a" })).await.unwrap();
        let state = first.result.member("requestState").unwrap().to_json();
        let mut again = Call::tool("search__web", &RawJson::from(json!({ "query": "a" }))).unwrap();
        let params = again.params.take().unwrap();
        let params = params.edit().set("requestState", &state).finish().unwrap();
        again.params = Some(params);
        let second = orchestrator.call(&again).await.unwrap();
        assert_eq!(by(&second), by(&first));
        let at = &engines[usize::from(by(&first) == "tavily")];
        let params = at.params.lock().unwrap().clone().unwrap().get::<Value>().unwrap();
        assert_eq!(params["requestState"], "s");
        assert_eq!(params["arguments"].get("topic").is_some(), by(&first) == "tavily");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_cancels_the_call_at_its_member() {
    let engines = engines(false);
    let orchestrator = pooled(&engines, bare).await;
    engines.iter().for_each(|engine| engine.does(Does::Hang));
    let asked = ask(&orchestrator, json!({ "query": "a" }));
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
    let count = |what: fn(&Scripted) -> usize| engines.iter().map(|it| what(it)).sum::<usize>();
    assert_eq!((count(|it| it.calls()), count(|it| it.dropped.load(Ordering::SeqCst))), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_limited_member_is_waited_for_where_the_other_cannot_answer() {
    let engines = engines(false);
    let limit = toolweir_ratelimit::Config::default().requests_per_second(1.0).burst(1);
    let limit = limit.max_wait(Duration::from_secs(5));
    let orchestrator = pooled(&engines, |member| bare(member.rate_limit(limit.clone()))).await;
    engines[0].fails(Kind::Unreachable);
    for _ in 0..4 {
        assert_eq!(by(&ask(&orchestrator, json!({ "query": "a" })).await.unwrap()), "tavily");
        assert_eq!(engines[1].arguments()["q"], "a");
    }
}

#[tokio::test(start_paused = true)]
async fn pools_change_in_a_reload_while_calls_go_on() {
    let engines = engines(false);
    let of = |pools: &[Pool]| {
        let builder = servers(&engines, ["brave", "tavily"], bare);
        pools.iter().cloned().fold(builder, Builder::pool)
    };
    let orchestrator = started(of(&[search()])).await;
    engines.iter().for_each(|engine| engine.does(Does::Take(Duration::from_secs(9))));
    let running = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { ask(&orchestrator, json!({ "query": "a" })).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = Pool::new("other", ["brave", "tavily"]).tool(web());
    let reloaded = orchestrator.reload_with(of(std::slice::from_ref(&other))).unwrap();
    assert_eq!(
        (reloaded.kept, &reloaded.pools[..]),
        (2, &["other".to_owned(), "search".to_owned()][..])
    );
    assert_eq!(reloaded.to_string(), "changed the pools other, search; 2 unchanged");
    assert_eq!(names(&orchestrator).await.last().unwrap(), "other__web");
    assert_eq!(ask(&orchestrator, json!({})).await.unwrap_err().kind(), Kind::NotFound);
    call(&orchestrator, "other__web").await.unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(orchestrator.reload_with(of(std::slice::from_ref(&other))).unwrap().pools, [""; 0]);
    let reloaded = orchestrator.reload_with(of(&[other.clone().sticky()])).unwrap();
    assert_eq!(reloaded.pools, ["other"]);
    // What makes no sense changes nothing.
    assert!(orchestrator.reload_with(of(&[Pool::new("x", ["nobody"])])).is_err());
    call(&orchestrator, "other__web").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_names_what_may_be_called_instead() {
    let limit = toolweir_ratelimit::Config::default().requests_per_second(0.1).burst(1);
    let limit = limit.max_wait(Duration::ZERO);
    let servers_of = |all: &[Arc<Scripted>; 3]| {
        servers(all, ["one", "two", "three"], |member| bare(member.trusted()).retry(1, 0))
    };
    let instead = |all: [Arc<Scripted>; 3], tool: &'static str, kind, pool: Pool| async move {
        all[0].fails(kind);
        if tool.starts_with("p__") {
            all[1].fails(kind);
        }
        all[2].down(true);
        let orchestrator = started(servers_of(&all).pool(pool)).await;
        let error = call(&orchestrator, tool).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        error.alternatives().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let three = || ["one", "two", "three"].map(|name| Scripted::new(name, &["read", "write"]));
    let pool = || Pool::new("p", ["one", "two", "three"]);
    // The third is away, too, and not named.
    let both = |tool: &str| vec![format!("p__{tool}"), format!("two__{tool}")];
    assert_eq!(instead(three(), "one__write", Kind::Unreachable, pool()).await, both("write"));
    assert_eq!(instead(three(), "one__read", Kind::Timeout, pool()).await, both("read"));
    let hides = pool().hide_members();
    assert_eq!(
        instead(three(), "p__write", Kind::Unreachable, hides).await,
        [""; 0],
        "all were tried"
    );
    // What may have been carried out is not to be carried out again.
    for kind in [Kind::Timeout, Kind::Disconnected] {
        assert_eq!(instead(three(), "one__write", kind, pool()).await, [""; 0]);
    }
    assert_eq!(instead(three(), "one__read", Kind::TooLarge, pool()).await, [""; 0]);
    // Other arguments: only the pool knows them.
    let mapped = PooledTool::new("read")
        .at("one", Equivalent::new("read"))
        .at("two", Equivalent::new("write").rename("a", "b"));
    let mapped = Pool::new("p", ["one", "two"]).tool(mapped);
    assert_eq!(instead(three(), "one__read", Kind::Unreachable, mapped).await, ["p__read"]);
    // A limit of ours.
    let [one, two] = [Scripted::new("one", &["write"]), Scripted::new("two", &["write"])];
    let builder = Orchestrator::builder()
        .member(bare(Member::new("one", one)).rate_limit(limit))
        .member(Member::new("two", two))
        .pool(Pool::new("p", ["one", "two"]));
    let orchestrator = started(builder).await;
    call(&orchestrator, "one__write").await.unwrap();
    let error = call(&orchestrator, "one__write").await.unwrap_err();
    assert!(matches!(error.kind(), Kind::RateLimited { .. }), "{error}");
    let names: Vec<&str> = error.alternatives().iter().map(|name| &**name).collect();
    assert_eq!(names, ["p__write", "two__write"]);
}

/// A handler names one server's tool, or the pool's: what a pool says is its equivalent carries the request out, too.
#[tokio::test(start_paused = true)]
async fn a_routed_request_goes_to_equivalents_by_their_own_names() {
    for tool in ["brave_search", "search__web"] {
        for (away, answering) in [(0, "tavily"), (1, "brave")] {
            let engines = engines(true);
            engines[away].down(true);
            let handlers = toolweir::handlers::Handlers::builtin();
            let handlers = handlers.with("look", &json!({ "tool": tool })).unwrap();
            let routes = toolweir_router::Routes::default().with("look", ["web"]);
            let builder =
                servers(&engines, ["brave", "tavily"], |it| bare(it.capabilities(["web"])))
                    .pool(search())
                    .handlers(handlers)
                    .router(toolweir_router::Config::default().routes(routes));
            let orchestrator = started(builder).await;
            let reply = orchestrator.route("look", &RawJson::from(json!({ "query": "a" }))).await;
            assert_eq!(by(&reply.unwrap()), answering, "{tool}");
            let own =
                [json!({ "query": "a" }), json!({ "q": "a", "topic": "general", "depth": 1 })];
            assert_eq!(engines[1 - away].arguments(), own[1 - away]);
        }
    }
}
