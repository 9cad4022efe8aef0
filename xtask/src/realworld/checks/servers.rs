//! Five servers from npm and PyPI, as `examples/real.jsonc` starts them.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::client::{Client, text};
use super::super::install::Place;
use super::super::page;
use super::super::rows::Rows;
use super::{containing, ensure, is_error};
use crate::Failure;
use crate::processes::until;

/// The example.
pub(super) const CONFIG: &str = "examples/real.jsonc";
/// Its servers, and how many tools each has.
pub(super) const SERVERS: [(&str, usize); 5] =
    [("everything", 16), ("filesystem", 14), ("memory", 9), ("time", 2), ("playwright", 25)];

/// How long the servers get until all are listed: a client over stdio comes before they are there.
const START: Duration = Duration::from_secs(60);

pub(super) fn over_http(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let names = SERVERS.map(|(name, _)| name);
    let gateway = place.gateway("http", &place.file(CONFIG), &names, &[])?;
    let mut client = Client::http(gateway.address)?;
    let health = || place.toolweir().args(["health", "--json"]).output();
    run(place, rows, "http", &mut client)?;
    rows.check("http.health", "`toolweir health` shows every server healthy", || {
        let output = health()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        ensure(output.status.success(), || format!("{}: {report}", output.status))?;
        let shown = report.to_string();
        let missing = names.into_iter().find(|name| !shown.contains(&format!("\"{name}\"")));
        ensure(missing.is_none(), || format!("{missing:?} is not shown: {shown}"))?;
        Ok(format!("{} servers shown", names.len()))
    });
    rows.check("http.end", "it ends well when told to", || gateway.end().map(|()| "exit 0".into()));
    Ok(())
}

pub(super) fn over_stdio(place: &Place, rows: &mut Rows) -> Result<(), Failure> {
    let mut client = place.over_stdio(&place.file(CONFIG))?;
    run(place, rows, "stdio", &mut client)
}

fn run(place: &Place, rows: &mut Rows, way: &str, client: &mut Client) -> Result<(), Failure> {
    let page = page::serve()?;
    let note = place.files.join("note.txt");
    fs::write(&note, "a note for toolweir")?;
    let graph = place.files.join("toolweir-memory.jsonl");
    if graph.exists() {
        fs::remove_file(graph)?;
    }
    let expected: usize = SERVERS.iter().map(|(_, count)| count).sum();
    let mut tools = Vec::new();
    rows.check(format!("{way}.tools"), "the tools of all servers become one list", || {
        let mut asked = 0;
        let mut failure = None;
        until(START, || {
            asked += 1;
            match client.tools() {
                Ok(listed) => tools = listed,
                Err(error) => failure = Some(error),
            }
            tools.len() >= expected || failure.is_some()
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        ensure(tools.len() == expected, || format!("{} tools", tools.len()))?;
        // Who has been shown fewer is told when there are more.
        ensure(asked == 1 || client.changes > 0, || "no word of a changed list".into())?;
        let (version, changes) = (&client.version, client.changes);
        Ok(format!("{expected} tools, version {version}, told of {changes} changes before"))
    });
    for (server, expected) in SERVERS {
        let name = format!("{server} lists its {expected} tools");
        rows.check(format!("{way}.{server}.tools"), name, || {
            let count =
                tools.iter().filter(|tool| tool.starts_with(&format!("{server}__"))).count();
            ensure(count == expected, || format!("{count} tools"))?;
            Ok(format!("{count} tools"))
        });
    }
    let entity = json!({ "name": "weir", "entityType": "dam", "observations": ["low and wide"] });
    let convert =
        json!({ "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo" });
    let calls = [
        ("everything", "get-sum", json!({ "a": 19, "b": 23 }), "42"),
        ("filesystem", "read_text_file", json!({ "path": note }), "a note for toolweir"),
        ("memory", "create_entities", json!({ "entities": [entity] }), "weir"),
        ("memory", "search_nodes", json!({ "query": "weir" }), "low and wide"),
        ("time", "convert_time", convert, "21:00"),
        ("playwright", "browser_navigate", json!({ "url": format!("http://{page}/") }), "A weir"),
        ("playwright", "browser_snapshot", json!({}), page::TEXT),
    ];
    for (server, tool, arguments, expected) in &calls {
        let name = format!("{server} answers {tool}");
        rows.check(format!("{way}.{server}.{tool}"), name, || {
            let result = client.call(&format!("{server}__{tool}"), arguments)?;
            ensure(!is_error(&result), || format!("an error: {result}"))?;
            containing(&text(&result), expected)
        });
    }
    features(rows, way, client);
    Ok(())
}

/// What the protocol has beyond tools; server-everything has all of it.
fn features(rows: &mut Rows, way: &str, client: &mut Client) {
    rows.check(format!("{way}.progress"), "progress comes in order, before the result", || {
        let params = json!({
            "name": "everything__trigger-long-running-operation",
            "arguments": { "duration": 2, "steps": 4 },
            "_meta": { "progressToken": "realworld" },
        });
        let answer = client.ask("tools/call", params)?;
        let result = answer.result.map_err(|error| error.to_string())?;
        let ours = |message: &&Value| {
            message["method"] == "notifications/progress"
                && message["params"]["progressToken"] == "realworld"
        };
        let seen: Vec<_> = answer.before.iter().filter(ours).collect();
        let steps: Vec<_> =
            seen.iter().filter_map(|it| it["params"]["progress"].as_u64()).collect();
        ensure(steps == [1, 2, 3, 4], || format!("progress {steps:?}, then {result}"))?;
        ensure(!is_error(&result), || format!("an error: {result}"))?;
        Ok(format!("{steps:?}, then the result"))
    });
    let document = "demo://resource/static/document/architecture.md";
    let completion = json!({
        "ref": { "type": "ref/prompt", "name": "everything__completable-prompt" },
        "argument": { "name": "department", "value": "E" },
    });
    let dynamic = json!({ "uri": "demo://resource/dynamic/text/1" });
    let prompt = json!({ "name": "everything__args-prompt", "arguments": { "city": "Paris" } });
    let asked = [
        ("prompts", "prompts/list", json!({}), "everything__simple-prompt"),
        ("prompt", "prompts/get", prompt, "Paris"),
        ("resources", "resources/list", json!({}), document),
        ("resource", "resources/read", json!({ "uri": document }), "Everything Server"),
        ("templates", "resources/templates/list", json!({}), "demo://resource/dynamic/text/"),
        ("template", "resources/read", dynamic, "Resource 1"),
        ("completion", "completion/complete", completion, "Engineering"),
    ];
    for (id, method, params, expected) in asked {
        rows.check(format!("{way}.{id}"), format!("{method} is answered"), || {
            containing(&client.request(method, params)?.to_string(), expected)
        });
    }
    rows.check(
        format!("{way}.unknown"),
        "an unknown tool is refused, and the next call answered",
        || {
            let params = json!({ "name": "everything__no-such-tool", "arguments": {} });
            let error = client.ask("tools/call", params)?.result.err().ok_or("it was answered")?;
            let echo = client.call("everything__echo", &json!({ "message": "still here" }))?;
            containing(&text(&echo), "still here")?;
            Ok(format!("error {}, then an answer", error["code"]))
        },
    );
}
