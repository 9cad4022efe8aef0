#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod limits;
mod lines;
mod listen;
mod message;
mod mirrors;
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod sse;
mod upstream;
mod version;

pub use self::{
    limits::Limits,
    listen::{Access, HttpListener, Page, Pages, PagesListener, Service, serve_stdio},
    upstream::{Endpoint, HttpServer, Options, Owner, Program, StdioServer, Watchdog, WebServer},
};
