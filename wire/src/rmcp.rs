//! The Rust SDK, `rmcp`, on either side: with the feature `rmcp` alone.
//!
//! * [`RmcpServer`] is a [`Server`](toolweir_core::Server) behind which stands an rmcp client's running service, or an
//!   rmcp server handler in this process.
//! * [`RmcpHandler`] is an rmcp service behind which stands any [`Server`](toolweir_core::Server), for rmcp's own transports.
//!
//! # What rmcp's models drop
//! Params that go to an rmcp service, and results that come from an [`RmcpHandler`], pass as JSON values: every member
//! stays, but members are sorted and a number is what `serde_json` makes of it. What rmcp itself has read is what its models
//! knew: members that they do not know are gone from results of an [`RmcpServer`], from params that reach an
//! [`RmcpHandler`], and from questions and notifications that pass through rmcp. `_meta` stays whole everywhere, and so does
//! whatever belongs to a method that rmcp has no model for. Error codes are 32 bits wide.
//!
//! rmcp hands every notification to a task of its own: on a runtime with several threads, their order, and that they
//! come before the result, holds only as far as its scheduler keeps it.

use rmcp::ErrorData;
use rmcp::model::{ErrorCode, NotificationMetaObject};
use rmcp::service::{NotificationContext, ServiceError, ServiceRole};
use serde::Serialize;
use serde_json::Value;
use toolweir_core::{Error, InvalidJson, Kind, RawJson};

pub use crate::listen::rmcp::RmcpHandler;
use crate::message::{self, code};
pub use crate::upstream::rmcp::{Relay, RmcpServer};

/// The params of a message of rmcp's, with the `_meta` that its service loop had taken out.
pub(crate) fn params<T: Serialize>(
    message: &T,
    meta: &serde_json::Map<String, Value>,
) -> Result<Option<RawJson>, InvalidJson> {
    let mut message: Value = RawJson::of(message)?.get()?;
    let mut params = message.get_mut("params").map(Value::take).filter(|params| !params.is_null());
    if !meta.is_empty() {
        let params = params.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(members) = params.as_object_mut() {
            members.insert("_meta".to_owned(), Value::Object(meta.clone()));
        }
    }
    params.map(|params| RawJson::of(&params)).transpose()
}

/// A notification's `_meta`, which rmcp 3.11 leaves among the extensions and not where it stands for requests.
pub(crate) fn notification_meta<R: ServiceRole>(
    context: &NotificationContext<R>,
) -> &NotificationMetaObject {
    context.extensions.get().unwrap_or(&context.meta)
}

/// An error object as rmcp has it.
pub(crate) fn error_data(object: &RawJson) -> ErrorData {
    let number = object.member("code").and_then(|code| code.get::<i32>().ok());
    let number = number.or_else(|| i32::try_from(code::INTERNAL).ok()).unwrap_or_default();
    let text = object.member("message").and_then(|text| text.string().map(String::from));
    let data = object.member("data").and_then(|data| data.to_json().get().ok());
    ErrorData::new(ErrorCode(number), text.unwrap_or_default(), data)
}

/// Why a request that rmcp had taken failed: how far it came is not known, unless the peer has answered.
pub(crate) fn failure(error: ServiceError) -> Error {
    let (kind, text) = match error {
        ServiceError::McpError(data) => {
            return match RawJson::of(&data) {
                Ok(object) => message::server_error(object),
                Err(_) => Error::new(Kind::InvalidReply),
            };
        }
        ServiceError::TransportSend(_) | ServiceError::TransportClosed => {
            (Kind::Disconnected, error.to_string())
        }
        ServiceError::Timeout { .. } => (Kind::Timeout, error.to_string()),
        ServiceError::Cancelled { .. } => (Kind::Cancelled, error.to_string()),
        _ => (Kind::InvalidReply, error.to_string()),
    };
    Error::new(kind).message(text).ambiguous()
}
