#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod event;
mod failure;
mod stats;
// one fetch a key
mod flight;
mod flights;
mod sync;
// what is stored
mod group;
mod key;
mod shelf;
mod slot;
// where else things are stored
mod desk;
mod link;
mod tier;
// the cache itself
mod builder;
mod cache;
mod cached;
mod entry;
mod trip;
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
    event::Event,
    failure::{Failure, Nature},
    reply::{Kept, ReplyCache, call_key},
    stats::Stats,
    tier::{Epochs, Forget, Sought, Terms, Tier, TierError},
};
