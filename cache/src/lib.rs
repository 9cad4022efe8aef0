#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod failure;
mod stats;
// one fetch a key
mod flight;
mod flights;
// what is stored
mod group;
mod key;
mod shelf;
mod slot;
// the cache itself
mod builder;
mod cache;
mod cached;
mod entry;
// MCP
mod canonical;
mod reply;

pub use self::{
    builder::{Builder, Refresh},
    cache::{Cache, Found},
    cached::Cached,
    canonical::{NoKey, canonical},
    config::{Config, ConfigError},
    entry::{Entry, Fetched},
    failure::{Failure, Nature},
    reply::{ReplyCache, call_key},
    stats::Stats,
};
