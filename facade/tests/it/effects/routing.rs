//! `routes`, `defaultCapability`, `handlers`.

use std::time::Duration;

use serde_json::{Value, json};
use toolweir::core::{Kind, RawJson};

use super::upstream::Upstream;
use super::{at_url, started};

/// Routes a request of the type `survey`: the text of the answer, or the kind of the error.
async fn routed(settings: &str, arguments: Value) -> Result<String, Kind> {
    let upstream = Upstream::start().await;
    let text = at_url(r#""capabilities":["maps"]"#, settings);
    let orchestrator = started(&text, &upstream.url()).await;
    let routed = orchestrator.route("survey", &RawJson::from(arguments)).await;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    let result: Value = routed.map_err(|error| error.kind())?.result.get().unwrap();
    Ok(result["content"][0]["text"].as_str().unwrap().to_owned())
}

fn plain() -> Value {
    json!({ "tool": "plain" })
}

#[tokio::test]
pub(super) async fn a_route_leads_to_a_capability() {
    assert_eq!(routed("", plain()).await, Err(Kind::NoServer));
    assert_eq!(routed(r#""routes":{"survey":["maps"]}"#, plain()).await, Ok("plain 1".to_owned()));
    let both = r#""routes":{"survey":["maps","boats"]}"#;
    assert_eq!(routed(both, plain()).await, Err(Kind::NoServer));
}

#[tokio::test]
pub(super) async fn an_unknown_type_needs_the_default_capability() {
    let settings = r#""defaultCapability":"maps""#;
    assert_eq!(routed(settings, plain()).await, Ok("plain 1".to_owned()));
    let settings = r#""defaultCapability":"boats""#;
    assert_eq!(routed(settings, plain()).await, Err(Kind::NoServer));
}

#[tokio::test]
pub(super) async fn a_handler_names_the_tool() {
    let settings =
        |handlers: &str| format!(r#""routes":{{"survey":["maps"]}},"handlers":{{{handlers}}}"#);
    let arguments = || json!({ "river": "Inn" });
    assert_eq!(routed(&settings(""), arguments()).await, Err(Kind::NotFound));
    for tool in ["read", "plain"] {
        let handlers = format!(r#""survey":{{"tool":"{tool}"}}"#);
        assert_eq!(routed(&settings(&handlers), arguments()).await, Ok(format!("{tool} 1")));
    }
}
