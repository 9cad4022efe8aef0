#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(dead_code, unused_imports, reason = "the two sides that use these parts follow")]

mod header;
mod limits;
mod lines;
mod message;
mod sse;
mod upstream;
mod version;

pub use self::{
    limits::Limits,
    upstream::{Endpoint, HttpServer, Options, Program, StdioServer},
};
