//! Lists, introductions and pings.

use super::*;

/// All pages of all servers, in the order of the configuration, under the names that lead back.
#[tokio::test]
async fn every_list_is_whole_for_clients_of_both_eras() {
    let gateway = Gateway::start().await;
    let lists = [
        (
            "tools/list",
            "tools",
            "name",
            &["__echo", "__ask", "__broken", "__hold", "__link", "__log", "__withdraw"][..],
        ),
        ("prompts/list", "prompts", "name", &["__one", "__two"]),
        ("resources/list", "resources", "uri", &[":a", ":b"]),
        ("resources/templates/list", "resourceTemplates", "uriTemplate", &[":t/{id}", ":u/{id}"]),
    ];
    for kind in CLIENTS {
        let mut client = gateway.client(kind).await;
        for (method, member, key, names) in lists {
            let result = client.call(method, json!({})).await.answer["result"].take();
            let listed = result[member].as_array().unwrap().iter().map(|item| item[key].clone());
            let named = |server| names.iter().map(move |name| format!("{server}{name}"));
            let expected = SERVERS.iter().flat_map(named);
            assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{method}");
            // What a legacy client never heard of is not told to it.
            let told = ["resultType", "ttlMs", "cacheScope"].map(|key| !result[key].is_null());
            assert_eq!(told, [client.is_modern; 3], "{method}: {result}");
            if client.is_modern {
                // The legacy servers say nothing of it.
                assert_eq!(
                    (&result["ttlMs"], &result["cacheScope"]),
                    (&json!(0), &json!("private"))
                );
            }
        }
    }
    gateway.end().await;
}

/// They were fetched a moment ago, and hold for a minute from then on.
#[tokio::test]
async fn lists_of_modern_servers_alone_hold_as_long_as_those_say() {
    let gateway = Gateway::of(&["sm", "hm"]).await;
    for kind in CLIENTS {
        let mut client = gateway.client(kind).await;
        for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
            let result = client.call(method, json!({})).await.answer["result"].take();
            let left = result["ttlMs"].as_u64();
            assert_eq!(left.is_some(), client.is_modern, "{method}: {result}");
            assert!(
                left.is_none_or(|left| (30_000..=60_000).contains(&left)),
                "{method}: {left:?}"
            );
            let scope = if client.is_modern { json!("public") } else { Value::Null };
            assert_eq!(result["cacheScope"], scope, "{method}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn each_client_is_introduced_and_pinged_here() {
    let gateway = Gateway::start().await;
    for kind in CLIENTS {
        let mut client = gateway.client(kind).await;
        let before: Vec<_> = gateway.peers.iter().map(|it| it.of("ping").len()).collect();
        let (is_http, is_modern) = kind;
        let (method, params) = match is_modern {
            true => ("server/discover", json!({})),
            false => ("initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": {} })),
        };
        let result = client.call(method, params).await.answer["result"].take();
        let offered = &result["capabilities"];
        for (part, feature) in [
            ("tools", "listChanged"),
            ("prompts", "listChanged"),
            ("resources", "listChanged"),
            ("resources", "subscribe"),
        ] {
            assert_eq!(offered[part][feature], true, "{part}.{feature}");
        }
        assert!(offered["logging"].is_object() && offered["completions"].is_object());
        for server in SERVERS {
            assert!(offered["experimental"][server].is_object(), "{server}");
        }
        match is_modern {
            true => assert_eq!(result["supportedVersions"], json!(["2026-07-28"])),
            false => assert_eq!(result["protocolVersion"], "2025-06-18"),
        }
        let pinged = client.call("ping", json!({})).await;
        match is_modern {
            true => {
                assert_eq!(pinged.answer["error"]["code"], -32601);
                assert_eq!(pinged.status, if is_http { 404 } else { 200 });
            }
            false => assert_eq!(pinged.answer["result"], json!({})),
        }
        let after: Vec<_> = gateway.peers.iter().map(|it| it.of("ping").len()).collect();
        assert_eq!(before, after, "a ping is no server's matter");
    }
    // Each server was asked for its introduction once, in its own way.
    for peer in &gateway.peers {
        assert!(peer.of("initialize").len() + peer.of("server/discover").len() <= 2);
    }
    gateway.end().await;
}
