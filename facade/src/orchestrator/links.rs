//! Resources that a server told of in a result: they can be read there, whether or not any list has them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toolweir_core::{Call, RawJson, Reply, ServerId};

use super::Orchestrator;
use crate::catalogue::Kind;
use crate::endpoint::Endpoint;

/// How many are remembered; the oldest makes room.
const MAX: usize = 10_000;
/// The longest URI that is remembered.
const URI_MAX: usize = 2_048;
/// How many of one result are.
const PER_RESULT: usize = 256;

/// Which server told of what.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    servers: HashMap<Arc<str>, ServerId>,
    order: VecDeque<Arc<str>>,
}

impl Links {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who told of this resource last.
    pub(super) fn find(&self, uri: &str) -> Option<ServerId> {
        self.table().servers.get(uri).copied()
    }

    /// Remembers the resources that a result of `server` links to or embeds, but for those that `is_listed`.
    pub(super) fn learn(
        &self,
        server: ServerId,
        result: &RawJson,
        is_listed: impl Fn(&str) -> bool,
    ) {
        // Most results are told apart by one look at their bytes.
        if !result.as_str().contains("\"uri\"") {
            return;
        }
        let mut uris = Vec::new();
        collect(result, &mut uris);
        uris.retain(|uri| uri.len() <= URI_MAX && !is_listed(uri));
        if uris.is_empty() {
            return;
        }
        let mut table = self.table();
        for uri in uris {
            if let Some(known) = table.servers.get_mut(&*uri) {
                *known = server;
                continue;
            }
            if table.order.len() >= MAX
                && let Some(oldest) = table.order.pop_front()
            {
                table.servers.remove(&oldest);
            }
            let uri: Arc<str> = uri.into();
            table.order.push_back(uri.clone());
            table.servers.insert(uri, server);
        }
    }
}

impl Orchestrator {
    /// Remembers what a reply tells of resources that are in no list.
    pub(super) fn learn_links(&self, endpoint: &Endpoint, call: &Call, reply: &Reply) {
        let may_tell = matches!(
            call.method.as_str(),
            "tools/call" | "prompts/get" | "resources/read" | "tasks/get" | "tasks/result"
        );
        if may_tell {
            let is_listed = |uri: &str| self.view().catalogue.find(Kind::Resource, uri).is_some();
            self.0.links.learn(endpoint.id, &reply.result, is_listed);
        }
    }
}

/// The URIs in a result of a tool, a prompt, a read or a task.
fn collect(result: &RawJson, uris: &mut Vec<String>) {
    for member in result.members() {
        let value = member.value.to_json();
        match member.key.as_ref() {
            "content" | "contents" => value.items().for_each(|item| block(&item.to_json(), uris)),
            "messages" => {
                for message in value.items() {
                    let Some(content) = message.to_json().member("content").map(|it| it.to_json())
                    else {
                        continue;
                    };
                    block(&content, uris);
                    content.items().for_each(|item| block(&item.to_json(), uris));
                }
            }
            // A task's result lies within the task.
            "result" => {
                let content = value.member("content").map(|content| content.to_json());
                let items = content.iter().flat_map(RawJson::items);
                items.for_each(|item| block(&item.to_json(), uris));
            }
            _ => {}
        }
    }
}

/// A block of content with a URI of its own (a link, or what was read), or an embedded resource.
fn block(block: &RawJson, uris: &mut Vec<String>) {
    let resource = block.member("resource").map(|resource| resource.to_json());
    let uri = resource.as_ref().unwrap_or(block).member("uri").and_then(|uri| uri.get().ok());
    uris.extend(uri.filter(|_| uris.len() < PER_RESULT));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(result: &str) -> Vec<String> {
        let links = Links::default();
        links.learn(ServerId::new(1), &RawJson::new(result.to_owned()).unwrap(), |uri| {
            uri == "listed:1"
        });
        let mut uris: Vec<_> = links.table().order.iter().map(|uri| uri.to_string()).collect();
        uris.sort();
        uris
    }

    #[test]
    fn every_place_that_names_a_resource_is_looked_at() {
        let cases: [(&str, &[&str]); 8] = [
            (
                r#"{"content":[{"type":"resource_link","uri":"a:1"},{"type":"resource","resource":{"uri":"b:1"}}]}"#,
                &["a:1", "b:1"],
            ),
            (
                r#"{"messages":[{"content":{"type":"resource","resource":{"uri":"c:1"}}},{"content":[{"type":"resource_link","uri":"c:2"}]}]}"#,
                &["c:1", "c:2"],
            ),
            (r#"{"contents":[{"uri":"d:1"},{"uri":"listed:1"}]}"#, &["d:1"]),
            (
                r#"{"taskId":"t","result":{"content":[{"type":"resource_link","uri":"e:1"}]}}"#,
                &["e:1"],
            ),
            (
                r#"{"content":[{"type":"text","text":"\"uri\":\"f:1\""}],"structuredContent":{"uri":"f:2"}}"#,
                &[],
            ),
            (r#"{"content":[{"uri":7},{"resource":"x"}],"messages":7}"#, &[]),
            (r#"{"content":[{"uri":"g:1"},{"uri":"g:1"}]}"#, &["g:1"]),
            ("[]", &[]),
        ];
        for (result, expected) in cases {
            assert_eq!(learnt(result), expected, "{result}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many: Vec<_> =
            (0..PER_RESULT + 9).map(|n| serde_json::json!({ "uri": format!("a:{n}") })).collect();
        assert_eq!(learnt(&serde_json::json!({ "content": many }).to_string()).len(), PER_RESULT);
        let long = "x".repeat(URI_MAX + 1);
        assert!(
            learnt(&serde_json::json!({ "content": [{ "uri": long }] }).to_string()).is_empty()
        );
        let links = Links::default();
        for number in 0..=MAX {
            let result = serde_json::json!({ "content": [{ "uri": number.to_string() }] });
            links.learn(ServerId::new(1), &RawJson::from(result), |_| false);
        }
        assert_eq!((links.find("0"), links.find("1")), (None, Some(ServerId::new(1))));
        assert_eq!(links.table().servers.len(), MAX);
    }
}
