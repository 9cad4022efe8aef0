//! `toolweir call` and `toolweir route`.

use super::{Folder, run, two_servers};

const WHERE: [&str; 4] = ["--tool-arg", "owner=river", "--tool-arg", "repo=weir"];

#[tokio::test]
async fn arguments_are_json_where_they_read_as_such() {
    let folder = Folder::with(&two_servers(""));
    let title = ["call", "hub__update_issue", "--json", "--tool-arg", "issue_number=1"];
    // A number as a number, and `7 up`, which is none, as text.
    let coerced = run(&folder, &[&title[..], &WHERE, &["--tool-arg", "title=7 up"]].concat()).await;
    assert_eq!(coerced.exit, 0, "{coerced:?}");
    let text = coerced.json()["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains(r#""title": "7 up""#), "{text}");
    // A number where the tool wants text is the tool's own error.
    let refused = run(&folder, &[&title[..], &WHERE, &["--tool-arg", "title=7"]].concat()).await;
    assert_eq!(refused.exit, 5, "{refused:?}");
    assert_eq!(refused.json()["isError"], true);
    let whole = r#"{"owner":"river","repo":"weir","issue_number":1,"title":"7"}"#;
    let given = run(&folder, &["call", "hub__update_issue", "--tool-args-json", whole]).await;
    assert_eq!(given.exit, 0, "{given:?}");
    assert!(given.stdout.contains(r#""title": "7""#), "{given:?}");
    assert!(given.stderr.contains("answered by hub"), "{given:?}");
}

#[tokio::test]
async fn an_unknown_tool_is_a_mistake_of_usage_that_names_near_ones() {
    let folder = Folder::with(&two_servers(""));
    let json = run(&folder, &["call", "hub__creat_isue", "--json"]).await;
    assert_eq!((json.exit, json.stdout.as_str()), (2, ""), "{json:?}");
    assert_eq!(json.error()["code"], "not_found");
    let plain = run(&folder, &["call", "hub__creat_isue"]).await;
    assert!(plain.stderr.contains("did you mean `hub__create_issue`"), "{plain:?}");
    let bare = run(&folder, &["call", "create_issue"]).await;
    assert!(bare.stderr.contains("did you mean `hub__create_issue`"), "{bare:?}");
    let far = run(&folder, &["call", "weather"]).await;
    assert!(far.exit == 2 && !far.stderr.contains("did you mean"), "{far:?}");
    assert!(far.stderr.contains("toolweir list"), "{far:?}");
}

#[tokio::test]
async fn a_dead_server_is_unreachable_and_named() {
    let config = r#"{ "mcpServers": { "dead": { "command": "/nonexistent/toolweir-test" } } }"#;
    let run = run(&Folder::with(config), &["call", "dead__x", "--json"]).await;
    assert_eq!((run.exit, run.stdout.as_str()), (4, ""), "{run:?}");
    let error = run.error();
    assert_eq!((&error["code"], &error["server"]), (&"unreachable".into(), &"dead".into()));
}

#[tokio::test]
async fn requests_are_routed_by_their_type() {
    let folder = Folder::with(&two_servers(""));
    let json = run(
        &folder,
        &[
            "route",
            "repository_management",
            "action=list_issues",
            "owner=river",
            "repo=weir",
            "--json",
        ],
    )
    .await;
    assert_eq!(json.exit, 0, "{json:?}");
    assert!(json.stdout.contains("The gate sticks"), "{json:?}");
    let plain = run(&folder, &["route", "notifications", "channel=C0001", "text=high water"]).await;
    assert_eq!(plain.exit, 0, "{plain:?}");
    assert!(plain.stderr.contains("answered by chat"), "{plain:?}");
    let nobody = run(&folder, &["route", "documentation", "query=x", "--json"]).await;
    assert_eq!(nobody.exit, 4, "{nobody:?}");
    assert_eq!(nobody.error()["code"], "no_server");
    assert!(nobody.error()["message"].as_str().unwrap().contains("notion"), "{nobody:?}");
    let unknown = run(&folder, &["route", "weather", "--json"]).await;
    assert_eq!(unknown.exit, 4, "{unknown:?}");
    let unclear = run(&folder, &["route", "repository_management", "--json"]).await;
    assert_eq!(unclear.exit, 2, "{unclear:?}");
}
