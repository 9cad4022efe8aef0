//! Params, results, errors, ids and what comes between: as they were written.
//!
//! What may be spliced: the tool's name, the progress token, the members of `_meta` that 2026-07-28 reserves, and towards a
//! modern client `resultType`. Line ends between tokens become spaces.

use proptest::prelude::*;

use super::*;
use crate::peer::json::any_json;

/// What one call carries, each part as raw JSON.
#[derive(Clone, Debug)]
struct Parts {
    id: String,
    /// In params, beside what MCP knows.
    beside: String,
    arguments: String,
    meta: String,
    content: String,
    result: String,
    code: i64,
    data: String,
}

fn parts() -> impl Strategy<Value = Parts> {
    let id = prop_oneof![
        prop::sample::select(
            &[
                "0",
                "-0",
                "1.50",
                "1e3",
                "1E400",
                "18446744073709551616",
                r#""\ud800""#,
                r#""a\/b""#,
                r#""""#
            ][..]
        )
        .prop_map(str::to_owned),
        "[1-9][0-9]{0,40}",
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
    ];
    let code = prop::sample::select(
        &[-32_602, -32_603, -32_000, -32_800, 0, 1, i64::MIN, i64::MAX, 31_001][..],
    );
    (id, any_json(), any_json(), any_json(), any_json(), any_json(), code, any_json()).prop_map(
        |(id, beside, arguments, meta, content, result, code, data)| Parts {
            id,
            beside,
            arguments,
            meta,
            content,
            result,
            code,
            data,
        },
    )
}

/// One call of each kind by a client to a server.
async fn check(client: &mut Client, server: &str, parts: &Parts) {
    let Parts { id, beside, arguments, meta, content, result, code, data } = parts;
    let way = format!("modern client: {}, server: {server}", client.is_modern);

    // What the server sees.
    let before = format!(r#""x":{beside} , "arguments":{arguments},  "y":{content}"#);
    let meta = format!(r#""com.example/kept": {meta}"#);
    let answer = client.call(id, &format!("{server}__echo"), &before, &meta).await;
    assert_eq!(last(&answer, "id"), *id, "{way}");
    let seen = last(&answer, "result");
    let expected = in_one_line(&format!(r#"{{{before},"name":"echo","_meta":{{{meta}"#));
    assert!(seen.starts_with(&expected), "{way}:\n{seen}\n{expected}");
    let rest = seen[expected.len()..].strip_prefix('}');
    match rest {
        Some(rest) => {
            assert!(!is_modern_server(server), "{way}: a modern server needs its `_meta`: {seen}");
            assert_eq!(
                rest,
                if client.is_modern { r#","resultType":"complete"}"# } else { "}" },
                "{way}"
            );
        }
        None => {
            assert!(
                is_modern_server(server),
                "{way}: nothing is added for a legacy server: {seen}"
            );
            let seen_meta = RawJson::new(seen.clone()).unwrap().member("_meta").unwrap().to_json();
            for (place, member) in seen_meta.members().enumerate() {
                let is_reserved = member.key.starts_with("io.modelcontextprotocol/");
                assert_eq!(is_reserved, place > 0, "{way}: {seen}");
            }
        }
    }

    // What the client sees.
    let given = format!(
        r#"{{ "content":[{{"type":"hologram","z":{content}}}],"x" :{result},"structuredContent":{data}"#
    );
    let params = format!(r#""arguments":{{"it":{given}}}}}"#);
    let answer = client.call(id, &format!("{server}__give"), &params, "").await;
    let spliced = if client.is_modern { r#","resultType":"complete"}"# } else { "}" };
    assert_eq!(last(&answer, "result"), in_one_line(&format!("{given}{spliced}")), "{way}");
    assert_eq!(last(&answer, "id"), *id, "{way}");
    let given = format!(r#"{{"resultType":"complete","content":[],"x":{result}}}"#);
    let params = format!(r#""arguments":{{"it":{given}}}"#);
    let answer = client.call(id, &format!("{server}__give"), &params, "").await;
    assert_eq!(last(&answer, "result"), in_one_line(&given), "{way}");

    // An error is the server's own.
    let given = format!(r#"{{ "code":{code}, "message":"na\u00efve","data":{data},"x":{beside}}}"#);
    let params = format!(r#""arguments":{{"it":{given}}}"#);
    let answer = client.call(id, &format!("{server}__fail"), &params, "").await;
    assert_eq!(last(&answer, "error"), in_one_line(&given), "{way}");
    assert_eq!(last(&answer, "id"), *id, "{way}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Each client with each server, and whatever JSON allows.
#[test]
fn bytes_pass_unchanged_between_all_eras_and_transports() {
    let runtime = runtime();
    let gateway = runtime.block_on(Gateway::start());
    let clients = std::cell::RefCell::new(runtime.block_on(gateway.clients()));
    let config = ProptestConfig {
        cases: 24,
        max_shrink_iters: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let cases = proptest::test_runner::TestRunner::new(config).run(&parts(), |parts| {
        for client in clients.borrow_mut().iter_mut() {
            for server in SERVERS {
                runtime.block_on(check(client, server, &parts));
            }
        }
        Ok(())
    });
    drop(clients);
    runtime.block_on(gateway.end());
    cases.unwrap();
}

/// The values that gateways are known to lose, each of them in every place.
#[test]
fn what_others_lose_is_kept() {
    let runtime = runtime();
    let gateway = runtime.block_on(Gateway::start());
    let mut clients = runtime.block_on(gateway.clients());
    let lost = concat!(
        r#"{"float":1e22,"digits":123456789012345678901234567890,"minus":-0,"exact":1.10,"b":1,"a":2,"a":3,"#,
        r#""lone":"\ud800\uDFFF\uD800","slash":"\/","nul":"\u0000","é":"\u00e9", "deep":{"unknown":[{"type":"new"}]}}"#
    );
    for id in ["123456789012345678901234567890", "1e2", r#""\u0061\/""#] {
        let own = |text: &str| text.to_owned();
        let parts = Parts {
            id: own(id),
            beside: own(lost),
            arguments: own(lost),
            meta: own(lost),
            content: own(lost),
            result: own(lost),
            code: -32_042,
            data: own(lost),
        };
        for client in &mut clients {
            for server in SERVERS {
                runtime.block_on(check(client, server, &parts));
            }
        }
    }
    drop(clients);
    runtime.block_on(gateway.end());
}

/// `arguments` that were left out came to the server as `{}`.
#[tokio::test]
async fn what_is_left_out_stays_out() {
    let gateway = Gateway::start().await;
    for mut client in gateway.clients().await {
        for server in SERVERS {
            let answer = client.call("1", &format!("{server}__echo"), "", "").await;
            let seen = RawJson::new(last(&answer, "result")).unwrap();
            let names: Vec<String> = seen.members().map(|member| member.key.to_string()).collect();
            let mut expected = vec!["name"];
            expected.extend(is_modern_server(server).then_some("_meta"));
            expected.extend(client.is_modern.then_some("resultType"));
            assert_eq!(names, expected, "{server}");
        }
    }
    gateway.end().await;
}

/// Unknown members, numbers and escapes of what comes before the result, under the client's own token.
#[tokio::test]
async fn notifications_keep_their_bytes() {
    let gateway = Gateway::start().await;
    let token = r#""tok\/en\ud83d""#;
    let note = |token: &str| {
        format!(
            r#"{{"progress":1e22,"x":[1.10, {{"b":1,"a":2}}],"progressToken":{token},"total":123456789012345678901234567890,"message":"\ud800"}}"#
        )
    };
    let say = serde_json::json!([
        { "do": "frame", "with": format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{}}}"#, note("$TOKEN")) },
        { "do": "frame", "with": r#"{"jsonrpc":"2.0","id":$ID,"result":{"done":true}}"# },
    ]);
    for mut client in gateway.clients().await {
        for server in SERVERS {
            let params = format!(r#""arguments":{{"say":{say}}}"#);
            let meta = format!(r#""progressToken":{token}"#);
            let answer = client.call("1", &format!("{server}__say"), &params, &meta).await;
            assert_eq!(answer.len(), 2, "{server}: {answer:?}");
            assert_eq!(
                answer[0].member("params").unwrap().to_json().as_str(),
                note(token),
                "{server}"
            );
            assert!(last(&answer, "result").starts_with(r#"{"done":true"#));
        }
    }
    gateway.end().await;
}
