//! Subscriptions of several clients to one resource.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolweir::core::{Call, Error, Kind, Method, RawJson};
use toolweir::{Member, Orchestrator};

use super::scripted::{Does, Scripted};
use super::started;

const URI: &str = "note:1";

fn asked(method: Method, uri: &str) -> Call {
    Call::new(method, Some(RawJson::from(json!({ "uri": uri })))).target(uri)
}

async fn subscribe(orchestrator: &Orchestrator) -> Result<(), Error> {
    orchestrator.call(&asked(Method::RESOURCES_SUBSCRIBE, URI)).await.map(drop)
}

async fn unsubscribe(orchestrator: &Orchestrator) -> Result<(), Error> {
    orchestrator.call(&asked(Method::RESOURCES_UNSUBSCRIBE, URI)).await.map(drop)
}

async fn with(servers: &[&Arc<Scripted>]) -> Orchestrator {
    let mut builder = Orchestrator::builder();
    for (index, server) in servers.iter().enumerate() {
        *server.capabilities.lock().unwrap() = json!({ "resources": { "subscribe": true } });
        builder = builder.member(Member::new(format!("s{index}"), (*server).clone()));
    }
    started(builder).await
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const SUBSCRIBED: &str = "resources/subscribe note:1";
const UNSUBSCRIBED: &str = "resources/unsubscribe note:1";

/// The second was told "done" while the first was still on its way; then the server refused.
#[tokio::test(start_paused = true)]
async fn nobody_is_subscribed_before_the_server_said_so() {
    let server = Scripted::new("s", &[]);
    let orchestrator = with(&[&server]).await;
    *server.tells.lock().unwrap() = Does::Take(Duration::from_secs(1));
    let first = tokio::spawn({
        let orchestrator = orchestrator.clone();
        async move { subscribe(&orchestrator).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    *server.tells.lock().unwrap() = Does::Fail(Error::new(Kind::Protocol { code: -32603 }));
    first.abort(); // its caller leaves
    assert!(subscribe(&orchestrator).await.is_err());
    assert_eq!(server.told(), [SUBSCRIBED, SUBSCRIBED]);
    *server.tells.lock().unwrap() = Does::Take(Duration::from_secs(1));
    let (one, two) = tokio::join!(subscribe(&orchestrator), subscribe(&orchestrator));
    one.and(two).unwrap();
    assert_eq!(server.told(), [SUBSCRIBED; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_server_hears_of_the_first_and_the_last_in_their_order() {
    let server = Scripted::new("s", &[]);
    let orchestrator = with(&[&server]).await;
    *server.tells.lock().unwrap() = Does::Take(Duration::from_secs(1));
    subscribe(&orchestrator).await.unwrap();
    subscribe(&orchestrator).await.unwrap();
    unsubscribe(&orchestrator).await.unwrap();
    assert_eq!(server.told(), [SUBSCRIBED]);
    let (last, next) = tokio::join!(unsubscribe(&orchestrator), subscribe(&orchestrator));
    last.and(next).unwrap();
    assert_eq!(server.told(), [SUBSCRIBED, UNSUBSCRIBED, SUBSCRIBED]);
}

#[tokio::test(start_paused = true)]
async fn the_server_that_took_it_hears_of_its_end_and_alone_is_asked_again() {
    let [one, two] = ["one", "two"].map(|name| Scripted::new(name, &[]));
    let orchestrator = with(&[&one, &two]).await;
    *one.tells.lock().unwrap() = Does::Fail(Error::new(Kind::Unreachable).unsent());
    subscribe(&orchestrator).await.unwrap();
    assert_eq!(two.told(), [SUBSCRIBED]);
    *one.tells.lock().unwrap() = Does::Answer;
    for server in [&one, &two] {
        server.down(true);
        server.down(false);
    }
    seconds(6).await;
    assert_eq!(two.told(), [SUBSCRIBED; 2]);
    assert!(one.told().len() <= 1);
    unsubscribe(&orchestrator).await.unwrap();
    assert_eq!(two.told(), [SUBSCRIBED, SUBSCRIBED, UNSUBSCRIBED]);
    assert!(one.told().len() <= 1);
}

/// Renewals held the supervisor up: a loss meanwhile was not seen, and the breaker counted our own calls.
#[tokio::test(start_paused = true)]
async fn renewals_that_hang_hold_nothing_up() {
    let server = Scripted::new("s", &["work"]);
    let orchestrator = with(&[&server]).await;
    for number in 0..100 {
        let call = asked(Method::RESOURCES_SUBSCRIBE, &format!("note:{number}"));
        orchestrator.call(&call).await.unwrap();
    }
    *server.tells.lock().unwrap() = Does::Hang;
    server.down(true);
    server.down(false);
    seconds(2).await;
    assert!(server.told().len() <= 104, "{}", server.told().len());
    server.down(true);
    seconds(2).await;
    assert!(orchestrator.servers()[0].reason.is_some());
    *server.tells.lock().unwrap() = Does::Answer;
    server.down(false);
    seconds(6).await;
    assert!((200..=204).contains(&server.told().len()), "{}", server.told().len());
    assert_eq!(orchestrator.servers()[0].breaker, Some("closed"));
}
