//! Calls: where they go, what their servers see, and how they are cancelled.

use super::*;

/// What is asked by a name that clients see, and what its server sees of it.
#[tokio::test]
async fn what_is_named_reaches_its_server_by_its_own_name() {
    let gateway = Gateway::start().await;
    for kind in CLIENTS {
        for server in SERVERS {
            let way = way(kind, server);
            let mut client = gateway.client(kind).await;
            let named = |name: &str| format!("{server}__{name}");
            let uri = |part: &str| format!("{server}:{part}");
            let cases = [
                ("tools/call", json!({ "name": named("echo") }), json!({ "name": "echo" })),
                (
                    "prompts/get",
                    json!({ "name": named("two"), "arguments": { "x": "1" } }),
                    json!({ "name": "two", "arguments": { "x": "1" } }),
                ),
                ("resources/read", json!({ "uri": uri("b") }), json!({ "uri": uri("b") })),
                ("resources/read", json!({ "uri": uri("t/7") }), json!({ "uri": uri("t/7") })),
                (
                    "completion/complete",
                    json!({ "ref": { "type": "ref/prompt", "name": named("one") }, "argument": {} }),
                    json!({ "ref": { "type": "ref/prompt", "name": "one" }, "argument": {} }),
                ),
                (
                    "completion/complete",
                    json!({ "ref": { "type": "ref/resource", "uri": uri("t/{id}") }, "argument": {} }),
                    json!({ "ref": { "type": "ref/resource", "uri": uri("t/{id}") }, "argument": {} }),
                ),
                // Methods that the protocol does not have: the server that says it knows them.
                (&*format!("{server}/do"), json!({ "n": 1 }), json!({ "n": 1 })),
            ];
            for (method, params, expected) in cases {
                let done = client.call(method, params).await;
                let mut result = done.answer["result"].clone();
                assert_eq!(result["from"], server, "{way}: {method}: {}", done.answer);
                let meta = result["seen"].as_object_mut().unwrap().remove("_meta");
                assert_eq!(result["seen"], expected, "{way}: {method}");
                assert_eq!(meta.is_some(), server.ends_with('m'), "{way}: {method}: {meta:?}");
                let is_told = !result["resultType"].is_null();
                assert_eq!(is_told, client.is_modern || server.ends_with('m'), "{way}: {method}");
                if method == "resources/read" {
                    let expected = match (client.is_modern, server.ends_with('m')) {
                        (_, true) => json!([60_000, "public"]),
                        (true, false) => json!([0, "private"]),
                        (false, false) => json!([null, null]),
                    };
                    assert_eq!(json!([result["ttlMs"], result["cacheScope"]]), expected, "{way}");
                }
            }
            // A link in a result is listed nowhere, and can be read.
            let linked = client.call("tools/call", json!({ "name": named("link") })).await;
            assert_eq!(linked.answer["result"]["content"][0]["uri"], uri("linked"), "{way}");
            let read = client.call("resources/read", json!({ "uri": uri("linked") })).await;
            assert_eq!(read.answer["result"]["from"], server, "{way}: {}", read.answer);
            for (peer, other) in gateway.peers.iter().zip(SERVERS) {
                let reads = peer.of("resources/read");
                let is_asked = reads.iter().any(|read| read["params"]["uri"] == uri("linked"));
                assert_eq!(is_asked, other == server, "{way}: nobody else is asked for it");
            }
        }
    }
    gateway.end().await;
}

/// Kept where its server says for how long, until that tells of a change.
#[tokio::test]
async fn a_read_holds_as_long_as_its_server_says() {
    for kind in CLIENTS {
        let gateway = Gateway::start().await;
        for (peer, server) in gateway.peers.iter().zip(SERVERS) {
            let mut client = gateway.client(kind).await;
            let uri = format!("{server}:a");
            client.listen(&uri).await;
            let is_modern = client.is_modern;
            let mut reads = async || {
                let mut left = Vec::new();
                for _ in 0..2 {
                    let read = client.call("resources/read", json!({ "uri": uri })).await;
                    assert_eq!(read.answer["result"]["from"], server);
                    left.push(read.answer["result"]["ttlMs"].as_u64());
                }
                // The second is told what is left, and a client of the other era what the server said.
                let [Some(first), Some(second)] = left[..] else {
                    assert!(!is_modern && !server.ends_with('m'), "{left:?}");
                    return peer.of("resources/read").len();
                };
                let is_less = is_modern && server.ends_with('m');
                assert_eq!(second < first, is_less, "{}: {left:?}", way(kind, server));
                assert!(second >= first / 2, "{left:?}");
                peer.of("resources/read").len()
            };
            let once = if server.ends_with('m') { 1 } else { 2 };
            assert_eq!(reads().await, once, "{}", way(kind, server));
            peer.tell("notifications/resources/updated", &json!({ "uri": uri }));
            client.heard().await;
            let mut reads = async || {
                client.call("resources/read", json!({ "uri": uri })).await;
                peer.of("resources/read").len()
            };
            assert_eq!(reads().await, once + 1, "{}", way(kind, server));
            client.leave().await;
        }
        gateway.end().await;
    }
}

/// Its code and data are the server's; HTTP's status is that of the client's era.
#[tokio::test]
async fn an_error_is_the_servers_own_and_its_status_of_the_clients_era() {
    let gateway = Gateway::start().await;
    for kind in CLIENTS {
        let (is_http, is_modern) = kind;
        let mut client = gateway.client(kind).await;
        for server in SERVERS {
            let way = way(kind, server);
            let name = format!("{server}__broken");
            let failed = client.call("tools/call", json!({ "name": name })).await;
            let error = json!({ "code": -32050, "message": "no tool", "data": { "of": server } });
            assert_eq!(failed.answer["error"], error, "{way}");
            assert_eq!(failed.status, 200, "{way}");
            let asked = client.call(&format!("{server}x/do"), json!({})).await;
            assert_eq!(asked.answer["error"]["code"], -32601, "{way}: {}", asked.answer);
            assert_eq!(asked.status, if is_http && is_modern { 404 } else { 200 }, "{way}");
        }
        let unread = client.call("resources/read", json!({ "uri": "of:nobody" })).await;
        // Of servers of both eras, whichever was asked last.
        let codes: &[i64] = if is_modern { &[-32602] } else { &[-32002, -32602] };
        let code = unread.answer["error"]["code"].as_i64().unwrap();
        assert!(codes.contains(&code), "{}", unread.answer);
    }
    gateway.end().await;
}

/// A legacy server is told; a modern one is told over stdio, and over HTTP sees its stream closed.
#[tokio::test]
async fn a_cancellation_is_told_in_the_way_of_the_server() {
    for kind in CLIENTS {
        for (at, server) in (0..).zip(SERVERS) {
            let gateway = Gateway::start().await;
            let peer: &Arc<Peer> = &gateway.peers[at];
            let is_held = |message: &Value| message["params"]["name"] == "hold";
            let client = gateway.client(kind).await;
            let held = async {
                peer.sees(is_held).await;
            };
            let params = json!({ "name": format!("{server}__hold") });
            client.cancel("tools/call", params, held).await;
            let call = peer.sees(is_held).await;
            if server == "hm" {
                gateway.webs[1].is_left().await;
                assert_eq!(peer.of("notifications/cancelled").len(), 0, "{}", way(kind, server));
            } else {
                let is_cancelled = |message: &Value| message["method"] == "notifications/cancelled";
                let notice = peer.sees(is_cancelled).await;
                assert_eq!(notice["params"]["requestId"], call["id"], "{}", way(kind, server));
            }
            gateway.end().await;
        }
    }
}

/// What a client tells its servers: theirs to understand, without what the client's era alone knows.
#[tokio::test]
async fn an_unknown_notification_reaches_every_server() {
    for kind in CLIENTS {
        let gateway = Gateway::start().await;
        let mut client = gateway.client(kind).await;
        client.notify("notifications/x.example/note", json!({ "n": 1, "_meta": { "k": 1 } })).await;
        for (peer, server) in gateway.peers.iter().zip(SERVERS) {
            let note = peer.sees(|it| it["method"] == "notifications/x.example/note").await;
            assert_eq!(note["params"]["n"], 1);
            let meta = note["params"]["_meta"].as_object().unwrap();
            assert_eq!(meta["k"], 1);
            let reserved = meta.keys().filter(|key| key.starts_with("io.modelcontextprotocol/"));
            let reserved = reserved.count();
            assert!(server.ends_with('m') || reserved == 0, "{}: {note}", way(kind, server));
        }
        gateway.end().await;
    }
}
