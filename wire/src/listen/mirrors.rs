//! Checks of the arguments that a tool's schema wants repeated in headers.

use hyper::HeaderMap;
use toolweir_core::{Method, RawJson};

use super::modern::{Reject, single};
use crate::header;
use crate::message::Request;
use crate::mirrors::Mirror;
pub(crate) use crate::mirrors::Mirrors;

impl Mirrors {
    /// Checks a request's headers against its arguments.
    pub(crate) fn check(&self, headers: &HeaderMap, request: &Request) -> Result<(), Reject> {
        if request.method != Method::TOOLS_CALL {
            return Ok(());
        }
        let member = |key| request.params.as_ref().and_then(|params| params.member(key));
        let Some(name) = member("name").and_then(|name| name.string()) else { return Ok(()) };
        let Some(mirrors) = self.of(&name) else { return Ok(()) };
        let Some(arguments) = member("arguments").map(|it| it.to_json()) else { return Ok(()) };
        for mirror in mirrors.iter() {
            let Some(value) = mirror.value(&arguments) else { continue };
            mirror.check(headers, &value)?;
        }
        Ok(())
    }
}

impl Mirror {
    fn check(&self, headers: &HeaderMap, value: &RawJson) -> Result<(), Reject> {
        let name = self.header.as_str();
        let Some(given) = single(headers, name)? else {
            return Err(Reject::mismatch(name, "is missing"));
        };
        let Some(given) = header::decode(given.as_bytes()) else {
            return Err(Reject::mismatch(name, "is not validly encoded"));
        };
        let is_same = match value.get::<String>() {
            Ok(text) => text == given,
            Err(_) => value.as_str() == given || is_same_number(value, &given),
        };
        if is_same { Ok(()) } else { Err(Reject::mismatch(name, "is not the body's argument")) }
    }
}

/// Numbers may be spelt in more than one way.
fn is_same_number(value: &RawJson, given: &str) -> bool {
    match (value.get::<f64>(), given.parse::<f64>()) {
        (Ok(value), Ok(given)) => value.to_bits() == given.to_bits() && value.abs() < 9e15,
        _ => false,
    }
}
