//! The level of log messages: one for all clients, told to every server that logs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolweir::core::{Call, Client, Clock, Error, Kind, Method, Principal, RawJson, TokioClock};
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
async fn the_level_is_told_to_who_logs_and_told_again_after_a_return() {
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
    assert_eq!(told(&logs), ["error", "debug", "warning"], "one client, which changes its mind");
    logs.down(true);
    logs.down(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told(&logs), ["error", "debug", "warning", "warning"]);
    assert!(silent.told().is_empty());
}

/// The level only ever became more verbose, and outlived who had asked for it.
#[tokio::test(start_paused = true)]
async fn the_most_verbose_level_of_the_clients_that_are_there_holds() {
    let logs = logging("logs");
    let orchestrator =
        super::started(Orchestrator::builder().member(Member::new("logs", logs.clone()))).await;
    let [one, other] = [(); 2].map(|()| Arc::new(Client::new(Principal::local())));
    let ask = |client: &Arc<Client>, level: &str| {
        let params = RawJson::from(json!({ "level": level }));
        let call = Call::new(Method::SET_LEVEL, Some(params)).client(client.clone());
        let orchestrator = orchestrator.clone();
        async move {
            orchestrator.call(&call).await.unwrap();
            soon().await;
        }
    };
    ask(&one, "error").await;
    ask(&other, "debug").await;
    ask(&one, "info").await;
    assert_eq!(told(&logs), ["error", "debug"]);
    ask(&other, "notice").await; // lowers its own
    assert_eq!(told(&logs), ["error", "debug", "info"]);
    drop(one);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(told(&logs), ["error", "debug", "info", "notice"]);
    drop(other);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(told(&logs)[4..], ["warning"], "nobody asks any more");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(told(&logs).len(), 5);
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
