//! `start`, `idleStopMs`, `stateDir`: servers that run only while they are needed, and lists that are known before.

use toolweir::core::{Call, Kind, Method};
use toolweir::{Builder, Orchestrator, Readiness};

use super::{FIVE_SECONDS, PATIENCE, call_with, read, started};
use crate::cli::{Folder, is_alive};

fn config(entry: &str, settings: &str) -> String {
    format!(
        r#"{{"mcpServers":{{"s":{{"command":"${{PROGRAM}}","args":["demo-server","github"]{entry}}}}},"toolweir":{{{settings}}}}}"#
    )
}

async fn works(orchestrator: &Orchestrator) {
    let query = serde_json::json!({ "query": "weir" });
    call_with(orchestrator, "s__search_repositories", query).await.unwrap();
}

async fn until(orchestrator: &Orchestrator, wanted: Readiness) {
    let waiting = async {
        while orchestrator.servers()[0].health_status != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time");
}

async fn ends_and_begins(entry: &str, settings: &str) {
    let orchestrator = started(&config(entry, settings), "").await;
    let first = orchestrator.servers()[0].process_id;
    until(&orchestrator, Readiness::Resting).await;
    assert_eq!(orchestrator.servers()[0].process_id, None);
    assert!(!orchestrator.servers()[0].tools.is_empty(), "its lists stay");
    works(&orchestrator).await;
    until(&orchestrator, Readiness::Healthy).await;
    let second = orchestrator.servers()[0].process_id;
    assert!(second.is_some() && second != first);
    orchestrator.shutdown(FIVE_SECONDS).await;
    assert!(!is_alive(first.unwrap()) && !is_alive(second.unwrap()));
}

#[tokio::test]
pub(super) async fn a_server_that_nobody_needs_is_ended() {
    ends_and_begins(r#","idleStopMs":300"#, "").await;
    // 0 stands against what holds for all.
    let orchestrator = started(&config(r#","idleStopMs":0"#, r#""idleStopMs":1"#), "").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(orchestrator.servers()[0].process_id.is_some());
    orchestrator.shutdown(FIVE_SECONDS).await;
}

#[tokio::test]
pub(super) async fn servers_that_nobody_needs_are_ended() {
    ends_and_begins("", r#""idleStopMs":300"#).await;
}

async fn is_started_by_a_call(entry: &str, settings: &str) {
    let folder = Folder::new();
    let kept = format!(r#""stateDir":"{}""#, folder.path().display());
    let config = config(entry, &[settings, &kept].join(""));
    // What it lists is not known yet: it is started, to be listed.
    let orchestrator = started(&config, "").await;
    let tools = orchestrator.servers()[0].tools.clone();
    assert!(!tools.is_empty());
    orchestrator.shutdown(FIVE_SECONDS).await;
    let orchestrator = started(&config, "").await;
    let report = &orchestrator.servers()[0];
    assert_eq!((report.health_status, report.process_id), (Readiness::Resting, None));
    assert_eq!(report.tools, tools);
    works(&orchestrator).await;
    until(&orchestrator, Readiness::Healthy).await;
    assert!(orchestrator.servers()[0].process_id.is_some());
    orchestrator.shutdown(FIVE_SECONDS).await;
}

#[tokio::test]
pub(super) async fn a_lazy_server_is_started_by_its_first_call() {
    is_started_by_a_call(r#","start":"lazy""#, "").await;
}

#[tokio::test]
pub(super) async fn lazy_servers_are_started_by_their_first_calls() {
    is_started_by_a_call("", r#""start":"lazy","#).await;
}

/// A gateway that is started again lists the same at once, in the same order, while its servers come up.
#[tokio::test]
pub(super) async fn lists_are_kept() {
    let folder = Folder::new();
    let slow = folder.path().join("slow");
    // Once there is a file, it does not come up any more.
    let script = format!(
        "test -e {} && exec sleep 600; exec ${{PROGRAM}} demo-server github",
        slow.display()
    );
    let config = |settings: &str| {
        let settings = settings.replace("FOLDER", &folder.path().display().to_string());
        format!(
            r#"{{"mcpServers":{{"s":{{"command":"sh","args":["-c","{script}"],"env":{{"TOKEN":"canary-7"}}}}}},"toolweir":{{{settings}}}}}"#
        )
    };
    let list = |orchestrator: Orchestrator| async move {
        let call = Call::new(Method::TOOLS_LIST, None);
        orchestrator.call(&call).await.unwrap().result.as_str().to_owned()
    };
    let kept = config(r#""stateDir":"FOLDER""#);
    let orchestrator = started(&kept, "").await;
    let before = list(orchestrator.clone()).await;
    orchestrator.shutdown(FIVE_SECONDS).await;
    let files = || std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
    let texts: Vec<String> = files().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("search_repositories") && !texts[0].contains("canary-7"));

    std::fs::write(&slow, "").unwrap();
    let again =
        |text: &str| Builder::from_config(&read(text, "").unwrap()).unwrap().start().unwrap();
    let orchestrator = again(&kept);
    assert_eq!(list(orchestrator.clone()).await, before);
    assert_eq!(orchestrator.servers()[0].health_status, Readiness::Starting);
    orchestrator.shutdown(FIVE_SECONDS).await;
    let orchestrator = again(&config(r#""stateDir":false"#));
    assert_eq!(list(orchestrator.clone()).await, r#"{"tools":[]}"#);
    orchestrator.shutdown(FIVE_SECONDS).await;
}

/// A list kept on disk was taken for all that its server has, so that a tool that the server had got meanwhile was unknown
/// until the server was up, where with nothing kept the call would have waited.
#[tokio::test]
async fn a_name_that_a_kept_list_lacks_waits_for_its_server() {
    for prefix in ["", "s"] {
        let folder = Folder::new();
        let path = folder.path().display();
        // Once there is a file, another program comes up, and slowly.
        let script = format!(
            "test -e {path}/new && sleep 0.5 && exec ${{PROGRAM}} demo-server slack; exec ${{PROGRAM}} demo-server github"
        );
        let config = format!(
            r#"{{"mcpServers":{{"s":{{"command":"sh","args":["-c","{script}"],"prefix":"{prefix}"}}}},"toolweir":{{"stateDir":"{path}"}}}}"#
        );
        let orchestrator = started(&config, "").await;
        assert!(!orchestrator.servers()[0].tools.is_empty());
        orchestrator.shutdown(FIVE_SECONDS).await;
        std::fs::write(folder.path().join("new"), "").unwrap();
        let builder = Builder::from_config(&read(&config, "").unwrap()).unwrap();
        let orchestrator = builder.start().unwrap();
        assert!(!orchestrator.servers()[0].tools.is_empty(), "listed from disk");
        let name = |tool: &str| {
            if prefix.is_empty() { tool.to_owned() } else { format!("{prefix}__{tool}") }
        };
        let none = serde_json::json!({});
        let [new, never] = [name("slack_list_channels"), name("never")];
        let (new, never) = tokio::join!(
            call_with(&orchestrator, &new, none.clone()),
            call_with(&orchestrator, &never, none.clone()),
        );
        assert!(new.is_ok(), "{new:?}");
        let kind = never.unwrap_err().kind();
        // Known by its prefix, the server itself says so.
        let own = Kind::Protocol { code: -32602 };
        assert_eq!(kind, if prefix.is_empty() { Kind::NotFound } else { own });
        // Once it is listed anew, nobody is asked.
        orchestrator.ready(PATIENCE).await;
        let gone = call_with(&orchestrator, &name("search_repositories"), none).await;
        assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
        orchestrator.shutdown(FIVE_SECONDS).await;
    }
}
