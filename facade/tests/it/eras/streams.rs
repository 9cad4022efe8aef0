//! What servers tell without being asked: changes, and log messages.

use super::*;

fn updated(uri: &str) -> Value {
    json!({ "uri": uri, "x": 1, "_meta": { "k": 2 } })
}

/// Under the client's own subscription, and under none where it is a legacy client.
#[tokio::test]
async fn changes_reach_whoever_listens_under_its_own_subscription() {
    for kind in CLIENTS {
        for (at, server) in (0..).zip(SERVERS) {
            let way = way(kind, server);
            let gateway = Gateway::start().await;
            let peer: &Arc<Peer> = &gateway.peers[at];
            let mut client = gateway.client(kind).await;
            let uri = format!("{server}:a");
            let id = client.listen(&uri).await;
            assert!(peer.is_watched(&uri), "{way}: the server knows it before the client is told");
            peer.tell("notifications/resources/updated", &updated("of:nobody"));
            peer.tell("notifications/resources/updated", &updated(&uri));
            let told = client.heard().await;
            assert_eq!(told["method"], "notifications/resources/updated", "{way}: {told}");
            let mut expected = updated(&uri);
            if let Some(id) = &id {
                expected["_meta"]["io.modelcontextprotocol/subscriptionId"] = id.clone();
            }
            assert_eq!(told["params"], expected, "{way}");
            client.leave().await;
            peer.is_watched_soon(&uri, false).await;
            gateway.end().await;
        }
    }
}

/// Whoever is told of a change sees it in the next list.
#[tokio::test]
async fn a_changed_list_is_told_of_and_seen() {
    for kind in CLIENTS {
        let gateway = Gateway::start().await;
        let mut client = gateway.client(kind).await;
        let id = client.listen("sl:a").await;
        gateway.peers.iter().for_each(|peer| peer.change());
        let mut told = Vec::new();
        let changed = loop {
            if told.is_empty() {
                told.push(client.heard().await);
            }
            for message in told.drain(..) {
                assert_eq!(message["method"], "notifications/tools/list_changed");
                let mark = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
                assert_eq!(*mark, id.clone().unwrap_or_default());
            }
            let list = client.call("tools/list", json!({})).await;
            told = list.told;
            let tools = list.answer["result"]["tools"].as_array().unwrap();
            let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
            let extra: Vec<String> =
                tools.iter().map(name).filter(|name| name.ends_with("__extra")).collect();
            assert!(!extra.is_empty(), "told before it can be seen");
            if extra.len() == SERVERS.len() {
                break extra;
            }
        };
        assert_eq!(changed, SERVERS.map(|server| format!("{server}__extra")));
        gateway.end().await;
    }
}

/// A server that begins anew has forgotten who listens.
#[tokio::test]
async fn a_subscription_outlives_its_servers_life() {
    for kind in CLIENTS {
        for (at, server) in (0..).zip(SERVERS) {
            let way = way(kind, server);
            let gateway = Gateway::start().await;
            let peer: &Arc<Peer> = &gateway.peers[at];
            let mut client = gateway.client(kind).await;
            let uri = format!("{server}:a");
            let id = client.listen(&uri).await;
            peer.restart();
            // A legacy session over HTTP is found to be gone by the next call.
            let mut other = gateway.client((false, true)).await;
            let name = format!("{server}__echo");
            other.call("tools/call", json!({ "name": name })).await;
            peer.is_watched_soon(&uri, true).await;
            peer.tell("notifications/resources/updated", &updated(&uri));
            loop {
                let told = client.heard().await;
                if told["method"] == "notifications/resources/updated" {
                    let mark = &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
                    assert_eq!(*mark, id.unwrap_or_default(), "{way}");
                    break;
                }
                assert!(
                    told["method"].as_str().unwrap().ends_with("/list_changed"),
                    "{way}: {told}"
                );
            }
            gateway.end().await;
        }
    }
}

/// On the stream of its own call, at the level that the client asked for; a modern client that asked for none gets none.
#[tokio::test]
async fn log_messages_come_with_their_call_at_the_clients_level() {
    for kind in CLIENTS {
        let gateway = Gateway::start().await;
        let mut client = gateway.client(kind).await;
        let (_, is_modern) = kind;
        for level in [None, Some("warning"), Some("debug"), Some("error")] {
            match level {
                Some(level) if !is_modern => {
                    let set = client.call("logging/setLevel", json!({ "level": level })).await;
                    assert_eq!(set.answer["result"], json!({}));
                    for server in ["sl", "hl"] {
                        let at = SERVERS.iter().position(|name| *name == server).unwrap();
                        let is_told = |it: &Value| {
                            it["method"] == "logging/setLevel" && it["params"]["level"] == level
                        };
                        gateway.peers[at].sees(is_told).await;
                    }
                }
                _ => client.level = level,
            }
            let expected: &[&str] = match level {
                None if is_modern => &[],
                None | Some("debug") => &["debug", "info", "warning", "error"],
                Some("warning") => &["warning", "error"],
                _ => &["error"],
            };
            for server in SERVERS {
                let params = json!({ "name": format!("{server}__log") });
                let done = client.call("tools/call", params).await;
                let told: Vec<_> = done.told.iter().map(|it| &it["params"]["level"]).collect();
                assert_eq!(told, expected, "{} at {level:?}", way(kind, server));
                assert!(done.told.iter().all(|it| it["params"]["data"] == server));
            }
        }
        gateway.end().await;
    }
}
