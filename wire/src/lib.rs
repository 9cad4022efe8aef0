#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(dead_code, unused_imports, reason = "the two sides that use these parts follow")]

mod header;
mod limits;
mod lines;
mod listen;
mod message;
mod sse;
mod upstream;
mod version;

pub use self::{
    limits::Limits,
    listen::{Access, HttpListener, Page, Pages, PagesListener, Service, serve_stdio},
    upstream::{Endpoint, HttpServer, Options, Program, StdioServer},
};
