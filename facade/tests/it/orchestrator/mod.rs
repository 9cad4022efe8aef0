//! The orchestrator with servers of the test's own, on paused time.

mod alerts;
mod breakers;
mod caching;
mod concurrency;
mod exchanges;
mod explain;
mod failover;
mod hedging;
mod levels;
mod life;
mod limits;
mod links;
mod lists;
mod pools;
mod pressure;
mod quotas;
mod reload;
mod resting;
mod retries;
mod scripted;
mod stale;
mod starting;
mod sticky;
mod subscriptions;
mod supervision;
mod tasks;
mod unknown;

use std::time::Duration;

use toolweir::core::{Call, Error, RawJson, Reply};
use toolweir::{Builder, Orchestrator};

/// Starts it and waits until all servers have been tried.
async fn started(builder: Builder) -> Orchestrator {
    let orchestrator = builder.start().unwrap();
    orchestrator.ready(Duration::from_secs(3_600)).await;
    orchestrator
}

/// Calls a tool by the name that clients see.
async fn call(orchestrator: &Orchestrator, tool: &str) -> Result<Reply, Error> {
    orchestrator.call(&Call::tool(tool, &RawJson::EMPTY_OBJECT).unwrap()).await
}

/// A reply's first text.
fn text(reply: &Reply) -> String {
    let value: serde_json::Value = reply.result.get().unwrap();
    value["content"][0]["text"].as_str().unwrap().to_owned()
}
