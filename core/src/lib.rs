#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
mod client;
mod error;
mod guard;
mod json;
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
mod line;
mod method;
mod monotonic;
mod observer;
mod outcome;
mod reply;
mod select;
mod server;
mod store;
mod time;

#[cfg(feature = "tokio")]
pub use self::time::TokioClock;
pub use self::{
    call::{Call, Hints},
    client::{Client, Notification, Peer, Principal},
    error::{Delivery, Error, Kind},
    guard::{Guard, Permit, Ticket},
    json::{InvalidJson, Items, Member, Members, ObjectEdit, Part, RawJson},
    method::Method,
    monotonic::MonotonicClock,
    observer::{CacheUse, CallEnd, CallStart, Event, Observer, ServerRef},
    outcome::{Answer, Outcome, Verdict},
    reply::{Freshness, Reply, Scope},
    select::{RANKED_MAX, Ranked, Select, ServerId},
    server::{Server, ServerInfo, ServerMessage, Subscriber},
    store::{CacheKey, Fetch, Lookup, Store},
    time::{Clock, Instant, ManualClock},
};
