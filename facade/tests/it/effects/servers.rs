//! What an entry says of its server as a whole.

use std::time::Duration;

use std::sync::Arc;

use toolweir::Orchestrator;
use toolweir::core::{Call, Client, Error, Kind, Principal, RawJson, Reply};

use super::upstream::Upstream;
use super::{PATIENCE, at_url, call, one, started};

#[tokio::test]
pub(super) async fn capabilities_are_what_a_server_is_found_by() {
    for (entry, found) in [("", 0), (r#""capabilities":["maps"]"#, 1)] {
        let upstream = Upstream::start().await;
        let orchestrator = started(&at_url(entry, ""), &upstream.url()).await;
        assert_eq!(orchestrator.capable(&["maps"]).len(), found, "{entry}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
pub(super) async fn the_prefix_stands_before_names() {
    for (entry, name) in
        [("", "s__plain"), (r#""prefix":"p""#, "p__plain"), (r#""prefix":"""#, "plain")]
    {
        let upstream = Upstream::start().await;
        let orchestrator = started(&at_url(entry, ""), &upstream.url()).await;
        assert!(orchestrator.servers()[0].tools.contains(&name.to_owned()), "{entry}");
        call(&orchestrator, name).await.unwrap();
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
pub(super) async fn a_trusted_server_is_believed() {
    for (entry, calls) in [(r#""trusted":true"#, 1), (r#""trusted":false"#, 2), ("", 2)] {
        let upstream = Upstream::start().await;
        let text = at_url(entry, r#""cache":{"ttlMs":60000}"#);
        let orchestrator = started(&text, &upstream.url()).await;
        for _ in 0..2 {
            call(&orchestrator, "s__read").await.unwrap();
        }
        assert_eq!(upstream.calls(), calls, "{entry}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
pub(super) async fn a_disabled_server_is_not_there() {
    for (entry, there) in [("", 1), (r#""disabled":false"#, 1), (r#""disabled":true"#, 0)] {
        let upstream = Upstream::start().await;
        let orchestrator = started(&at_url(entry, ""), &upstream.url()).await;
        assert_eq!(orchestrator.servers().len(), there, "{entry}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

async fn there(text: &str) -> Vec<String> {
    let upstream = Upstream::start().await;
    let orchestrator = started(text, &upstream.url()).await;
    let names = orchestrator.servers().into_iter().map(|server| server.name).collect();
    orchestrator.shutdown(Duration::from_secs(5)).await;
    names
}

#[tokio::test]
pub(super) async fn one_under_mcp_servers_is_there() {
    assert_eq!(there(r#"{"servers":{},"mcpServers":{"a":{"url":"${URL}"}}}"#).await, ["a"]);
    assert!(there(r#"{"servers":{},"mcpServers":{}}"#).await.is_empty());
}

#[tokio::test]
pub(super) async fn one_under_servers_is_there() {
    assert_eq!(there(r#"{"mcpServers":{},"servers":{"b":{"url":"${URL}"}}}"#).await, ["b"]);
}

/// A call by a legacy client of its own.
async fn call_by(client: &Arc<Client>, orchestrator: &Orchestrator) -> Result<Reply, Error> {
    let call = Call::tool("s__search_repositories", &RawJson::new(r#"{"query":"weir"}"#).unwrap());
    orchestrator.call(&call.unwrap().client(client.clone())).await
}

fn session() -> Arc<Client> {
    let mut client = Client::new(Principal::local());
    client.protocol_version = Some("2025-11-25".into());
    Arc::new(client)
}

async fn demo(entry: &str) -> Orchestrator {
    let entry = format!(r#""command":"${{PROGRAM}}","args":["demo-server","github"]{entry}"#);
    started(&one(&entry, ""), "").await
}

#[tokio::test]
pub(super) async fn each_client_can_have_an_instance_of_its_own() {
    for (entry, instances) in [
        ("", None),
        (r#","isolate":"client""#, Some(2)),
        (r#","isolate":{"by":"client"}"#, Some(2)),
    ] {
        let orchestrator = demo(entry).await;
        for client in [session(), session()] {
            call_by(&client, &orchestrator).await.unwrap();
        }
        assert_eq!(orchestrator.servers()[0].instances, instances, "{entry}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
pub(super) async fn so_many_clients_have_one_at_once() {
    for (entry, instances) in
        [(r#","isolate":{"by":"client","max":1}"#, 1), (r#","isolate":{"by":"client","max":2}"#, 2)]
    {
        let orchestrator = demo(entry).await;
        for client in [session(), session(), session()] {
            // Of what ends meanwhile there may be as many.
            let called = async {
                while let Err(error) = call_by(&client, &orchestrator).await {
                    assert_eq!(error.kind(), Kind::Overloaded);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, called).await.expect("there is room again");
        }
        assert_eq!(orchestrator.servers()[0].instances, Some(instances), "{entry}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
pub(super) async fn an_idle_instance_ends_after_so_long() {
    let orchestrator = demo(r#","isolate":{"by":"client","idleMs":60000}"#).await;
    call_by(&session(), &orchestrator).await.unwrap();
    super::later(Duration::from_secs(59)).await;
    assert_eq!(orchestrator.servers()[0].instances, Some(1));
    super::later(Duration::from_secs(2)).await;
    let ended = async {
        while orchestrator.servers()[0].instances != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    orchestrator.shutdown(Duration::from_secs(5)).await;
}
