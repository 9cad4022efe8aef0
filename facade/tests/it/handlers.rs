//! From a request to a tool: the built-in rules against what the packages list, and those of a configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use toolweir::demo::servers;
use toolweir::handlers::{Handlers, Rule, Unresolved};

struct Package {
    source: String,
    /// Properties and required ones by tool.
    tools: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
}

fn packages() -> BTreeMap<String, Package> {
    let fixture: Value =
        serde_json::from_str(include_str!("../fixtures/published-tools.json")).unwrap();
    let texts = |list: &Value| serde_json::from_value::<BTreeSet<String>>(list.clone()).unwrap();
    let read = |package: &Value| {
        let text = |key: &str| package[key].as_str().unwrap();
        let tools = package["tools"].as_object().unwrap().iter();
        let tools = tools
            .map(|(name, tool)| {
                (name.clone(), (texts(&tool["properties"]), texts(&tool["required"])))
            })
            .collect();
        let source = format!("{} {}", text("name"), text("version"));
        (text("system").to_owned(), Package { source, tools })
    };
    fixture["packages"].as_array().unwrap().iter().map(read).collect()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}

fn resolve(
    request_type: &str,
    request: Value,
    tools: &[&str],
) -> Result<(String, Value), Unresolved> {
    let has_tool = |tool: &str| tools.contains(&tool);
    let resolved = Handlers::builtin().resolve(request_type, &object(request), &has_tool)?;
    Ok((resolved.tool, resolved.arguments.get().unwrap()))
}

#[test]
fn the_fixture_holds_what_the_packages_list() {
    let counts: BTreeMap<String, usize> =
        packages().into_iter().map(|(system, package)| (system, package.tools.len())).collect();
    let expected =
        [("github", 26), ("slack", 8), ("notion", 24), ("firebase", 42), ("playwright", 25)];
    assert_eq!(counts, expected.map(|(system, count)| (system.to_owned(), count)).into());
}

#[test]
fn every_default_route_has_a_handler_of_the_same_system() {
    let handlers = Handlers::builtin();
    let routes = toolweir_router::Routes::default();
    let types: Vec<&str> = handlers.request_types().collect();
    assert_eq!(types.len(), 5);
    for request_type in types {
        let capabilities: Vec<String> =
            routes.get(request_type).unwrap().iter().map(ToString::to_string).collect();
        for rule in handlers.rules(request_type) {
            assert_eq!(capabilities, [rule.capability.as_deref().unwrap()], "{request_type}");
        }
    }
}

/// A rule names only tools and arguments that its package lists, and no request that it lets through lacks one that
/// the tool requires.
#[test]
fn every_built_in_rule_fits_the_published_tools() {
    let packages = packages();
    let handlers = Handlers::builtin();
    let mut systems = BTreeSet::new();
    for request_type in handlers.request_types() {
        for rule in handlers.rules(request_type) {
            let system = rule.capability.as_deref().unwrap();
            let package = &packages[system];
            systems.insert(system.to_owned());
            assert_eq!(rule.source.as_deref(), Some(package.source.as_str()));
            let (properties, required) =
                package.tools.get(&rule.tool).unwrap_or_else(|| panic!("no tool {}", rule.tool));
            let named = rule
                .rename
                .values()
                .chain(rule.given.iter().flatten())
                .chain(rule.build.keys())
                .chain(rule.defaults.keys())
                .chain(&rule.text)
                .chain(&rule.required);
            for argument in named {
                assert!(properties.contains(argument), "{} takes no {argument}", rule.tool);
            }
            for (from, to) in &rule.rename {
                assert!(!properties.contains(from), "{}: {from} is its own, not {to}", rule.tool);
            }
            let enforced: BTreeSet<&String> = rule.required.iter().collect();
            for argument in required {
                assert!(enforced.contains(argument), "{} requires {argument}", rule.tool);
            }
            for request in requests(rule) {
                let has_tool = |tool: &str| tool == rule.tool;
                let resolved = handlers.resolve(request_type, &request, &has_tool).unwrap();
                assert_eq!(resolved.tool, rule.tool);
                let sent: Map<String, Value> = resolved.arguments.get().unwrap();
                let sent: BTreeSet<String> = sent.keys().cloned().collect();
                assert!(sent.is_subset(properties), "{}: {sent:?}", rule.tool);
                assert!(sent.is_superset(required), "{}: {sent:?}", rule.tool);
            }
        }
    }
    assert_eq!(systems.len(), 5);
}

/// The least that asks for the rule's tool: by each of its actions, and by what is given; under the tool's own names and
/// under the caller's.
fn requests(rule: &Rule) -> Vec<Map<String, Value>> {
    let callers = |argument: &String| {
        let renamed = rule.rename.iter().find(|(_, to)| *to == argument);
        renamed.map_or(argument, |(from, _)| from).clone()
    };
    let least: Vec<&String> =
        rule.required.iter().filter(|name| !rule.defaults.contains_key(*name)).collect();
    let built = |argument: &&String| rule.build.contains_key(*argument);
    let own: Map<String, Value> = least.iter().map(|name| ((*name).clone(), json!("x"))).collect();
    let mut others: Map<String, Value> =
        least.iter().filter(|name| !built(name)).map(|name| (callers(name), json!("x"))).collect();
    let templates = Value::Object(rule.build.clone()).to_string();
    for part in templates.split("\"$").skip(1) {
        others.insert(part.split('"').next().unwrap().to_owned(), json!("x"));
    }
    let mut requests = Vec::new();
    for arguments in [own, others] {
        for action in &rule.actions {
            let mut request = arguments.clone();
            request.insert("action".to_owned(), json!(action));
            requests.push(request);
        }
        if let Some(given) = &rule.given {
            let mut request = arguments;
            for name in given.iter().filter(|name| !rule.required.contains(name)) {
                request.insert(name.clone(), json!("x"));
            }
            requests.push(request);
        }
    }
    assert!(!requests.is_empty(), "{}: nothing asks for it", rule.tool);
    requests
}

#[test]
fn no_action_stands_in_two_rules_of_a_type() {
    let handlers = Handlers::builtin();
    for request_type in handlers.request_types() {
        let mut seen = BTreeSet::new();
        for action in handlers.rules(request_type).flat_map(|rule| &rule.actions) {
            assert!(seen.insert(action), "{request_type}: {action}");
        }
    }
}

#[test]
fn requests_become_calls() {
    let cases = [
        (
            "repository_management",
            json!({"action": "create_issue", "owner": "river", "repo": "weir", "title": "Leak", "labels": ["bug"]}),
            (
                "create_issue",
                json!({"owner": "river", "repo": "weir", "title": "Leak", "labels": ["bug"]}),
            ),
        ),
        (
            "repository_management",
            json!({"action": "close_issue", "owner": "river", "repo": "weir", "number": 7}),
            (
                "update_issue",
                json!({"owner": "river", "repo": "weir", "issue_number": 7, "state": "closed"}),
            ),
        ),
        (
            "repository_management",
            json!({"query": "weir", "per_page": 5}),
            ("search_repositories", json!({"query": "weir", "perPage": 5})),
        ),
        (
            "repository_management",
            json!({"owner": "river", "repo": "weir", "path": "README.md"}),
            ("get_file_contents", json!({"owner": "river", "repo": "weir", "path": "README.md"})),
        ),
        (
            "notifications",
            json!({"channel": "C1", "text": "High water"}),
            ("slack_post_message", json!({"channel_id": "C1", "text": "High water"})),
        ),
        (
            "notifications",
            json!({"channel_id": "C1", "message": "Noted", "thread_ts": "1.2"}),
            (
                "slack_reply_to_thread",
                json!({"channel_id": "C1", "text": "Noted", "thread_ts": "1.2"}),
            ),
        ),
        (
            "notifications",
            json!({"action": "history", "channel": "C1", "limit": 3}),
            ("slack_get_channel_history", json!({"channel_id": "C1", "limit": 3})),
        ),
        (
            "documentation",
            json!({"page_id": "p"}),
            ("API-retrieve-a-page", json!({"page_id": "p"})),
        ),
        (
            "documentation",
            json!({"query": "frost"}),
            ("API-post-search", json!({"query": "frost"})),
        ),
        (
            "documentation",
            json!({"action": "create", "parent_id": "p", "title": "Frost"}),
            (
                "API-post-page",
                json!({"parent": {"page_id": "p"}, "properties": {"title": [{"text": {"content": "Frost"}}]}}),
            ),
        ),
        (
            "documentation",
            json!({"action": "create", "parent_id": "p", "properties": {"Name": 1}}),
            ("API-post-page", json!({"parent": {"page_id": "p"}, "properties": {"Name": 1}})),
        ),
        (
            "database",
            json!({"collection": "gauges", "limit": 2}),
            (
                "firestore_query_collection",
                json!({"collection_path": "gauges", "filters": [], "limit": 2}),
            ),
        ),
        ("database", json!({"path": "/a"}), ("realtimedatabase_get_data", json!({"path": "/a"}))),
        (
            "database",
            json!({"path": "/a", "value": {"n": 1}}),
            ("realtimedatabase_set_data", json!({"path": "/a", "data": "{\"n\":1}"})),
        ),
        (
            "database",
            json!({"action": "set", "path": "/a", "data": "[1]"}),
            ("realtimedatabase_set_data", json!({"path": "/a", "data": "[1]"})),
        ),
        (
            "web_automation",
            json!({"url": "https://river.example"}),
            ("browser_navigate", json!({"url": "https://river.example"})),
        ),
        (
            "web_automation",
            json!({"action": "click", "selector": "#send"}),
            ("browser_click", json!({"target": "#send"})),
        ),
        (
            "web_automation",
            json!({"action": "screenshot"}),
            ("browser_take_screenshot", json!({"scale": "css"})),
        ),
        (
            "web_automation",
            json!({"action": "tabs", "tab_action": "close"}),
            ("browser_tabs", json!({"action": "close"})),
        ),
    ];
    let packages = packages();
    let tools: Vec<&str> =
        packages.values().flat_map(|package| package.tools.keys()).map(String::as_str).collect();
    for (request_type, request, (tool, arguments)) in cases {
        let resolved = resolve(request_type, request.clone(), &tools);
        assert_eq!(resolved, Ok((tool.to_owned(), arguments)), "{request_type} {request}");
    }
}

#[test]
fn who_knows_the_tool_names_it() {
    let call = |request_type, request| resolve(request_type, request, &["sweep"]);
    let arguments = json!({"deep": true});
    let explicit = json!({"tool": "sweep", "arguments": arguments});
    for request_type in ["notifications", "cleaning"] {
        let expected = Ok(("sweep".to_owned(), arguments.clone()));
        assert_eq!(call(request_type, explicit.clone()), expected);
        let by_action = json!({"action": "sweep", "deep": true});
        assert_eq!(call(request_type, by_action), expected);
    }
    assert_eq!(call("cleaning", json!({"tool": "sweep"})), Ok(("sweep".to_owned(), json!({}))));
}

#[test]
fn what_does_not_fit_says_why() {
    let slack = ["slack_post_message", "slack_list_channels"];
    let cases = [
        (
            "notifications",
            json!({"channel": "C1"}),
            "`slack_post_message` needs `message` (or `text`)",
        ),
        (
            "notifications",
            json!({}),
            "`slack_post_message` needs `channel` (or `channel_id`), `message` (or `text`)",
        ),
        (
            "notifications",
            json!({"channel": "a", "channel_id": "b", "text": "c"}),
            "`channel` and `channel_id` both give `slack_post_message` its `channel_id`: leave one out",
        ),
        (
            "notifications",
            json!({"action": "get_user", "user": "U"}),
            "the server has no tool `slack_get_user_profile`",
        ),
        ("notifications", json!({"action": 7}), "`action` must be a string"),
        ("notifications", json!({"tool": 7}), "`tool` must be a string"),
        (
            "notifications",
            json!({"tool": "slack_list_channels", "arguments": []}),
            "`arguments` must be an object",
        ),
        ("notifications", json!({"tool": "gone"}), "the server has no tool `gone`"),
        (
            "notifications",
            json!({"tool": "slack_list_channels", "limit": 3}),
            "`limit` cannot stand beside `tool`: put the tool's arguments into `arguments`",
        ),
        ("cleaning", json!({}), "`cleaning` has no handler: give `tool` and `arguments`"),
    ];
    for (request_type, request, expected) in cases {
        let error = resolve(request_type, request, &slack).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let shout = resolve("notifications", json!({"action": "shout"}), &slack).unwrap_err();
    assert!(matches!(&shout, Unresolved::UnknownAction { known, .. } if known.len() == 8));
    let unclear = resolve("database", json!({"limit": 1}), &slack).unwrap_err();
    assert!(matches!(unclear, Unresolved::Unclear { .. }));
    let part = json!({"action": "create", "title": "Frost"});
    let missing = resolve("documentation", part, &["API-post-page"]).unwrap_err();
    assert_eq!(missing.to_string(), "`API-post-page` needs `parent_id` (or `parent`)");
}

/// The tools and arguments that come out are really taken, here by the servers of the demonstration.
#[tokio::test]
async fn the_demonstration_answers_routed_requests() {
    let cases = [
        ("github", "repository_management", json!({"query": "river"})),
        (
            "github",
            "repository_management",
            json!({"action": "create_issue", "owner": "river", "repo": "weir", "title": "Leak"}),
        ),
        ("slack", "notifications", json!({"channel": "C0002", "text": "High water"})),
        ("notion", "documentation", json!({"page_id": "runbook"})),
        (
            "notion",
            "documentation",
            json!({"action": "create", "parent_id": "welcome", "title": "Frost"}),
        ),
        (
            "notion",
            "documentation",
            json!({"action": "append", "page_id": "runbook", "text": "Rest."}),
        ),
        ("firebase", "database", json!({"collection": "gauges"})),
        ("firebase", "database", json!({"path": "/gauges/east", "data": {"level": 3}})),
        ("playwright", "web_automation", json!({"url": "https://river.example"})),
    ];
    for (kind, request_type, request) in cases {
        let server = servers::server(kind).unwrap();
        let list = toolweir::core::Call::new(toolweir::core::Method::TOOLS_LIST, None);
        let listed: Value = server.call(&list).await.unwrap().result.get().unwrap();
        let tools: Vec<&str> = listed["tools"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        let (tool, arguments) = resolve(request_type, request, &tools).unwrap();
        let call = toolweir::core::Call::tool(&tool, &arguments.into()).unwrap();
        let reply = server.call(&call).await.unwrap();
        assert!(!reply.is_error, "{tool}: {}", reply.result.as_str());
    }
}

fn with(handler: Value) -> Result<Handlers, toolweir::handlers::InvalidHandler> {
    Handlers::builtin().with("notifications", &handler)
}

#[test]
fn a_configured_rule_comes_before_the_built_in_ones() {
    let handlers = with(json!({
        "tool": "chat_send",
        "rename": {"channel": "room"},
        "build": {"body": {"text": "$text", "price": "$$1"}},
        "defaults": {"silent": false},
        "required": ["room", "body"],
    }))
    .unwrap();
    let request = object(json!({"channel": "C1", "text": "hi"}));
    let resolved = handlers.resolve("notifications", &request, &|_| true).unwrap();
    assert_eq!(resolved.tool, "chat_send");
    let sent: Value = resolved.arguments.get().unwrap();
    assert_eq!(sent, json!({"room": "C1", "silent": false, "body": {"text": "hi", "price": "$1"}}));

    // A server without that tool still gets what the built-in rules say.
    let slack = |tool: &str| tool == "slack_post_message";
    assert_eq!(
        handlers.resolve("notifications", &request, &slack).unwrap().tool,
        "slack_post_message"
    );

    let rules = json!({"rules": [
        {"tool": "a", "action": "one"},
        {"tool": "b", "given": ["x"]},
    ]});
    let handlers = Handlers::builtin().with("cleaning", &rules).unwrap();
    let tool = |request| handlers.resolve("cleaning", &object(request), &|_| true).unwrap().tool;
    assert_eq!(tool(json!({"action": "one"})), "a");
    assert_eq!(tool(json!({"x": 1})), "b");
}

/// A tool that has an `action` of its own gets it where the rule does not choose by it.
#[test]
fn an_action_that_chose_nothing_is_an_argument() {
    let handlers = with(json!({"tool": "tabs"})).unwrap();
    let request = object(json!({"action": "close"}));
    let resolved = handlers.resolve("notifications", &request, &|tool| tool == "tabs").unwrap();
    assert_eq!(resolved.arguments.as_str(), r#"{"action":"close"}"#);
}

#[test]
fn a_wrong_handler_tells_its_place() {
    let cases = [
        (json!("slack"), "", "a handler must be an object"),
        (json!({}), "", "a handler names no tool"),
        (json!({"tool": ""}), "/tool", "`tool` must be a string that is not empty"),
        (json!({"tool": "a", "renmae": {}}), "/renmae", "`renmae` is unknown"),
        (json!({"tool": "a", "rename": {"b/c": 1}}), "/rename/b~1c", "`b/c` must be a string"),
        (json!({"tool": "a", "given": "b"}), "/given", "`given` must be a list"),
        (json!({"tool": "a", "action": ["b", 1]}), "/action/1", "item 2 of `action` must be"),
        (json!({"tool": "a", "defaults": []}), "/defaults", "`defaults` must be an object"),
        (json!({"rules": []}), "/rules", "`rules` is empty"),
        (json!({"rules": [{"tool": "a"}, {}]}), "/rules/1", "item 2 of `rules` names no tool"),
        (json!({"rules": [], "tool": "a"}), "/tool", "`tool` cannot stand beside `rules`"),
    ];
    for (handler, pointer, what) in cases {
        let error = with(handler.clone()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{handler}");
        assert!(error.what.starts_with(what), "{handler}: {}", error.what);
        assert!(!error.help.is_empty());
    }
}
