//! What an entry says of its server as a whole.

use std::time::Duration;

use super::upstream::Upstream;
use super::{at_url, call, started};

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
