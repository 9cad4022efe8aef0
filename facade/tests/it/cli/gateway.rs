//! `toolweir serve` and `toolweir health`.

use std::time::Duration;

use serde_json::json;
use toolweir::core::{Call, Clock, Server, TokioClock};
use toolweir::wire::{Endpoint, HttpServer, Options};

use super::{Folder, Gateway, KILL, PATIENCE, TERM, is_alive, kill, run, two_servers};

fn client(gateway: &Gateway) -> HttpServer {
    HttpServer::new("gateway", Endpoint::new(&gateway.url()).unwrap(), Options::default()).unwrap()
}

async fn search(client: &HttpServer) -> String {
    let arguments = json!({ "query": "weir" }).into();
    let call = Call::tool("hub__search_repositories", &arguments).unwrap();
    let call = call.deadline(TokioClock.now() + PATIENCE);
    client.call(&call).await.unwrap().result.as_str().to_owned()
}

#[tokio::test]
async fn a_signal_ends_it_and_no_child_is_left() {
    for signal in [TERM, 2] {
        let gateway = Gateway::start(&two_servers(""), &[]).await;
        let client = client(&gateway);
        assert!(search(&client).await.contains("river/weir"));
        let children = gateway.children(2, |_| true).await;
        assert!(children.iter().all(|child| is_alive(*child)));
        let begun = TokioClock.now();
        let run = gateway.end(signal).await;
        assert_eq!((run.exit, run.stdout.as_str()), (0, ""), "{run:?}");
        assert!(TokioClock.now() - begun < Duration::from_secs(8));
        for child in children {
            assert!(!is_alive(child), "{child}");
        }
    }
}

#[tokio::test]
async fn a_killed_child_is_replaced_and_the_next_call_answers() {
    let gateway = Gateway::start(&two_servers(""), &[]).await;
    let client = client(&gateway);
    assert!(search(&client).await.contains("river/weir"));
    let before = gateway.children(2, |_| true).await;
    kill(i32::try_from(before[0]).unwrap(), KILL);
    let after = gateway.children(2, |now| now[0] != before[0]).await;
    assert_eq!(after[1], before[1], "the other server is left alone");
    assert!(search(&client).await.contains("river/weir"));
    assert_eq!(gateway.end(TERM).await.exit, 0);
    assert!(!is_alive(after[0]));
}

#[tokio::test]
async fn other_machines_need_a_token() {
    let folder = Folder::with(r#"{"mcpServers":{"s":{"capabilities":["c"]}}}"#);
    for address in ["0.0.0.0:0", "[::]:0"] {
        let plain = run(&folder, &["serve", "--listen", address]).await;
        assert_eq!(plain.exit, 6, "{plain:?}");
        assert!(plain.stderr.contains("no token is configured"), "{plain:?}");
        let json = run(&folder, &["serve", "--listen", address, "--json"]).await;
        assert_eq!(json.error()["code"], "config");
    }
    let config = r#"{"mcpServers":{"s":{"capabilities":["c"]}},"toolweir":{"token":"${PROGRAM}"}}"#;
    let gateway = Gateway::start(config, &["--listen", "0.0.0.0:0"]).await;
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_of() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run =
        run(&Folder::with(&two_servers("")), &["serve", "--listen", &address, "--json"]).await;
    assert_eq!(run.exit, 1, "{run:?}");
    assert!(run.error()["message"].as_str().unwrap().contains(&address), "{run:?}");
}

#[tokio::test]
async fn health_tells_of_every_server() {
    let config = r#"{
      "mcpServers": {
        "hub": { "command": "${PROGRAM}", "args": ["demo-server", "github"] },
        "dead": { "command": "/nonexistent/toolweir-test" }
      },
      "toolweir": { "listen": "127.0.0.1:0", "admin": "127.0.0.1:0" }
    }"#;
    let gateway = Gateway::start(config, &[]).await;
    let client = client(&gateway);
    assert!(search(&client).await.contains("river/weir"));
    let health = gateway.health(&[]).await;
    assert_eq!(health.exit, 7, "one of two is not there: {health:?}");
    let told = health.json();
    assert_eq!(told["servers"]["hub"]["total_operations"], 1);
    assert_eq!(told["upstreams"][1]["health_status"], "unhealthy");
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn a_rule_fires_and_ends_in_the_log_and_in_health() {
    let rules = r#", "alerts": { "rules": {
        "errors": { "kind": "errorRate", "abovePercent": 50, "minOperations": 2, "severity": "critical" } } }"#;
    let gateway = Gateway::start(&two_servers(rules), &[]).await;
    let client = client(&gateway);
    for _ in 0..2 {
        let call = Call::tool("hub__search_repositories", &json!({}).into()).unwrap();
        assert!(client.call(&call.deadline(TokioClock.now() + PATIENCE)).await.unwrap().is_error);
    }
    let health = gateway.health(&[]).await.json();
    let alert = &health["active_alerts"][0];
    assert_eq!((&alert["type"], &alert["rule"]), (&json!("rule"), &json!("errors")), "{health}");
    assert_eq!((&alert["server"], &alert["value"]), (&json!("hub"), &json!(1.0)), "{health}");
    gateway.told(r#"alert raised rule severity=critical server="hub" rule="errors""#).await;
    let metrics = gateway.page("/metrics").await;
    assert!(metrics.contains("toolweir_alerts_active{severity=\"critical\"} 1\n"), "{metrics}");
    for _ in 0..8 {
        search(&client).await;
    }
    assert_eq!(gateway.health(&[]).await.json()["active_alerts"], json!([]), "a fifth is well");
    gateway.told(r#"alert resolved rule severity=critical server="hub" rule="errors""#).await;
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn a_refusal_says_whose_limit_it_is_and_when_to_come_again() {
    let config = r#"{
      "mcpServers": {
        "hub": { "command": "${PROGRAM}", "args": ["demo-server", "github"],
                 "rateLimitPerUser": { "requestsPerSecond": 0.01, "burst": 2 },
                 "tools": { "search_repositories": { "rateLimit": { "requestsPerSecond": 0.02, "burst": 1 } } } }
      },
      "toolweir": { "listen": "127.0.0.1:0", "admin": "127.0.0.1:0" }
    }"#;
    let gateway = Gateway::start(config, &[]).await;
    let client = client(&gateway);
    assert!(search(&client).await.contains("river/weir"));
    let refused = async |tool: &str, arguments: serde_json::Value| {
        let call = Call::tool(tool, &arguments.into()).unwrap();
        let error = client.call(&call.deadline(TokioClock.now() + PATIENCE)).await.unwrap_err();
        error.rpc().unwrap().get::<serde_json::Value>().unwrap()
    };
    let error = refused("hub__search_repositories", json!({ "query": "weir" })).await;
    assert_eq!(
        (&error["code"], &error["data"]["kind"]),
        (&json!(-31002), &json!("tool_rate_limited"))
    );
    let text = error["message"].as_str().unwrap();
    assert!(
        text.starts_with("rate limit of a tool of `hub` reached: `search_repositories`; "),
        "{text}"
    );
    let wait = error["data"]["retryAfterMs"].as_u64().unwrap();
    assert!((30_000..=50_000).contains(&wait), "{error}");
    let files = json!({ "owner": "river", "repo": "weir", "path": "" });
    let call = Call::tool("hub__get_file_contents", &files.clone().into()).unwrap();
    client.call(&call.deadline(TokioClock.now() + PATIENCE)).await.unwrap();
    let error = refused("hub__get_file_contents", files).await;
    assert_eq!(error["data"]["kind"], "user_rate_limited", "{error}");
    let text = error["message"].as_str().unwrap();
    assert!(text.starts_with("your own rate limit at `hub` is reached; retry in "), "{text}");
    let metrics = gateway.page("/metrics").await;
    for scope in ["tool", "user"] {
        let line = format!("decision=\"refused\",scope=\"{scope}\",server=\"hub\"}} 1\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert_eq!(gateway.end(TERM).await.exit, 0);
}

#[tokio::test]
async fn health_of_nobody_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let run = run(&Folder::new(), &["health", "--url", &url, "--json"]).await;
    assert_eq!((run.exit, run.stdout.as_str()), (4, ""), "{run:?}");
    assert_eq!(run.error()["code"], "unreachable");
}
