//! The demonstration's servers: the published names, real changes, proper errors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolweir::core::{
    Call, Clock, Error, Instant, Kind, Method, Notification, Peer, RawJson, Reply, Server,
    TokioClock,
};
use toolweir::demo::servers::{KINDS, server};

fn new(kind: &str) -> Arc<dyn Server> {
    server(kind).unwrap_or_else(|| panic!("no server `{kind}`"))
}

async fn ask(server: &dyn Server, method: &str, params: Value) -> Result<Value, Error> {
    let call = Call::new(Method::from(method), Some(params.into()));
    server.call(&call).await.map(|reply| reply.result.get().unwrap())
}

async fn call(server: &dyn Server, tool: &str, arguments: Value) -> Reply {
    server.call(&Call::tool(tool, &arguments.into()).unwrap()).await.unwrap()
}

fn text(reply: &Reply) -> String {
    let result: Value = reply.result.get().unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// What a call that must succeed answers.
async fn done(server: &dyn Server, tool: &str, arguments: Value) -> String {
    let reply = call(server, tool, arguments).await;
    let text = text(&reply);
    assert!(!reply.is_error, "{tool}: {text}");
    text
}

/// What a call that must fail answers.
async fn refused(server: &dyn Server, tool: &str, arguments: Value) -> String {
    let reply = call(server, tool, arguments).await;
    let result: Value = reply.result.get().unwrap();
    assert!(reply.is_error && result["isError"] == true, "{tool}: {result}");
    text(&reply)
}

async fn tools(server: &dyn Server) -> Vec<Value> {
    let list = ask(server, "tools/list", json!({})).await.unwrap();
    list["tools"].as_array().unwrap().clone()
}

fn published() -> BTreeMap<String, Value> {
    let fixture: Value =
        serde_json::from_str(include_str!("../fixtures/published-tools.json")).unwrap();
    let by_kind = |package: &Value| {
        (package["system"].as_str().unwrap().to_owned(), package["tools"].clone())
    };
    fixture["packages"].as_array().unwrap().iter().map(by_kind).collect()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[tokio::test]
async fn tools_and_arguments_are_those_of_the_published_servers() {
    let published = published();
    for kind in KINDS {
        let tools = tools(&*new(kind)).await;
        assert!((3..=6).contains(&tools.len()), "{kind}: {}", tools.len());
        for tool in tools {
            let name = tool["name"].as_str().unwrap();
            let real = &published[kind][name];
            assert!(real.is_object(), "{kind} has no tool {name}");
            let schema = &tool["inputSchema"];
            for property in schema["properties"].as_object().unwrap().keys() {
                let known = strings(&real["properties"]);
                assert!(known.contains(&property.as_str()), "{name} takes no {property}");
            }
            let sorted = |list| {
                let mut list = strings(list);
                list.sort_unstable();
                list
            };
            assert_eq!(sorted(&schema["required"]), sorted(&real["required"]), "{name}");
            assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{name}");
            assert!(!tool["description"].as_str().unwrap().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn calls_change_the_data() {
    // kind, a read before, a write, the read again, what only the second read shows
    let cases = [
        (
            "github",
            ("create_issue", json!({"owner": "river", "repo": "weir", "title": "Weir leaks"})),
            ("list_issues", json!({"owner": "river", "repo": "weir"})),
            "Weir leaks",
        ),
        (
            "github",
            (
                "create_or_update_file",
                json!({"owner": "river", "repo": "gauge", "path": "docs/frost.md", "content": "Thaw it.",
                       "message": "docs", "branch": "main"}),
            ),
            ("get_file_contents", json!({"owner": "river", "repo": "gauge", "path": ""})),
            "docs/frost.md",
        ),
        (
            "github",
            (
                "update_issue",
                json!({"owner": "river", "repo": "weir", "issue_number": 1, "state": "closed"}),
            ),
            (
                "list_issues",
                json!({"owner": "river", "repo": "weir", "state": "closed", "per_page": 5}),
            ),
            "The gate sticks",
        ),
        (
            "slack",
            ("slack_post_message", json!({"channel_id": "#alerts", "text": "High water"})),
            ("slack_get_channel_history", json!({"channel_id": "C0002"})),
            "High water",
        ),
        (
            "slack",
            (
                "slack_reply_to_thread",
                json!({"channel_id": "C0001", "thread_ts": "1700000000.000001", "text": "Noted"}),
            ),
            (
                "slack_get_thread_replies",
                json!({"channel_id": "general", "thread_ts": "1700000000.000001"}),
            ),
            "Noted",
        ),
        (
            "slack",
            (
                "slack_add_reaction",
                json!({"channel_id": "C0001", "timestamp": "1700000000.000001", "reaction": "ocean"}),
            ),
            ("slack_get_channel_history", json!({"channel_id": "C0001", "limit": 1})),
            "ocean",
        ),
        (
            "notion",
            (
                "API-post-page",
                json!({"parent": {"page_id": "welcome"},
                       "properties": {"title": [{"text": {"content": "Frost plan"}}]}}),
            ),
            ("API-post-search", json!({"query": "frost"})),
            "Frost plan",
        ),
        (
            "notion",
            (
                "API-patch-block-children",
                json!({"block_id": "runbook", "children": [{"type": "paragraph",
                       "paragraph": {"rich_text": [{"text": {"content": "Then sleep."}}]}}]}),
            ),
            ("API-get-block-children", json!({"block_id": "runbook"})),
            "Then sleep.",
        ),
        (
            "firebase",
            (
                "realtimedatabase_set_data",
                json!({"path": "/gauges/east", "data": "{\"level\": 3.5, \"ok\": false}"}),
            ),
            (
                "firestore_query_collection",
                json!({"collection_path": "gauges", "filters": [{"field": "level", "op": "GREATER_THAN",
                       "compare_value": {"double_value": 3.0}}]}),
            ),
            "gauges/east",
        ),
        (
            "firebase",
            (
                "auth_update_user",
                json!({"uid": "u2", "disabled": true, "claim": {"key": "role", "value": "keeper"}}),
            ),
            ("auth_get_users", json!({"uids": ["u2"]})),
            "keeper",
        ),
        (
            "playwright",
            ("browser_navigate", json!({"url": "https://river.example/report"})),
            ("browser_snapshot", json!({})),
            "Report (0 sent)",
        ),
    ];
    for (kind, (write, change), (read, question), shows) in cases {
        let server = new(kind);
        let before = text(&call(&*server, read, question.clone()).await);
        assert!(!before.contains(shows), "{kind} {read} before {write}: {before}");
        done(&*server, write, change).await;
        let after = done(&*server, read, question.clone()).await;
        assert!(after.contains(shows), "{kind} {read} after {write}: {after}");
        let other = text(&call(&*new(kind), read, question).await);
        assert!(!other.contains(shows), "{kind}: an instance shares its data");
    }
}

#[tokio::test]
async fn a_browser_goes_on_and_back() {
    let browser = new("playwright");
    refused(&*browser, "browser_click", json!({"target": "e2"})).await;
    done(&*browser, "browser_navigate", json!({"url": "https://river.example"})).await;
    done(&*browser, "browser_click", json!({"target": "e2"})).await;
    let typed = json!({"target": "e2", "text": "2.4", "submit": true});
    assert!(done(&*browser, "browser_type", typed).await.contains("Report (1 sent)"));
    assert!(done(&*browser, "browser_navigate_back", json!({})).await.contains("The river"));
    refused(&*browser, "browser_navigate_back", json!({})).await;
    let link = done(&*browser, "browser_snapshot", json!({"target": "e2"})).await;
    assert_eq!(link, "- link \"Report\" [ref=e2]");
}

#[tokio::test]
async fn wrong_arguments_are_answers_that_tell_all_that_is_wrong() {
    let wrong = json!({"owner": "river", "title": 7, "tilte": "x"});
    let told = refused(&*new("github"), "create_issue", wrong).await;
    assert_eq!(told, "`repo` is missing; `title` must be of type string; `tilte` is unknown");
    let cases = [
        ("github", "create_issue", json!({"owner": "a", "repo": "b", "title": "c"}), "a/b"),
        ("github", "list_issues", json!({"owner": "a", "repo": "b", "state": "?"}), "one of open"),
        (
            "slack",
            "slack_post_message",
            json!({"channel_id": "C9", "text": "x"}),
            "channel_not_found",
        ),
        ("slack", "slack_post_message", json!({"channel_id": "C0001", "text": " "}), "no_text"),
        ("notion", "API-retrieve-a-page", json!({"page_id": "x"}), "object_not_found"),
        ("notion", "API-post-page", json!({"parent": {}, "properties": {}}), "`parent`"),
        ("firebase", "realtimedatabase_set_data", json!({"path": "/", "data": "1"}), "`path`"),
        ("firebase", "realtimedatabase_set_data", json!({"path": "/a", "data": "{"}), "JSON text"),
        (
            "playwright",
            "browser_navigate",
            json!({"url": "https://x.example"}),
            "NAME_NOT_RESOLVED",
        ),
        ("playwright", "browser_wait_for", json!({"time": -1}), "between 0 and 30"),
        (
            "slack",
            "slack_post_message",
            json!({"channel_id": "C0001", "text": "x".repeat(70_000)}),
            "larger",
        ),
    ];
    for (kind, tool, arguments, part) in cases {
        let told = refused(&*new(kind), tool, arguments).await;
        assert!(told.contains(part), "{tool}: {told}");
    }
}

#[tokio::test]
async fn tables_have_a_bound() {
    let slack = new("slack");
    let message = json!({"channel_id": "C0001", "text": "x"});
    for _ in 1..1_000 {
        done(&*slack, "slack_post_message", message.clone()).await;
    }
    let told = refused(&*slack, "slack_post_message", message).await;
    assert!(told.contains("at most 1000"), "{told}");
}

#[tokio::test]
async fn what_is_not_known_is_an_error_of_the_protocol() {
    let cases = [
        ("github", "tools/call", json!({"name": "drop_everything", "arguments": {}}), -32602),
        ("github", "tools/call", json!({"arguments": {}}), -32602),
        ("github", "tools/call", json!({"name": "list_issues", "arguments": []}), -32602),
        ("github", "tools/list", json!({"cursor": "2"}), -32602),
        ("github", "tools/list", json!([]), -32602),
        ("github", "prompts/list", json!({}), -32601),
        ("github", "resources/read", json!({"uri": "notion://page/welcome"}), -32601),
        ("slack", "sampling/createMessage", json!({}), -32601),
        ("notion", "prompts/get", json!({"name": "x"}), -32602),
        ("notion", "prompts/get", json!({"name": "summarize_page"}), -32602),
        ("notion", "resources/read", json!({"uri": "notion://page/x"}), -32002),
    ];
    for (kind, method, params, code) in cases {
        let error = ask(&*new(kind), method, params.clone()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol { code }, "{kind} {method} {params}");
        let object: Value = error.rpc().unwrap().get().unwrap();
        assert_eq!(object["code"], code);
        assert!(object["message"].is_string());
    }
    assert!(server("gitlab").is_none());
}

/// A gateway renames tools beside the params, which stay as the client wrote them.
#[tokio::test]
async fn the_target_beside_the_params_counts() {
    let list = Call::tool("alias__slack_list_channels", &RawJson::EMPTY_OBJECT).unwrap();
    let reply = new("slack").call(&list.target("slack_list_channels")).await.unwrap();
    assert!(text(&reply).contains("general"));
}

#[tokio::test]
async fn one_server_offers_a_prompt_and_resources() {
    for kind in KINDS {
        let info = new(kind).connect(Instant::FAR_FUTURE).await.unwrap();
        let offers: Value = info.capabilities.get().unwrap();
        assert!(offers["tools"].is_object());
        assert_eq!(offers["prompts"].is_object(), kind == "notion");
        assert_eq!(offers["resources"].is_object(), kind == "notion");
        assert!(info.identity.as_str().contains(kind));
        new(kind).probe(Instant::FAR_FUTURE).await.unwrap();
    }
    let notion = new("notion");
    let prompts = ask(&*notion, "prompts/list", json!({})).await.unwrap();
    assert_eq!(prompts["prompts"][0]["name"], "summarize_page");
    assert_eq!(prompts["prompts"][0]["arguments"][0]["required"], true);
    let arguments = json!({"name": "summarize_page", "arguments": {"page_id": "runbook"}});
    let prompt = ask(&*notion, "prompts/get", arguments).await.unwrap();
    assert!(prompt["messages"][0]["content"]["text"].as_str().unwrap().contains("high water"));

    let resources = ask(&*notion, "resources/list", json!({})).await.unwrap();
    assert_eq!(resources["resources"].as_array().unwrap().len(), 2);
    let uri = json!({"uri": "notion://page/welcome"});
    let block = json!({"block_id": "welcome", "children": [{"type": "to_do",
                       "to_do": {"rich_text": [{"text": {"content": "Read this."}}]}}]});
    done(&*notion, "API-patch-block-children", block).await;
    let read = ask(&*notion, "resources/read", uri).await.unwrap();
    let shown = read["contents"][0]["text"].as_str().unwrap();
    assert_eq!(shown, "# Welcome\n\nEverything about the river.\n\nRead this.\n");
}

#[derive(Debug, Default)]
struct Listener(Mutex<Vec<Value>>);

#[async_trait::async_trait]
impl Peer for Listener {
    fn notify(&self, notification: Notification) {
        assert_eq!(notification.method, Method::PROGRESS);
        self.0.lock().unwrap().push(notification.params.unwrap().get().unwrap());
    }
    async fn request(&self, _: Method, _: Option<RawJson>, _: Instant) -> Result<RawJson, Error> {
        Err(Error::new(Kind::InvalidRequest))
    }
}

fn waiting(peer: Arc<Listener>, token: bool) -> Call {
    let mut params = json!({"name": "browser_wait_for", "arguments": {"time": 5}});
    if token {
        params["_meta"] = json!({"progressToken": "p1"});
    }
    Call::new(Method::TOOLS_CALL, Some(params.into())).target("browser_wait_for").peer(peer)
}

#[tokio::test(start_paused = true)]
async fn progress_comes_in_order_while_the_call_runs() {
    let (browser, peer) = (new("playwright"), Arc::new(Listener::default()));
    let start = tokio::time::Instant::now();
    browser.call(&waiting(peer.clone(), true)).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    let told = peer.0.lock().unwrap().clone();
    let counts: Vec<u64> = told.iter().map(|step| step["progress"].as_u64().unwrap()).collect();
    assert_eq!(counts, (1..=10).collect::<Vec<_>>());
    assert!(told.iter().all(|step| step["progressToken"] == "p1" && step["total"] == 10));
    assert_eq!(told[0]["message"], "waited 0.50 s");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_no_progress_gets_none() {
    let (browser, peer) = (new("playwright"), Arc::new(Listener::default()));
    browser.call(&waiting(peer.clone(), false)).await.unwrap();
    assert!(peer.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_deadline() {
    let (browser, peer) = (new("playwright"), Arc::new(Listener::default()));
    let start = tokio::time::Instant::now();
    let call =
        waiting(peer.clone(), true).deadline(TokioClock.now() + Duration::from_millis(1_200));
    let error = browser.call(&call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_millis(1_300));
    assert_eq!(peer.0.lock().unwrap().len(), 2);
}
