//! JSON-RPC messages: read, written, with params and results raw.

mod advice;
mod errors;
mod facts;
mod id;
mod read;
mod write;

pub(crate) use self::{
    errors::{code, error_object, own_error, server_error},
    facts::reply_of,
    id::Id,
    read::{Fault, Incoming, Request, Response, read},
    write::{notification, request, response},
};
