#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod timestamp;
// What is pure: arithmetic and small state machines.
mod alert;
mod histogram;
mod rule;
mod rules;
mod score;
mod statistics;
mod window;
// What threads share.
mod cell;
mod ring;
mod slot;
mod stripe;
mod sync;
mod table;
mod texts;
// The edge.
mod events;
mod health;
#[cfg(feature = "prometheus")]
mod prometheus;
mod recorder;
mod sink;

#[cfg(feature = "prometheus")]
pub use self::prometheus::{CONTENT_TYPE, Exposition};
pub use self::{
    alert::{Alert, AlertEvent, AlertKind, Severity},
    config::{Alerts, Config, InvalidConfig, Thresholds},
    events::{CacheCounts, ServerEvents},
    health::{Dashboard, Health, Issue, IssueKind, Status, SystemHealth},
    recorder::{Handle, Operation, Record, Recorder, Sample},
    rule::{Condition, Figure, Quantile, Rule},
    score::{Reason, ReasonKind, Score},
    sink::{Channel, Log, Sink},
    statistics::Statistics,
    table::OTHER,
    timestamp::Timestamp,
    window::Window,
};
