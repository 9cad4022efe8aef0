//! The few facts of a result that the patterns need.

use std::time::Duration;

use toolweir_core::{RawJson, Reply, Scope};

/// Wraps a raw result.
pub(crate) fn reply_of(result: RawJson) -> Reply {
    let mut reply = Reply::new(RawJson::NULL);
    for member in result.members() {
        match member.key.as_ref() {
            "isError" => reply.is_error = member.value.as_bytes() == b"true",
            "resultType" => {
                reply.input_required = member.value.as_bytes() == br#""input_required""#;
                reply.is_task |= member.value.as_bytes() == br#""task""#;
            }
            // A result of a tool has no such member of its own; whether a task was asked for, the caller knows.
            "task" => reply.is_task |= member.value.to_json().member("taskId").is_some(),
            "ttlMs" => {
                reply.ttl = member.value.get::<f64>().ok().filter(|ms| *ms >= 0.0).map(millis);
            }
            "cacheScope" if member.value.as_bytes() == br#""public""# => {
                reply.scope = Scope::Public;
            }
            _ => {}
        }
    }
    reply.result = result;
    reply
}

fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX)
}
