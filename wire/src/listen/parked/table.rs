//! The parked calls, by the names that clients were given for them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex};

use tokio_util::task::AbortOnDropHandle;
use toolweir_core::{Error, Kind, Principal, RawJson, Reply};

use super::super::front::Front;
use super::super::{calls, lock};
use super::Running;
use super::leg::ANSWERS;
use crate::message::{Request, code, error_object};

/// What the names begin with; a `requestState` without it is the server's own.
const PREFIX: &str = "toolweir-parked:";
const STATE: &str = "requestState";

/// The name of a parked call that the request goes on with, where it gives one.
fn parked_name(request: &Request) -> Option<String> {
    let name = request.params.as_ref()?.member(STATE)?.string()?.into_owned();
    name.starts_with(PREFIX).then_some(name)
}

/// Whether the request goes on with a parked call.
pub(super) fn names_parked(request: &Request) -> bool {
    parked_name(request).is_some()
}

/// The parked calls of one listener.
#[derive(Debug, Default)]
pub(crate) struct ParkedCalls {
    table: Mutex<HashMap<String, Parked>>,
    seed: RandomState,
}

#[derive(Debug)]
struct Parked {
    running: Running,
    owner: Principal,
    digest: u64,
    /// Takes it out when nobody came back in time.
    _expiry: AbortOnDropHandle<()>,
}

impl ParkedCalls {
    /// The call that the request goes on with; `None` where it names none of ours.
    pub(super) fn claim(
        &self,
        request: &Request,
        owner: &Principal,
    ) -> Result<Option<Running>, Error> {
        let Some(name) = parked_name(request) else { return Ok(None) };
        let digest = self.digest(request);
        let mut table = lock(&self.table);
        let is_theirs = |parked: &Parked| parked.owner == *owner && parked.digest == digest;
        if table.get(&name).is_some_and(is_theirs) {
            return Ok(table.remove(&name).map(|parked| parked.running));
        }
        drop(table);
        Err(invalid_state())
    }

    /// The questions, and the name under which the call waits for their answers.
    pub(super) fn park(
        self: &Arc<Self>,
        front: &Arc<Front>,
        running: Running,
        request: &Request,
        owner: &Principal,
    ) -> Result<Reply, Error> {
        let limits = &front.service.limits;
        let full = || {
            Error::new(Kind::Overloaded).ambiguous().message(format!(
                "the server asks something, but {} calls wait for answers already",
                limits.parked
            ))
        };
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| {
            Error::new(Kind::Internal).ambiguous().message("there is no randomness")
        })?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{PREFIX}{random}");
        let digest = self.digest(request);
        let peer = running.peer.clone();
        {
            let mut table = lock(&self.table);
            if table.len() >= limits.parked {
                return Err(full()); // drops the call, which cancels it at the server
            }
            let (parked, expired, idle) = (Arc::downgrade(self), name.clone(), limits.parked_idle);
            let (closing, killed) = (front.closing.clone(), front.killed.clone());
            let expiry = front.tasks.spawn(async move {
                tokio::select! {
                    () = closing.cancelled() => {}
                    () = killed.cancelled() => {}
                    () = tokio::time::sleep(idle) => {}
                }
                let parked =
                    parked.upgrade().and_then(|parked| lock(&parked.table).remove(&expired));
                drop(parked);
            });
            let running = running.apart(front);
            let entry = Parked {
                running,
                owner: owner.clone(),
                digest,
                _expiry: AbortOnDropHandle::new(expiry),
            };
            table.insert(name.clone(), entry);
        }
        let questions = peer.pause();
        let result = RawJson::EMPTY_OBJECT
            .edit()
            .set("resultType", &calls::text("input_required"))
            .set("inputRequests", &questions)
            .set(STATE, &calls::text(&name))
            .finish();
        let result = result.map_err(|error| {
            Error::new(Kind::InvalidReply).message(format!("its question: {error}"))
        })?;
        let mut reply = Reply::new(result);
        reply.input_required = true;
        Ok(reply)
    }

    /// What two requests of one exchange have in common.
    fn digest(&self, request: &Request) -> u64 {
        let mut hasher = self.seed.build_hasher();
        request.method.as_str().hash(&mut hasher);
        let mut sum = 0_u64;
        for member in request.params.iter().flat_map(RawJson::members) {
            if !matches!(&*member.key, "_meta" | STATE | ANSWERS) {
                sum = sum.wrapping_add(self.member(&member.key, &member.value.to_json()));
            }
        }
        sum.hash(&mut hasher);
        hasher.finish()
    }

    fn member(&self, key: &str, value: &RawJson) -> u64 {
        self.seed.hash_one((key, self.value(value)))
    }

    /// The same for values that differ in white space and the order of members alone. As deep as a message may be.
    fn value(&self, value: &RawJson) -> u64 {
        let mut hasher = self.seed.build_hasher();
        match value.as_bytes().first() {
            Some(b'{') => {
                let members = value.members();
                let sum = members.fold(0_u64, |sum, member| {
                    sum.wrapping_add(self.member(&member.key, &member.value.to_json()))
                });
                ('{', sum).hash(&mut hasher);
            }
            Some(b'[') => {
                '['.hash(&mut hasher);
                value.items().for_each(|item| self.value(&item.to_json()).hash(&mut hasher));
            }
            _ => value.as_bytes().hash(&mut hasher),
        }
        hasher.finish()
    }
}

fn invalid_state() -> Error {
    let text = "`requestState` names no call that waits for an answer: it was used before, has expired, or belongs to \
                another request; make the call anew";
    let data = serde_json::json!({ "reason": "invalid_request_state" });
    Error::protocol(code::INVALID_PARAMS, error_object(code::INVALID_PARAMS, text, Some(data)))
        .message(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{self, Incoming};

    #[test]
    fn two_requests_of_one_exchange_have_the_same_digest_and_others_have_not() {
        let calls = ParkedCalls::default();
        let digest = |params: &str| {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            match message::read(text.into(), 128).unwrap() {
                Incoming::Request(request) => calls.digest(&request),
                other => panic!("{other:?}"),
            }
        };
        let first =
            digest(r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e22},"_meta":{"n":1}}"#);
        let same = [
            r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e22}}"#,
            r#"{ "arguments": {"c":1e22, "a":[1, {"b":"x"}]}, "name":"t", "requestState":"s", "inputResponses":{"a":1}}"#,
        ];
        for params in same {
            assert_eq!(digest(params), first, "{params}");
        }
        let others = [
            r#"{"name":"t"}"#,
            r#"{"name":"u","arguments":{"a":[1,{"b":"x"}],"c":1e22}}"#,
            r#"{"name":"t","arguments":{"a":[{"b":"x"},1],"c":1e22}}"#,
            r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e23}}"#,
            r#"{"name":"t","arguments":{"a":[1,{"x":"b"}],"c":1e22}}"#,
            r#"{"name":"t","arguments":{"a":[1,{"b":"x"}],"c":1e22},"more":1}"#,
        ];
        for params in others {
            assert_ne!(digest(params), first, "{params}");
        }
    }
}
