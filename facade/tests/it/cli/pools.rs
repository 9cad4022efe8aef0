//! Pools of real processes.

use serde_json::{Value, json};
use toolweir::core::{Call, Clock, Error, RawJson, Server, TokioClock};
use toolweir::wire::{Endpoint, HttpServer, Options};

use super::{Folder, Gateway, KILL, PATIENCE, TERM, kill, run};

/// Two that do the same by different names, and the inside of the pool `tickets`.
fn config(pool: &str) -> String {
    format!(
        r#"{{
          "mcpServers": {{
            "hub": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "github"], "trusted": true, "breaker": false }},
            "spare": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "github"], "trusted": true, "breaker": false }},
            "chat": {{ "command": "${{PROGRAM}}", "args": ["demo-server", "slack"], "trusted": true, "breaker": false }},
          }},
          "toolweir": {{
            "listen": "127.0.0.1:0", "admin": "127.0.0.1:0",
            "pools": {{ {pool} }},
          }},
        }}"#
    )
}

const TICKETS: &str = r#"
  "code": { "servers": ["hub", "spare"] },
  "tell": {
    "servers": ["hub", "chat"],
    "tools": {
      "tell": {
        "members": {
          "chat": { "tool": "slack_post_message", "rename": { "channel": "channel_id" } },
          "hub": { "tool": "create_issue", "rename": { "text": "title" }, "set": { "owner": "river", "repo": "weir" }, "drop": ["channel"] },
        },
      },
    },
  },"#;

async fn ask(gateway: &Gateway, tool: &str, arguments: Value) -> Result<RawJson, Error> {
    let endpoint = Endpoint::new(&gateway.url()).unwrap();
    let client = HttpServer::new("gateway", endpoint, Options::default()).unwrap();
    let call = Call::tool(tool, &RawJson::from(arguments)).unwrap();
    let reply = client.call(&call.deadline(TokioClock.now() + PATIENCE)).await;
    reply.map(|reply| reply.result)
}

#[tokio::test]
async fn the_other_member_answers_while_one_is_killed_again_and_again() {
    let gateway = Gateway::start(&config(TICKETS), &[]).await;
    gateway.told("chat: ready").await;
    let children = gateway.children(3, |_| true).await;
    let query = || json!({ "query": "weir" });
    ask(&gateway, "code__search_repositories", query()).await.unwrap();
    for process in &children[..2] {
        kill(i32::try_from(*process).unwrap(), KILL);
        for _ in 0..5 {
            ask(&gateway, "code__search_repositories", query()).await.unwrap();
        }
        // The one that was killed is there again before the other is.
        gateway.children(3, |now| !now.contains(process)).await;
    }
    let health: Value = gateway.health(&[]).await.json();
    let pools = &health["pools"];
    assert_eq!(
        pools[0]["tools"]["code__create_issue"],
        json!({ "hub": "create_issue", "spare": "create_issue" })
    );
    assert_eq!(
        pools[1]["tools"],
        json!({ "tell__tell": { "chat": "slack_post_message", "hub": "create_issue" } })
    );
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn a_pool_is_listed_explained_checked_and_called() {
    let folder = Folder::with(&config(TICKETS));
    let checked = run(&folder, &["check"]).await;
    assert_eq!(checked.stdout, "ok: 3 servers: hub, spare, chat; pools: code, tell\n");
    let listed = run(&folder, &["list"]).await;
    assert_eq!(listed.exit, 0, "{listed:?}");
    assert!(
        listed.stdout.contains(
            "pool tell (hub, chat)\n  tell__tell: slack_post_message of chat, create_issue of hub"
        ),
        "{listed:?}"
    );
    let explained = run(&folder, &["explain", "tell__tell"]).await;
    assert_eq!(explained.exit, 0, "{explained:?}");
    for line in [
        "tell__tell of the pool tell\n",
        "hub, which knows it as `create_issue`",
        r#"arguments `create_issue`; `text` is its `title`; without `channel`; `owner` is "river"; `repo` is "weir""#,
        "arguments `slack_post_message`; `channel` is its `channel_id`",
        "repeated  no: ",
    ] {
        assert!(explained.stdout.contains(line), "{line}: {}", explained.stdout);
    }
    let called = run(
        &folder,
        &["call", "tell__tell", "--tool-arg", "text=high water", "--tool-arg", "channel=C0001"],
    )
    .await;
    assert_eq!(called.exit, 0, "{called:?}");
    assert!(called.stdout.contains("high water"), "{called:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_pool_is_told_where_it_can_be_known() {
    let wrong = TICKETS.replace("slack_post_message", "slack_post_mesage");
    let wrong = wrong.replace(r#""set": {"#, r#""set": { "label": 1,"#);
    let folder =
        Folder::with(&config(&wrong).replace("\"pools\"", "\"stateDir\": \"kept\", \"pools\""));
    assert_eq!(run(&folder, &["check"]).await.exit, 0, "nothing is known of the tools yet");
    let listed = run(&folder, &["list"]).await;
    assert_eq!(listed.exit, 7, "{listed:?}");
    let told = [
        "`tell__tell` leaves `hub` out: `create_issue` there takes no `label`",
        "`tell__tell` leaves `chat` out: it has no tool `slack_post_mesage`",
    ];
    let checked = run(&folder, &["check"]).await;
    for (line, text) in [(17, told[0]), (16, told[1])] {
        let line = format!("warning: toolweir.jsonc:{line}:11: {text}");
        assert!(listed.stdout.contains(&line), "{line}: {listed:?}");
        assert!(
            checked.stdout.contains(&line),
            "from the lists that were kept: {line}: {checked:?}"
        );
    }
    let gateway = Gateway::start_in(folder, &[]).await;
    let health: Value = gateway.health(&[]).await.json();
    assert!(health["problems"].to_string().contains(told[1]), "{health}");
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn pools_change_with_the_file() {
    let gateway = Gateway::start(&config(""), &[]).await;
    gateway.told("chat: ready").await;
    let query = || json!({ "query": "weir" });
    assert!(ask(&gateway, "code__search_repositories", query()).await.is_err());
    std::fs::write(gateway.folder().join("toolweir.jsonc"), config(TICKETS)).unwrap();
    gateway.told("configuration taken up: changed the pools code, tell; 3 unchanged").await;
    ask(&gateway, "code__search_repositories", query()).await.unwrap();
    let broken = config(TICKETS).replace(r#""spare"] }"#, r#""spares"] }"#);
    std::fs::write(gateway.folder().join("toolweir.jsonc"), broken).unwrap();
    gateway.told("did you mean `spare`?").await;
    ask(&gateway, "code__search_repositories", query()).await.unwrap();
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn the_example_runs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pools.jsonc");
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace(r#""command": "toolweir""#, r#""command": "${PROGRAM}""#);
    for (away, said) in
        [("nobody", "tell__tell"), ("slack", "high water"), ("github", "high water")]
    {
        // Where one cannot be started, the other is told.
        let folder = Folder::with(&text.replace(&format!("\"{away}\""), "\"no-such-server\""));
        let listed = run(&folder, &["list"]).await;
        assert!(listed.stdout.contains("tell__tell: "), "{listed:?}");
        let arguments =
            ["call", "tell__tell", "--tool-arg", "channel=C0001", "--tool-arg", "text=high water"];
        let called = run(&folder, &arguments).await;
        assert_eq!(called.exit, 0, "without {away}: {called:?}");
        assert!(called.stdout.contains(said) || away == "nobody", "without {away}: {called:?}");
    }
}
