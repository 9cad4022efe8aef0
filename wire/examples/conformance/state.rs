//! `requestState`: what a modern client carries between two rounds of one call, sealed against changes.

use std::hash::{BuildHasher, RandomState};

use serde_json::json;
use toolweir_core::{Call, Error};

use crate::fixture::refuse;

/// Seals text under a key of this process. A keyed hash of 64 bits does for an example; a server in the open wants
/// an HMAC, and a time at which the state expires.
#[derive(Default)]
pub(crate) struct Seal(RandomState);

impl Seal {
    /// The text with its seal.
    pub(crate) fn seal(&self, text: &str) -> String {
        format!("{text}.{:016x}", self.0.hash_one(text))
    }

    /// The text that the client brought back; `None` where it brought none.
    ///
    /// # Errors
    /// Fails where it is not as it was given out.
    pub(crate) fn open(&self, call: &Call) -> Result<Option<String>, Error> {
        let Some(state) = call.params.as_ref().and_then(|params| params.member("requestState"))
        else {
            return Ok(None);
        };
        let state = state.string().unwrap_or_default();
        let text = state.rsplit_once('.').map(|(text, _)| text);
        match text.filter(|text| self.seal(text) == state) {
            Some(text) => Ok(Some(text.to_owned())),
            None => {
                let data = json!({ "reason": "invalid_request_state" });
                Err(refuse(-32602, "the request state is not ours", data))
            }
        }
    }
}
