//! How a server is reached.

use std::path::PathBuf;
use std::time::Duration;

use toolweir::Readiness;

use super::upstream::Upstream;
use super::{call, one, read, started};
use crate::peer::http::{Web, http};

/// The first tool of the one server, which tells which of the demonstration's servers it is.
async fn first_tool(entry: &str) -> Option<String> {
    let orchestrator = started(&one(entry, ""), "").await;
    let tools = orchestrator.servers().remove(0).tools;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    let is_known = |name: &String| name.contains("issue") || name.contains("slack");
    tools.into_iter().find(is_known)
}

const GITHUB: &str = "s__create_issue";
const SLACK: &str = "s__slack_add_reaction";

#[tokio::test]
pub(super) async fn the_command_is_started() {
    let entry = |command: &str| format!(r#""command":"{command}","args":["demo-server","github"]"#);
    assert_eq!(first_tool(&entry("${PROGRAM}")).await.as_deref(), Some(GITHUB));
    assert_eq!(first_tool(&entry("/nonexistent/toolweir-test")).await, None);
}

#[tokio::test]
pub(super) async fn args_reach_the_child() {
    let entry = |kind: &str| format!(r#""command":"${{PROGRAM}}","args":["demo-server","{kind}"]"#);
    assert_eq!(first_tool(&entry("github")).await.as_deref(), Some(GITHUB));
    assert_eq!(first_tool(&entry("slack")).await.as_deref(), Some(SLACK));
}

#[tokio::test]
pub(super) async fn env_reaches_the_child() {
    let entry = |kind: &str| {
        format!(
            r#""command":"/bin/sh","args":["-c","exec \"$IT\" demo-server \"$KIND\""],"env":{{"IT":"${{PROGRAM}}","KIND":"{kind}"}}"#
        )
    };
    assert_eq!(first_tool(&entry("github")).await.as_deref(), Some(GITHUB));
    assert_eq!(first_tool(&entry("slack")).await.as_deref(), Some(SLACK));
}

#[tokio::test]
pub(super) async fn the_child_runs_in_cwd() {
    for (kind, tool) in [("github", GITHUB), ("slack", SLACK)] {
        let folder = Folder::new(kind);
        std::fs::write(folder.0.join("kind"), kind).unwrap();
        let entry = format!(
            r#""command":"/bin/sh","args":["-c","exec \"$0\" demo-server \"$(cat kind)\"","${{PROGRAM}}"],"cwd":"{}""#,
            folder.0.display(),
        );
        assert_eq!(first_tool(&entry).await.as_deref(), Some(tool));
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("toolweir-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
pub(super) async fn the_url_is_called() {
    for key in ["url", "serverUrl", "httpUrl"] {
        let upstreams = [Upstream::start().await, Upstream::start().await];
        for (index, upstream) in upstreams.iter().enumerate() {
            let text = one(&format!(r#""{key}":"${{URL}}""#), "");
            let orchestrator = started(&text, &upstream.url()).await;
            call(&orchestrator, "s__plain").await.unwrap();
            assert_eq!(upstreams.each_ref().map(Upstream::calls), [1, index], "{key}");
            orchestrator.shutdown(Duration::from_secs(5)).await;
        }
    }
}

#[tokio::test]
pub(super) async fn the_type_decides() {
    let upstream = Upstream::start().await;
    let entry = |kind: &str| one(&format!(r#""type":"{kind}","url":"${{URL}}""#), "");
    let orchestrator = started(&entry("http"), &upstream.url()).await;
    assert_eq!(orchestrator.servers()[0].health_status, Readiness::Healthy);
    orchestrator.shutdown(Duration::from_secs(5)).await;
    let refused = read(&entry("stdio"), &upstream.url()).unwrap_err();
    assert!(refused.to_string().contains("is of type stdio, but has no `command`"), "{refused}");
    // By which of the two transports over HTTP it is tried first.
    for (kind, methods) in [("http", ["POST", "POST", "GET"]), ("sse", ["GET", "POST", "POST"])] {
        let web = Web::start(|_| http("404 Not Found", "", "")).await;
        let url = format!("http://{}/mcp", web.address);
        let orchestrator = started(&entry(kind), &url).await;
        assert_eq!(orchestrator.servers()[0].health_status, Readiness::Unhealthy);
        let seen: Vec<String> = web.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(seen[..3], methods, "{kind}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
pub(super) async fn headers_are_sent() {
    let upstream = Upstream::with_token("t0ken").await;
    for (token, expected) in [("t0ken", Readiness::Healthy), ("other", Readiness::Unhealthy)] {
        let entry = format!(r#""url":"${{URL}}","headers":{{"Authorization":"Bearer {token}"}}"#);
        let orchestrator = started(&one(&entry, ""), &upstream.url()).await;
        assert_eq!(orchestrator.servers()[0].health_status, expected);
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}
