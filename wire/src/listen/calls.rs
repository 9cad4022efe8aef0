//! A client's request as a call, and its outcome as an answer.

use std::sync::{Arc, Weak};

use hyper::StatusCode;
use toolweir_core::{Call, Client, Error, Freshness, Kind, Method, Peer, RawJson, Reply, Scope};

use super::front::Front;
use super::parked;
use super::peer::{CallPeer, progress_token};
use super::session::{Level, Session, Stop};
use super::stream::{Answer, Outbox};
use crate::message::{self, Request, code};
use crate::version::Era;

/// A request with all that belongs to it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) era: Era,
    pub(crate) client: Arc<Client>,
    /// Where its notifications go.
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) session: Weak<Session>,
    pub(crate) level: Option<Level>,
    pub(crate) stop: Arc<Stop>,
}

impl Asked {
    /// Calls the server; `None` where the client cancelled.
    pub(crate) async fn carry(&self, front: &Arc<Front>) -> Option<Result<Reply, Error>> {
        let result = if self.era == Era::Modern && parked::concerns(self) {
            parked::carry(self, front).await
        } else {
            let call = self.call(Arc::new(self.peer(front)));
            tokio::select! {
                biased;
                () = self.stop.token.cancelled() => None,
                result = front.service.call(&call) => Some(result),
            }
        };
        if self.request.method == Method::TOOLS_LIST
            && let Some(Ok(reply)) = &result
        {
            front.mirrors.learn(&reply.result);
        }
        let has_overflowed = self.stop.has_overflowed();
        self.stop.token.cancel(); // a server that keeps the peer says nothing behind the answer
        if has_overflowed {
            let error = Error::new(Kind::Overloaded).ambiguous();
            return Some(Err(error.message("the client reads its stream too slowly")));
        }
        result
    }

    /// The way back to its client, for as long as the request is open.
    pub(super) fn peer(&self, front: &Front) -> CallPeer {
        CallPeer {
            era: self.era,
            outbox: self.outbox.clone(),
            client: self.client.clone(),
            progress: progress_token(self.request.params.as_ref()),
            level: self.level,
            session: self.session.clone(),
            stop: self.stop.clone(),
            asks: front.service.limits.in_flight,
        }
    }

    /// The call that it asks for.
    pub(super) fn call(&self, peer: Arc<dyn Peer>) -> Call {
        let Request { method, params, .. } = &self.request;
        let client = self.client.clone();
        let mut call = Call::new(method.clone(), params.clone()).client(client).peer(peer);
        call.target = target(method, params.as_ref()).map(Arc::from);
        call
    }

    /// The answer to the request.
    pub(crate) fn answer(&self, result: Result<Reply, Error>) -> Answer {
        let Request { id, method, .. } = &self.request;
        let is_modern = self.era == Era::Modern;
        match result {
            Ok(reply) => {
                let result = if is_modern { modern_result(method, reply) } else { reply.result };
                Answer::ok(message::response(Some(id), Ok(&result)))
            }
            Err(error) => {
                let object = message::own_error(&error, method, is_modern);
                let (object, status) = match is_modern {
                    true => modern_error(object),
                    false => (object, StatusCode::OK),
                };
                Answer { bytes: message::response(Some(id), Err(&object)), status }
            }
        }
    }
}

/// What a request is asked of: a tool, prompt, resource or task.
pub(crate) fn target(method: &Method, params: Option<&RawJson>) -> Option<String> {
    let params = params?;
    if *method == Method::COMPLETE {
        let reference = params.member("ref")?.to_json();
        let name = reference.member("name").or_else(|| reference.member("uri"))?;
        return name.string().map(String::from);
    }
    params.member(method.target_member()?)?.string().map(String::from)
}

/// Whether results of this method tell how long they hold.
fn is_cacheable(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    )
}

/// Adds what 2026-07-28 requires of every result, where the result leaves it out: how long it holds is what the reply says.
/// Of one that was remembered the server's own word is told less what is over of it; all other bytes stay.
pub(super) fn modern_result(method: &Method, reply: Reply) -> RawJson {
    let result = reply.result;
    let [mut kind, mut ttl, mut scope] = [false; 3];
    for member in result.members() {
        match member.key.as_ref() {
            "resultType" => kind = true,
            "ttlMs" => ttl = true,
            "cacheScope" => scope = true,
            _ => {}
        }
    }
    let is_cacheable = is_cacheable(method) && !reply.input_required;
    let is_remembered = matches!(reply.freshness, Freshness::Cached | Freshness::Stale);
    let left = reply.ttl.filter(|_| ttl && is_remembered);
    if kind && (!is_cacheable || (ttl && scope)) && left.is_none() {
        return result;
    }
    let mut edit = result.edit();
    if let Some(left) = left {
        edit = edit.set("ttlMs", &RawJson::from(serde_json::Value::from(whole(left.as_millis()))));
    }
    if !kind {
        edit = edit.set("resultType", &text("complete"));
    }
    if is_cacheable && !ttl {
        let ttl = reply.ttl.unwrap_or_default().as_millis();
        edit = edit.set("ttlMs", &RawJson::from(serde_json::Value::from(whole(ttl))));
    }
    if is_cacheable && !scope {
        edit = edit.set("cacheScope", &text(name(reply.scope)));
    }
    edit.finish().unwrap_or_else(|_| result.clone())
}

fn whole(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

fn name(scope: Scope) -> &'static str {
    match scope {
        Scope::Private => "private",
        Scope::Public => "public",
    }
}

pub(crate) fn text(text: &str) -> RawJson {
    RawJson::from(serde_json::Value::from(text))
}

/// The error as a client of either era may see it, where no status goes with it.
#[cfg(feature = "rmcp")]
pub(super) fn modern_code(object: RawJson, modern: bool) -> RawJson {
    if modern { modern_error(object).0 } else { object }
}

/// The error as a modern client may see it, and the status of an HTTP answer that holds only this.
fn modern_error(object: RawJson) -> (RawJson, StatusCode) {
    let number = object.member("code").and_then(|code| code.get::<i64>().ok());
    match number {
        Some(code::METHOD_NOT_FOUND) => (object, StatusCode::NOT_FOUND),
        Some(code::MISSING_CAPABILITY) => (object, StatusCode::BAD_REQUEST),
        Some(code::RESOURCE_NOT_FOUND) => {
            let number = RawJson::from(serde_json::Value::from(code::INVALID_PARAMS));
            let edited = object.edit().set("code", &number).finish();
            (edited.unwrap_or_else(|_| object.clone()), StatusCode::OK)
        }
        _ => (object, StatusCode::OK),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_remembered_result_is_told_with_what_is_left_and_every_other_byte_as_it_came() {
        let written = r#"{ "n":1e22,"ttlMs" : 6e4,"x":"\ud800","resultType":"complete",  "cacheScope":"public"}"#;
        let left = |ms: u64| Some(Duration::from_micros(ms * 1_000 + 999));
        let told = |ms: &str| written.replace("6e4", ms);
        for (freshness, ttl, expected) in [
            (Freshness::Fetched, left(60_000), written.to_owned()),
            (Freshness::Coalesced, left(60_000), written.to_owned()),
            (Freshness::Cached, left(41_234), told("41234")),
            (Freshness::Cached, left(0), told("0")),
            (Freshness::Stale, Some(Duration::ZERO), told("0")),
            // The server's word was none that could be understood.
            (Freshness::Cached, None, written.to_owned()),
        ] {
            for method in [Method::RESOURCES_READ, Method::TOOLS_LIST, Method::TOOLS_CALL] {
                let mut reply = Reply::new(RawJson::new(written).unwrap());
                (reply.freshness, reply.ttl) = (freshness, ttl);
                let result = modern_result(&method, reply);
                assert_eq!(result.as_str(), expected, "{freshness:?} {ttl:?} {method}");
            }
        }
        // Nothing of it is added where the server gave none.
        let mut plain = Reply::new(RawJson::new(r#"{"resultType":"complete","a":1}"#).unwrap());
        plain.freshness = Freshness::Cached;
        let result = modern_result(&Method::TOOLS_CALL, plain);
        assert_eq!(result.as_str(), r#"{"resultType":"complete","a":1}"#);
    }
}
