//! The level of log messages: one for all clients, told to every server that logs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolweir::core::{Call, Clock, Error, Kind, Method, RawJson, TokioClock};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};

async fn set(orchestrator: &Orchestrator, level: &str) -> Result<(), Error> {
    let params = RawJson::from(json!({ "level": level }));
    orchestrator.call(&Call::new(Method::SET_LEVEL, Some(params))).await.map(drop)
}

async fn soon() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

fn logging(name: &'static str) -> Arc<Scripted> {
    let server = Scripted::new(name, &[]);
    *server.capabilities.lock().unwrap() = json!({ "tools": {}, "logging": {} });
    server
}

fn told(server: &Scripted) -> Vec<String> {
    server.told().iter().map(|told| told.replace("logging/setLevel ", "")).collect()
}

#[tokio::test(start_paused = true)]
async fn the_most_verbose_level_holds_for_all_and_is_told_again_after_a_return() {
    let (logs, silent) = (logging("logs"), Scripted::new("silent", &[]));
    let builder = Orchestrator::builder()
        .member(Member::new("logs", logs.clone()))
        .member(Member::new("silent", silent.clone()));
    let orchestrator = builder.start().unwrap();
    set(&orchestrator, "error").await.unwrap(); // before anyone is up
    soon().await;
    set(&orchestrator, "debug").await.unwrap();
    soon().await;
    set(&orchestrator, "warning").await.unwrap();
    soon().await;
    assert_eq!(told(&logs), ["error", "debug"]);
    logs.down(true);
    logs.down(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told(&logs), ["error", "debug", "debug"]);
    assert!(silent.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_holds_up_neither_the_client_nor_the_other_servers() {
    let (frozen, well) = (logging("frozen"), logging("well"));
    *frozen.tells.lock().unwrap() = Does::Hang;
    let builder = Orchestrator::builder()
        .member(Member::new("frozen", frozen.clone()))
        .member(Member::new("well", well.clone()));
    let orchestrator = super::started(builder).await;
    let start = TokioClock.now();
    set(&orchestrator, "info").await.unwrap();
    assert_eq!(TokioClock.now(), start);
    soon().await;
    assert_eq!(told(&well), ["info"]);
    set(&orchestrator, "debug").await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(told(&frozen), ["info", "debug"]);
}

#[tokio::test(start_paused = true)]
async fn a_level_that_does_not_exist_is_refused_here() {
    let server = logging("s");
    let orchestrator =
        super::started(Orchestrator::builder().member(Member::new("s", server.clone()))).await;
    for level in ["", "verbose", "Debug"] {
        assert_eq!(set(&orchestrator, level).await.unwrap_err().kind(), Kind::InvalidRequest);
    }
    let nothing = Call::new(Method::SET_LEVEL, None);
    assert_eq!(orchestrator.call(&nothing).await.unwrap_err().kind(), Kind::InvalidRequest);
    soon().await;
    assert!(server.told().is_empty());
}
