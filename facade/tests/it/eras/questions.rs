//! What servers ask of the client whose call it is.

use super::client::answer_to;
use super::server::QUESTION;
use super::*;

fn questions() -> Vec<Value> {
    vec![
        json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } }),
        json!({ "method": "elicitation/create", "params": { "message": "form?", "requestedSchema": {} } }),
        json!({ "method": "elicitation/create",
                "params": { "mode": "url", "url": "https://x.example/", "elicitationId": "e", "message": "m" } }),
        json!({ "method": "roots/list" }),
    ]
}

/// On its open call where it is a legacy client, by `input_required` where it is a modern one, whatever the server's way.
#[tokio::test]
async fn questions_reach_their_client_in_its_own_way() {
    let gateway = Gateway::start().await;
    for kind in CLIENTS {
        for server in SERVERS {
            let way = way(kind, server);
            let mut client = gateway.client(kind).await;
            for ask in questions().into_iter().map(|it| vec![it]).chain([questions()]) {
                let params =
                    json!({ "name": format!("{server}__ask"), "arguments": { "ask": ask } });
                let mut done = client.call("tools/call", params).await;
                let answers: Vec<Value> = ask.iter().map(answer_to).collect();
                assert_eq!(
                    done.answer["result"]["answers"],
                    json!(answers),
                    "{way}: {}",
                    done.answer
                );
                let text = |it: &Value| it.to_string();
                done.asked.sort_by_key(text);
                let mut ask = ask;
                ask.sort_by_key(text);
                assert_eq!(done.asked, ask, "{way}");
            }
        }
    }
    gateway.end().await;
}

/// A legacy server has its question refused; a modern one is told what the client can be asked, and refuses the call.
#[tokio::test]
async fn what_a_client_did_not_declare_is_not_asked() {
    let gateway = Gateway::start().await;
    for (is_http, is_modern) in CLIENTS {
        let mut client = Client::connect(&gateway, is_http, is_modern, json!({})).await;
        for server in SERVERS {
            let way = way((is_http, is_modern), server);
            for ask in questions() {
                let params =
                    json!({ "name": format!("{server}__ask"), "arguments": { "ask": [ask] } });
                let done = client.call("tools/call", params).await;
                assert_eq!(done.asked, [Value::Null; 0], "{way}");
                if server.ends_with('m') {
                    let error = &done.answer["error"];
                    assert_eq!(error["code"], -32021, "{way}: {}", done.answer);
                    assert!(error["data"]["requiredCapabilities"].is_object(), "{way}");
                    assert_eq!(done.status, if is_http && is_modern { 400 } else { 200 }, "{way}");
                } else {
                    let refusal = &done.answer["result"]["answers"][0]["error"];
                    assert!(refusal["code"].is_i64(), "{way}: {}", done.answer);
                    let text = refusal["message"].as_str().unwrap();
                    assert!(text.contains("client"), "{way}: {text}");
                }
            }
        }
    }
    gateway.end().await;
}

/// Over HTTP the server's notification was passed on with the server's number, which is another question's, or nobody's, at the
/// client; the question itself stayed open.
#[tokio::test]
async fn a_server_that_withdraws_its_question_withdraws_no_other() {
    let gateway = Gateway::start().await;
    for kind in [(false, false), (true, false)] {
        for server in ["sl", "hl"] {
            let mut client = gateway.client(kind).await;
            client.is_quiet = true;
            let params = json!({ "name": format!("{server}__withdraw") });
            let done = client.call("tools/call", params).await;
            let way = way(kind, server);
            let [question] = &done.asked[..] else { panic!("{way}: {:?}", done.asked) };
            let [cancelled] = &done.told[..] else { panic!("{way}: {:?}", done.told) };
            assert_eq!(cancelled["params"]["requestId"], question["id"], "{way}");
            assert_ne!(
                question["id"], QUESTION,
                "{way}: questions to clients have our own numbers"
            );
            assert!(done.answer["result"].is_object(), "{way}: {}", done.answer);
        }
    }
    gateway.end().await;
}
